//! Who may ask, and how often.

use core::fmt;
use core::num::NonZeroU32;

use compute_wallet::WalletAddress;
use governor::clock::DefaultClock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// How many payers are remembered before those that rested are forgotten.
const PAYERS_REMEMBERED: usize = 10_000;

type Limiter = RateLimiter<WalletAddress, DefaultKeyedStateStore<WalletAddress>, DefaultClock>;

/// The token that a client must show, and what one payer may have.
pub(crate) struct Gate {
    token: Option<[u8; 32]>,
    payers: Limiter,
}

impl Gate {
    /// Without a token everybody may ask: for listeners that only this machine reaches.
    pub(crate) fn new(token: Option<&SecretString>, per_payer_per_minute: NonZeroU32) -> Self {
        Self {
            token: token.map(|token| digest(token.expose_secret())),
            payers: RateLimiter::keyed(Quota::per_minute(per_payer_per_minute)),
        }
    }

    /// Whether the request shows the token. Digests are compared, so that time tells nothing.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(expected) = &self.token else {
            return true;
        };
        let shown = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|text| text.split_once(' '));
        shown.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case("bearer") && digest(token.trim()).ct_eq(expected).into()
        })
    }

    /// Whether this payer may be served once more now.
    pub(crate) fn has_room_for(&self, payer: &WalletAddress) -> bool {
        if self.payers.len() > PAYERS_REMEMBERED {
            self.payers.retain_recent();
        }
        self.payers.check_key(payer).is_ok()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("has_token", &self.token.is_some())
            .finish_non_exhaustive()
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}
