//! Typed identifiers: mixing two kinds does not compile.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::time::{Entropy, Timestamp};

/// The text is not a UUID in its hyphenated or simple form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid identifier")]
pub struct InvalidId;

fn uuid_v7(now: Timestamp, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0_u8; 10];
    entropy.fill(&mut random);
    // Times before 1970 do not occur; clamping keeps the function total.
    let millis = u64::try_from(now.millis()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

macro_rules! typed_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identifier (UUIDv7) of the given moment.
            pub fn generate(now: Timestamp, entropy: &dyn Entropy) -> Self {
                Self(uuid_v7(now, entropy))
            }

            /// Wraps an existing UUID, as read from storage.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if text.len() > 36 {
                    return Err(InvalidId);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId)
            }
        }
    )+};
}

typed_id! {
    /// Who owns instances, credits and API keys.
    OwnerId,
    /// One API key.
    ApiKeyId,
    /// One machine we sold; the public API calls it `order`.
    InstanceId,
    /// One durable piece of work.
    OperationId,
    /// Our record of one payment proof.
    PaymentId,
    /// One ledger row.
    TransferId,
    /// Our record of money that a chain shows to have reached an address of ours.
    ArrivalId,
    /// Credit that is set aside.
    ReserveId,
    /// One thing that an owner is told about.
    EventId,
    /// An address at which an owner wants to be told.
    WebhookId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Sevens;
    impl Entropy for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    #[test]
    fn ids_sort_by_time_and_print_as_plain_uuids() {
        let early = InstanceId::generate(Timestamp::from_millis(1_000), &Sevens);
        let late = InstanceId::generate(Timestamp::from_millis(2_000), &Sevens);
        assert!(early < late);
        assert_eq!(early.to_string().parse::<InstanceId>(), Ok(early));
        assert_eq!(early.uuid().get_version_num(), 7);
    }

    #[test]
    fn junk_is_refused() {
        for junk in [
            "",
            "x",
            "../etc",
            "%2e%2e",
            "0190a1b2-0000-7000-8000-00000000000g",
        ] {
            assert_eq!(junk.parse::<InstanceId>(), Err(InvalidId), "{junk}");
        }
        assert!("0".repeat(10_000).parse::<OperationId>().is_err());
    }
}
