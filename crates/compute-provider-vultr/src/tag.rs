//! The marks on a machine. The vendor stores tags as they are, at most 50 of 512 characters.

use compute_domain::id::OperationId;
use compute_engine::ports::MachineTag;

const FLEET: &str = "x402compute-";
const OPERATION: &str = "x402-op=";
const ATTEMPT: &str = "x402-attempt=";
const KEY: &str = "x402-key=";

/// The mark of all machines of an installation.
pub(crate) fn fleet(environment: &str) -> String {
    format!("{FLEET}{environment}")
}

/// The mark of all machines of an operation.
pub(crate) fn operation(id: OperationId) -> String {
    format!("{OPERATION}{id}")
}

/// Every mark of a machine, with the ids of its registered SSH keys.
pub(crate) fn all(tag: &MachineTag, key_ids: &[&str]) -> Vec<String> {
    let mut tags = vec![
        fleet(&tag.environment),
        operation(tag.operation),
        format!("{ATTEMPT}{}", tag.attempt),
    ];
    tags.extend(key_ids.iter().map(|id| format!("{KEY}{id}")));
    tags
}

/// Reads the marks back; `None` unless the machine is of this installation.
pub(crate) fn parse(tags: &[String], environment: &str) -> Option<MachineTag> {
    if whose(tags, environment) != Whose::Ours {
        return None;
    }
    Some(MachineTag {
        environment: environment.to_owned(),
        operation: value_of(tags, OPERATION)?.parse().ok()?,
        attempt: value_of(tags, ATTEMPT)?.parse().ok()?,
    })
}

/// Which installation a machine is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Ours,
    /// It carries the mark of another one, and not ours.
    Theirs,
    Nobodys,
}

/// Whose machine it is by its tags.
pub(crate) fn whose(tags: &[String], environment: &str) -> Whose {
    let ours = fleet(environment);
    if tags.iter().any(|tag| tag.eq_ignore_ascii_case(&ours)) {
        Whose::Ours
    } else if value_of(tags, FLEET).is_some() {
        Whose::Theirs
    } else {
        Whose::Nobodys
    }
}

/// The ids of the SSH keys that were registered for the machine alone.
pub(crate) fn key_ids(tags: &[String]) -> impl Iterator<Item = &str> {
    values_of(tags, KEY)
}

fn value_of<'a>(tags: &'a [String], name: &'static str) -> Option<&'a str> {
    values_of(tags, name).next()
}

fn values_of<'a>(tags: &'a [String], name: &'static str) -> impl Iterator<Item = &'a str> {
    tags.iter().filter_map(move |tag| {
        let (head, value) = tag.split_at_checked(name.len())?;
        head.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// A name for the panel and for the key: it says nothing about the customer.
pub(crate) fn name(tag: &MachineTag) -> String {
    format!("{}{}", name_start(tag.operation), tag.attempt)
}

/// How the names of all attempts of an operation begin, and no others.
pub(crate) fn name_start(operation: OperationId) -> String {
    format!("x402-{}-", operation.uuid().simple())
}

/// A host name for customers who chose none.
pub(crate) fn hostname(tag: &MachineTag) -> String {
    let id = tag.operation.uuid().simple().to_string();
    // The first half of the id is the time, the second is random.
    let random = id.get(20..).unwrap_or(&id);
    format!("x402-{random}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag() -> MachineTag {
        let operation = "0190a1b2-0000-7000-8000-0000000000ab".parse().unwrap();
        MachineTag {
            environment: "prod".into(),
            operation,
            attempt: 2,
        }
    }

    #[test]
    fn marks_can_be_read_back_in_any_case_and_order() {
        let mut tags = all(&tag(), &["key", "other"]);
        assert_eq!(parse(&tags, "prod"), Some(tag()));
        assert_eq!(key_ids(&tags).collect::<Vec<_>>(), ["key", "other"]);
        tags.reverse();
        let shouted: Vec<String> = tags.iter().map(|tag| tag.to_uppercase()).collect();
        assert_eq!(parse(&shouted, "prod"), Some(tag()));
    }

    #[test]
    fn another_installation_is_not_ours() {
        let tags = all(&tag(), &[]);
        assert_eq!(parse(&tags, "dev"), None);
        assert_eq!(whose(&tags, "dev"), Whose::Theirs);
        assert_eq!(whose(&["mine".into()], "prod"), Whose::Nobodys);
        assert_eq!(parse(&[], "prod"), None);
        assert_eq!(parse(&[fleet("prod")], "prod"), None);
        assert_eq!(key_ids(&tags).count(), 0);
        assert_eq!(
            parse(&[fleet("prod"), "ü".into(), "x402-op=junk".into()], "prod"),
            None
        );
    }

    #[test]
    fn names_are_short_and_say_nothing() {
        assert_eq!(name(&tag()), "x402-0190a1b20000700080000000000000ab-2");
        assert!(name(&tag()).starts_with(&name_start(tag().operation)));
        assert_eq!(hostname(&tag()), "x402-0000000000ab");
    }
}
