//! A provider that asks us to slow down says how long, and is not asked again before.

use compute_domain::time::{Span, Timestamp};

use super::decide::Context;
use crate::ports::ProviderError;

/// The later of `at` and the moment from which on the provider wants to be asked again. It is not believed
/// beyond the longest wait there is for anything.
pub(super) fn not_before(at: Timestamp, error: &ProviderError, context: &Context<'_>) -> Timestamp {
    let ProviderError::Throttled {
        retry_after: Some(wait),
    } = error
    else {
        return at;
    };
    let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    let wait = Span::from_millis(millis).min(context.timing.retry_max);
    at.max(context.now.plus(wait))
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use compute_domain::id::TransferId;
    use compute_domain::time::Entropy;

    use super::*;
    use crate::ports::Ambiguity;
    use crate::timing::Timing;

    #[derive(Debug)]
    struct Zeros;

    impl Entropy for Zeros {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    #[test]
    fn the_provider_says_how_long_and_is_believed_for_a_minute() {
        let timing = Timing::default();
        let context = Context {
            now: Timestamp::from_millis(1_000_000),
            timing: &timing,
            transfer_ids: [TransferId::generate(Timestamp::from_millis(1), &Zeros); 2],
            jitter_permille: 0,
        };
        let throttled = |wait: Option<u64>| ProviderError::Throttled {
            retry_after: wait.map(Duration::from_secs),
        };
        let later = |secs: u32| context.now.plus(Span::from_secs(secs));
        for (error, expected) in [
            (throttled(None), 2),
            (throttled(Some(0)), 2),
            (throttled(Some(1)), 2),
            (throttled(Some(30)), 30),
            (throttled(Some(3_600)), 60),
            (throttled(Some(u64::MAX)), 60),
            (ProviderError::Unreachable, 2),
            (ProviderError::Ambiguous(Ambiguity::NoAnswer), 2),
        ] {
            assert_eq!(
                not_before(later(2), &error, &context),
                later(expected),
                "{error:?}"
            );
        }
    }
}
