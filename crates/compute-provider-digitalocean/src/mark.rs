//! The marks on a machine. The vendor allows letters, digits and `_:-` in tags, and puts them on
//! after the machine exists; the name is there from the first moment, so it says the same.

use compute_domain::id::OperationId;
use compute_domain::text::Hostname;
use compute_engine::ports::MachineTag;
use uuid::Uuid;

const FLEET: &str = "x402compute-";
const OPERATION: &str = "x402-op:";
const ATTEMPT: &str = "x402-attempt:";
const KEY: &str = "x402-key:";
const NAME: &str = "x402-";

/// The vendor's limit for names.
const NAME_MAX: usize = 255;

/// The mark of all machines of an installation.
pub(crate) fn fleet(environment: &str) -> String {
    format!("{FLEET}{environment}")
}

/// The mark of all machines of an operation.
pub(crate) fn operation(id: OperationId) -> String {
    format!("{OPERATION}{id}")
}

/// The mark of all machines that were made with a registered SSH key.
pub(crate) fn ssh_key(id: u64) -> String {
    format!("{KEY}{id}")
}

/// Every mark of a machine. Tags are objects of the account, so none but the operation's and the keys'
/// is new.
pub(crate) fn all(tag: &MachineTag, key_ids: &[u64]) -> Vec<String> {
    let mut tags = vec![
        fleet(&tag.environment),
        operation(tag.operation),
        format!("{ATTEMPT}{}", tag.attempt),
    ];
    tags.extend(key_ids.iter().map(|id| ssh_key(*id)));
    tags
}

/// The name of a machine, which becomes its host name: what its customer chose is the first part of it.
pub(crate) fn name(tag: &MachineTag, chosen: Option<&Hostname>) -> String {
    let own = format!(
        "{NAME}{}-{}-{}",
        tag.environment,
        tag.operation.uuid().simple(),
        tag.attempt
    );
    let Some(chosen) = chosen.map(Hostname::as_str) else {
        return own;
    };
    let whole = format!("{chosen}.{own}");
    if whole.len() <= NAME_MAX {
        return whole;
    }
    let first = chosen.split('.').next().unwrap_or(chosen);
    format!("{first}.{own}")
}

/// The name of a registered key; it says nothing about the customer.
pub(crate) fn key_name(environment: &str, fingerprint: &str) -> String {
    let digits = fingerprint.replace(':', "");
    format!("{}{}", key_start(environment), digits)
}

/// How the names of all keys of an installation begin, and no others.
pub(crate) fn key_start(environment: &str) -> String {
    format!("{NAME}{environment}-key-")
}

/// Whose machine it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Of this installation, by this mark.
    Ours(MachineTag),
    /// Of another installation.
    Theirs,
    /// It carries no mark.
    Nobodys,
}

/// Reads the marks back: the tags, and where they are not there yet, the name.
pub(crate) fn read(tags: &[String], name: &str, environment: &str) -> Whose {
    let named = parse_name(name);
    let fleets = tags.iter().filter_map(|tag| after(tag, FLEET));
    let is_theirs = match fleets.clone().count() {
        0 => match &named {
            Some(named) => named.environment != environment,
            None => return Whose::Nobodys,
        },
        _ => !fleets
            .clone()
            .any(|it| it.eq_ignore_ascii_case(environment)),
    };
    if is_theirs {
        return Whose::Theirs;
    }
    let tagged = || {
        Some(MachineTag {
            environment: environment.to_owned(),
            operation: value_of(tags, OPERATION)?.parse().ok()?,
            attempt: value_of(tags, ATTEMPT)?.parse().ok()?,
        })
    };
    tagged().or(named).map_or(Whose::Nobodys, Whose::Ours)
}

/// The ids of the registered SSH keys.
pub(crate) fn key_ids(tags: &[String]) -> Vec<u64> {
    let values = tags.iter().filter_map(|tag| after(tag, KEY));
    values.filter_map(|id| id.parse().ok()).collect()
}

fn parse_name(name: &str) -> Option<MachineTag> {
    let own = name.rsplit('.').next()?.to_ascii_lowercase();
    let mut parts = own.strip_prefix(NAME)?.split('-');
    let (environment, operation, attempt) = (parts.next()?, parts.next()?, parts.next()?);
    let is_whole = parts.next().is_none() && operation.len() == 32;
    is_whole.then_some(())?;
    Some(MachineTag {
        environment: environment.to_owned(),
        operation: OperationId::from_uuid(Uuid::try_parse(operation).ok()?),
        attempt: attempt.parse().ok()?,
    })
}

fn value_of<'a>(tags: &'a [String], name: &str) -> Option<&'a str> {
    tags.iter().find_map(|tag| after(tag, name))
}

fn after<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (head, value) = tag.split_at_checked(name.len())?;
    head.eq_ignore_ascii_case(name).then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tag() -> MachineTag {
        let operation = "0190a1b2-0000-7000-8000-0000000000ab".parse().unwrap();
        MachineTag {
            environment: "prod".into(),
            operation,
            attempt: 2,
        }
    }

    fn ours() -> Whose {
        Whose::Ours(tag())
    }

    #[test]
    fn marks_can_be_read_back_from_either_place() {
        let (tags, name) = (all(&tag(), &[512_190, 7]), name(&tag(), None));
        assert_eq!(read(&tags, "renamed", "prod"), ours());
        assert_eq!(read(&[], &name, "prod"), ours());
        assert_eq!(read(&tags[..1], &name, "prod"), ours());
        assert_eq!(key_ids(&tags), [512_190, 7]);
        let shouted: Vec<String> = tags.iter().map(|tag| tag.to_uppercase()).collect();
        assert_eq!(read(&shouted, &name.to_uppercase(), "prod"), ours());
    }

    #[test]
    fn another_installation_is_not_ours() {
        let (tags, name) = (all(&tag(), &[1]), name(&tag(), None));
        assert_eq!(read(&tags, &name, "dev"), Whose::Theirs);
        assert_eq!(read(&[], &name, "dev"), Whose::Theirs);
        assert_eq!(read(&[fleet("dev")], &name, "prod"), Whose::Theirs);
        for name in [
            "",
            "web-1",
            "x402-prod",
            "x402-prod-junk-1",
            "x402-prod-0190-1",
        ] {
            assert_eq!(read(&[], name, "prod"), Whose::Nobodys, "{name}");
        }
        assert_eq!(
            read(&[fleet("prod"), "ü".into()], "web", "prod"),
            Whose::Nobodys
        );
    }

    #[test]
    fn tags_are_what_the_vendor_allows() {
        for tag in all(&tag(), &[u64::MAX]) {
            let is_allowed =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-:".contains(&b);
            assert!(tag.len() <= 48 && tag.bytes().all(is_allowed), "{tag}");
        }
    }

    #[test]
    fn names_begin_with_what_the_customer_chose() {
        let own = "x402-prod-0190a1b20000700080000000000000ab-2";
        assert_eq!(name(&tag(), None), own);
        let chosen = Hostname::parse("web-1.example").unwrap();
        let whole = name(&tag(), Some(&chosen));
        assert_eq!(whole, format!("web-1.example.{own}"));
        assert_eq!(read(&[], &whole, "prod"), ours());
    }

    #[test]
    fn a_long_host_name_still_leaves_room_for_the_mark() {
        let label = "a".repeat(63);
        let longest = [label.as_str(); 4].join(".");
        let chosen = Hostname::parse(&longest[..253]).unwrap();
        let whole = name(&tag(), Some(&chosen));
        assert!(whole.len() <= NAME_MAX && whole.starts_with(&format!("{label}.x402-")));
        assert_eq!(read(&[], &whole, "prod"), ours());
    }

    proptest! {
        /// Whatever host name the customer chose, the name is legal and says whose it is.
        #[test]
        fn every_name_is_read_back(
            chosen in "[a-z0-9]{1,63}([.][a-z0-9]{1,63}){0,2}",
            operation in any::<u128>(),
            attempt in any::<u32>(),
            environment in "[a-z]{1,6}",
        ) {
            let operation = OperationId::from_uuid(Uuid::from_u128(operation));
            let tag = MachineTag { environment, operation, attempt };
            let chosen = Hostname::parse(&chosen).unwrap();
            for name in [name(&tag, None), name(&tag, Some(&chosen))] {
                prop_assert!(name.len() <= NAME_MAX);
                prop_assert!(Hostname::parse(&name).is_ok(), "{name}");
                let whose = read(&[], &name, &tag.environment);
                prop_assert_eq!(whose, Whose::Ours(tag.clone()));
            }
        }

        /// No text of the vendor makes the readers panic.
        #[test]
        fn no_text_panics(
            tags in prop::collection::vec("[x4-][x0-9a-z:=_é-]{0,60}", 0..5),
            name in "[a-z0-9.-]{0,80}|x402-.{0,60}",
        ) {
            let _ = read(&tags, &name, "prod");
            let _ = key_ids(&tags);
        }
    }
}
