//! Bugs on purpose, in the store or in what stands between the engine and its partners. A checker
//! that does not find them proves nothing.

use core::fmt;

use crate::planted::PlantedBug;

/// One planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// One of the store's.
    Store(PlantedBug),
    /// The search by mark finds nothing.
    NoTagSearch,
    /// A create without an answer is sent again.
    CreateRetried,
    /// An accepted deletion counts as done.
    DeleteTrusted,
    /// A facilitator's success is believed without a look at the chain.
    LyingSuccess,
    /// A settlement without an answer counts as declined.
    UnknownIsDeclined,
    /// A settlement without an answer counts as never sent.
    UnknownIsNotSent,
    /// A payment that is not on the chain counts as void while it can still land.
    NeverTooEarly,
    /// A token's decimals are taken for six.
    WrongDecimals,
    /// The root password handed on is the last machine's.
    PasswordMixedUp,
}

/// The bugs that are not the store's.
const OTHERS: [(Bug, &str); 9] = [
    (Bug::NoTagSearch, "no-tag-search"),
    (Bug::CreateRetried, "create-retried"),
    (Bug::DeleteTrusted, "delete-trusted"),
    (Bug::LyingSuccess, "lying-success"),
    (Bug::UnknownIsDeclined, "unknown-is-declined"),
    (Bug::UnknownIsNotSent, "unknown-is-not-sent"),
    (Bug::NeverTooEarly, "never-too-early"),
    (Bug::WrongDecimals, "wrong-decimals"),
    (Bug::PasswordMixedUp, "password-mixed-up"),
];

impl Bug {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let stores = PlantedBug::ALL.iter().copied().map(Self::Store);
        stores.chain(OTHERS.iter().map(|(bug, _)| *bug)).collect()
    }

    /// The bug of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|bug| bug.to_string() == name)
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Store(bug) = self {
            return write!(f, "{bug}");
        }
        let known = OTHERS.iter().find(|(bug, _)| bug == self);
        f.write_str(known.map_or("unknown", |(_, name)| name))
    }
}
