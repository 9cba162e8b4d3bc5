//! `[auth]`: how callers are recognised.

use compute_domain::time::Span;
use compute_engine::AuthTerms;

use super::check::Check;
use super::section::section;

section! {
    /// How callers are recognised.
    Auth {
        /// How far the time in a signature may be from ours, either way.
        clock_skew: Span = Span::from_secs(300),
        /// How long a spent nonce is remembered; more than twice `clock_skew`.
        nonce_ttl: Span = Span::from_secs(900),
        /// Live API keys that one owner may have.
        max_api_keys: u32 = 50,
    }
}

impl Auth {
    pub(super) fn check(&self, check: &mut Check<'_>) -> AuthTerms {
        if self.clock_skew == Span::ZERO {
            check.problem(
                "auth.clock_skew",
                "must be more than nothing: no two clocks agree",
            );
        }
        if self.nonce_ttl.millis() <= self.clock_skew.millis().saturating_mul(2) {
            check.problem("auth.nonce_ttl", "must be more than twice auth.clock_skew");
        }
        if self.max_api_keys == 0 {
            check.problem("auth.max_api_keys", "must be at least 1");
        }
        AuthTerms {
            clock_skew: self.clock_skew,
            nonce_ttl: self.nonce_ttl,
            max_api_keys: self.max_api_keys,
        }
    }
}
