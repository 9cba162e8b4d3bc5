//! Machine ids that tell everything about a machine that changes with time.

use std::net::{IpAddr, Ipv4Addr};

use compute_domain::catalog::ProviderInstanceId;
use compute_domain::time::{Clock, Entropy, Span, Timestamp};

const PREFIX: &str = "sim-";

/// `sim-<milliseconds since 1970, 13 digits or more>-<16 hex digits of chance>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MachineId {
    created_at: Timestamp,
    chance: [u8; 8],
}

impl MachineId {
    /// The id of a machine made now.
    pub(super) fn generate(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
        let mut chance = [0_u8; 8];
        entropy.fill(&mut chance);
        // Times before 1970 do not occur; a minus sign would not read back.
        Self {
            created_at: clock.now().max(Timestamp::from_millis(0)),
            chance,
        }
    }

    /// Reads an id of ours; anything else never was a machine.
    pub(super) fn parse(id: &ProviderInstanceId) -> Option<Self> {
        let (millis, chance) = id.as_str().strip_prefix(PREFIX)?.split_once('-')?;
        let mut bytes = [0_u8; 8];
        hex::decode_to_slice(chance, &mut bytes).ok()?;
        Some(Self {
            created_at: Timestamp::from_millis(millis.parse().ok()?),
            chance: bytes,
        })
    }

    /// When the machine was made.
    pub(super) const fn created_at(self) -> Timestamp {
        self.created_at
    }

    /// Whether it has booted.
    pub(super) fn is_ready(self, now: Timestamp, boot_time: Span) -> bool {
        now.since(self.created_at) >= boot_time
    }

    /// Its address: one of the 254 hosts of 192.0.2.0/24, which RFC 5737 reserves for documents,
    /// so nobody can be reached there. Two machines may share one.
    pub(super) fn address(self) -> IpAddr {
        let host = u64::from_be_bytes(self.chance) % 254;
        let host = u8::try_from(host).unwrap_or(0).saturating_add(1);
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, host))
    }
}

impl core::fmt::Display for MachineId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{PREFIX}{:013}-{}",
            self.created_at.millis(),
            hex::encode(self.chance)
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// An id reads back as itself, and its address is a host of the documentation network.
        #[test]
        fn ids_read_back(millis in 0..i64::MAX, chance: [u8; 8]) {
            let id = MachineId { created_at: Timestamp::from_millis(millis), chance };
            let text = ProviderInstanceId::parse(&id.to_string()).unwrap();
            prop_assert_eq!(MachineId::parse(&text), Some(id));
            let IpAddr::V4(address) = id.address() else { panic!("an IPv4 address") };
            let [a, b, c, host] = address.octets();
            prop_assert_eq!([a, b, c], [192, 0, 2]);
            prop_assert!((1..=254).contains(&host));
        }
    }

    #[test]
    fn foreign_ids_never_were_machines() {
        for id in [
            "sim-",
            "sim-1-",
            "sim-1-zz",
            "sim-x-0011223344556677",
            "4dba1a1e-0000",
        ] {
            assert_eq!(
                MachineId::parse(&ProviderInstanceId::parse(id).unwrap()),
                None,
                "{id}"
            );
        }
    }
}
