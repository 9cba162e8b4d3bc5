//! The memo that binds a transfer to one challenge.

use std::fmt;

use compute_wallet::{Digest32, keccak256};

/// The version of the layout.
const VERSION: u8 = 1;

/// 32 bytes in the `memo` of a transfer:
/// tag (4), version (1), hash of the realm (10), of the client (10 or zeros), of the challenge id (7).
///
/// Seven bytes tell payments apart; they are no secret and no proof by themselves.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttributionMemo(Digest32);

/// The parts of a memo that a server checks.
struct Parts {
    tag: [u8; 4],
    realm: [u8; 10],
    challenge: [u8; 7],
}

impl AttributionMemo {
    /// The memo that pays a challenge; `client_id` names the paying program and is free.
    #[must_use]
    pub fn of(realm: &str, challenge_id: &str, client_id: Option<&str>) -> Self {
        let parts = Parts::of(realm, challenge_id);
        let client: [u8; 10] = client_id.map_or([0; 10], |id| head(&keccak256(id.as_bytes())));
        let mut memo = [0_u8; 32];
        let bytes = parts
            .tag
            .into_iter()
            .chain([VERSION])
            .chain(parts.realm)
            .chain(client)
            .chain(parts.challenge);
        for (slot, byte) in memo.iter_mut().zip(bytes) {
            *slot = byte;
        }
        Self(memo)
    }

    /// Wraps the memo of a transfer, whatever is in it.
    #[must_use]
    pub const fn from_bytes(bytes: Digest32) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &Digest32 {
        &self.0
    }

    /// Whether it is a memo of this scheme at all, of any version.
    #[must_use]
    pub fn is_tagged(&self) -> bool {
        self.0.starts_with(&tag())
    }

    /// Whether it binds a transfer to this challenge: tag, version, realm and challenge must match.
    #[must_use]
    pub fn pays(&self, realm: &str, challenge_id: &str) -> bool {
        let parts = Parts::of(realm, challenge_id);
        let [t0, t1, t2, t3, version, rest @ ..] = &self.0;
        [*t0, *t1, *t2, *t3] == parts.tag
            && *version == VERSION
            && rest.starts_with(&parts.realm)
            && rest.ends_with(&parts.challenge)
    }
}

impl Parts {
    fn of(realm: &str, challenge_id: &str) -> Self {
        Self {
            tag: tag(),
            realm: head(&keccak256(realm.as_bytes())),
            challenge: head(&keccak256(challenge_id.as_bytes())),
        }
    }
}

fn tag() -> [u8; 4] {
    head(&keccak256(b"mpp"))
}

fn head<const N: usize>(hash: &Digest32) -> [u8; N] {
    let mut part = [0_u8; N];
    for (slot, byte) in part.iter_mut().zip(hash) {
        *slot = *byte;
    }
    part
}

impl fmt::Debug for AttributionMemo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::AttributionMemo;

    proptest! {
        // The client part is free, every other byte counts.
        #[test]
        fn only_the_client_part_is_free(at in 0_usize..32, bit in 0_u8..8) {
            let mut bytes = *AttributionMemo::of("shop.example", "id", Some("agent")).as_bytes();
            bytes[at] ^= 1 << bit;
            let pays = AttributionMemo::from_bytes(bytes).pays("shop.example", "id");
            prop_assert_eq!(pays, (15..25).contains(&at));
        }
    }
}
