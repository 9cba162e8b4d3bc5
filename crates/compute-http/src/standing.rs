//! Where a budget stands after a request was counted, and how an answer says so
//! (draft-ietf-httpapi-ratelimit-headers-10).

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Whose budget it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The address's, of who proves nothing.
    Address,
    /// The owner's, who is known.
    Owner,
    /// That of all owners at one address.
    Crowd,
}

impl Whose {
    const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Owner => "owner",
            Self::Crowd => "owners-at-address",
        }
    }
}

/// Where a budget stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    whose: Whose,
    /// Requests that are left at once.
    left: u32,
    /// How long until there is one again, when there is none.
    wait: Option<Duration>,
}

impl Standing {
    /// After a request was counted, or turned away.
    pub(crate) const fn after(whose: Whose, counted: &Result<u32, Duration>) -> Self {
        match counted {
            Ok(left) => Self {
                whose,
                left: *left,
                wait: None,
            },
            Err(wait) => Self {
                whose,
                left: 0,
                wait: Some(*wait),
            },
        }
    }
}

/// Takes down inside a request where its owner's budget stands; only a request that counts for one has it.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    network: IpAddr,
    standing: Arc<OnceLock<Standing>>,
}

impl Tally {
    /// For a request from this network.
    pub(crate) fn new(network: IpAddr) -> Self {
        Self {
            network,
            standing: Arc::default(),
        }
    }

    /// Where the request comes from.
    pub(crate) const fn network(&self) -> IpAddr {
        self.network
    }

    pub(crate) fn note(&self, standing: Standing) {
        // A request is counted once; were it not, the first count would be the one to show.
        let _ = self.standing.set(standing);
    }

    pub(crate) fn standing(&self) -> Option<Standing> {
        self.standing.get().copied()
    }
}

/// What the budgets are, as answers show them.
#[derive(Debug)]
pub(crate) struct Policies {
    address: HeaderValue,
    owner: HeaderValue,
    crowd: HeaderValue,
}

impl Policies {
    pub(crate) fn new(address: NonZeroU32, owner: NonZeroU32, crowd: NonZeroU32) -> Self {
        let of = |whose: Whose, quota: NonZeroU32| {
            HeaderValue::try_from(format!("\"{}\";q={quota};w=60", whose.name()))
                .unwrap_or(HeaderValue::from_static("\"unnamed\""))
        };
        Self {
            address: of(Whose::Address, address),
            owner: of(Whose::Owner, owner),
            crowd: of(Whose::Crowd, crowd),
        }
    }

    /// Says in an answer where the budget stands.
    pub(crate) fn show(&self, standing: &Standing, headers: &mut HeaderMap) {
        let (name, left) = (standing.whose.name(), standing.left);
        let text = match standing.wait {
            Some(wait) => {
                let seconds = wait.as_secs().saturating_add(1);
                format!("\"{name}\";r={left};t={seconds}")
            }
            None => format!("\"{name}\";r={left}"),
        };
        let policy = match standing.whose {
            Whose::Address => &self.address,
            Whose::Owner => &self.owner,
            Whose::Crowd => &self.crowd,
        };
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(RATELIMIT_POLICY, policy.clone());
            headers.insert(RATELIMIT, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_whose_budget_it_is_and_what_is_left() {
        let quota = |number| NonZeroU32::new(number).unwrap();
        let policies = Policies::new(quota(600), quota(1_200), quota(4_800));
        for (whose, counted, policy, state) in [
            (
                Whose::Address,
                Ok(599),
                "\"address\";q=600;w=60",
                "\"address\";r=599",
            ),
            (
                Whose::Owner,
                Err(Duration::from_millis(2_100)),
                "\"owner\";q=1200;w=60",
                "\"owner\";r=0;t=3",
            ),
            (
                Whose::Crowd,
                Err(Duration::from_millis(100)),
                "\"owners-at-address\";q=4800;w=60",
                "\"owners-at-address\";r=0;t=1",
            ),
        ] {
            let mut headers = HeaderMap::new();
            policies.show(&Standing::after(whose, &counted), &mut headers);
            assert_eq!(headers["ratelimit-policy"], policy);
            assert_eq!(headers["ratelimit"], state);
        }
    }
}
