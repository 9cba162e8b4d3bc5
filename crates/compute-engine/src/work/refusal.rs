//! Why a machine is not extended by itself, what its owner is told then, and when it is tried again.

use compute_domain::money::Usd;
use compute_domain::time::{Span, Timestamp};
use serde_json::{Value, json};

use crate::ports::AutoExtension;

/// How long after a try in vain the next one is; it doubles. Before the end it is tried more often
/// again: half of what is left is the longest pause.
const FIRST_PAUSE: Span = Span::from_secs(300);
const LONGEST_PAUSE: Span = Span::from_hours(4);
pub(crate) const SHORTEST_PAUSE: Span = Span::from_secs(60);

/// Why a machine was not extended by itself.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Not now: something else is being done with it, or its machine is being looked for, or there is
    /// time enough to wait for a price.
    Busy,
    /// It cannot be extended any more.
    Over,
    CapReached {
        required: Usd,
        left: Usd,
    },
    TooFewCredits {
        required: Usd,
        balance: Usd,
    },
    OverBudget {
        required: Usd,
    },
    /// The API key that wanted it is revoked, or has expired.
    KeyEnded,
    /// The operator sells nothing to its owner.
    Refused,
}

impl Refusal {
    /// What the owner is told: the word for it, the amounts, and what helps.
    pub(crate) fn told(&self) -> Option<(&'static str, Value, &'static str)> {
        Some(match self {
            Self::Busy | Self::Over => return None,
            Self::CapReached { required, left } => (
                "cap_reached",
                json!({ "required_usd": required.to_string(), "cap_left_usd": left.to_string() }),
                "raise max_total_usd of auto-extend, or extend it yourself",
            ),
            Self::TooFewCredits { required, balance } => (
                "insufficient_credits",
                json!({ "required_usd": required.to_string(), "balance_usd": balance.to_string() }),
                "top up credits; it is tried again until the end",
            ),
            Self::OverBudget { required } => (
                "api_key_budget_exceeded",
                json!({ "required_usd": required.to_string() }),
                "set auto-extend again with a wallet's signature or another key, or extend it yourself",
            ),
            Self::KeyEnded => (
                "api_key_invalid",
                json!({}),
                "the API key that set auto-extend is revoked or has expired: set it again with a \
                 wallet's signature or another key, or extend it yourself",
            ),
            Self::Refused => (
                "not_sold_to_this_owner",
                json!({}),
                "ask the operator of this shop",
            ),
        })
    }
}

/// Until when a try in vain is not repeated.
pub(crate) fn next_try(wish: &AutoExtension, end: Timestamp, now: Timestamp) -> Timestamp {
    let pause =
        (0..wish.failures.min(10)).fold(FIRST_PAUSE, |pause, _| pause.doubled(LONGEST_PAUSE));
    let half = Span::from_millis(end.since(now).millis() / 2);
    now.plus(pause.min(half).max(SHORTEST_PAUSE))
}
