//! How the service stands, from memory alone: for whoever looks at it often.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use compute_domain::catalog::ProviderId;
use compute_domain::payment::RailLabel;
use compute_domain::time::Timestamp;

use crate::cloud::Closed;
use crate::engine::Engine;
use crate::ports::WalletBalance;

/// How the service stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Every provider, by name.
    pub providers: Vec<ProviderStanding>,
    /// Every way to pay, in configured order.
    pub rails: Vec<RailStanding>,
    /// Whether the database committed when it was last asked to.
    pub stores: bool,
}

/// How a provider stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProviderStanding {
    /// The provider.
    pub provider: ProviderId,
    /// Why nothing new of it is sold; none while it sells.
    pub closed: Option<Closed>,
    /// When it last confirmed its catalogue; none before the first time.
    pub confirmed_at: Option<Timestamp>,
}

/// How a way to pay stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RailStanding {
    /// The rail.
    pub label: RailLabel,
    /// Whether it is offered.
    pub is_ready: bool,
    /// What pays for its work on the chain, where that is an account of ours.
    pub wallet: Option<WalletBalance>,
}

impl Engine {
    /// How the service stands, as of the last rounds of its workers. Asks nobody.
    pub fn standing(&self) -> Standing {
        let shelves = self.shelves.read();
        let confirmed = shelves.unwrap_or_else(PoisonError::into_inner).confirmed();
        let providers = self.clouds.keys().map(|provider| ProviderStanding {
            provider: *provider,
            closed: self.why_closed(*provider),
            confirmed_at: confirmed.get(provider).copied(),
        });
        let rails = self.rails.iter().map(|rail| RailStanding {
            label: rail.label().clone(),
            is_ready: self.is_ready(rail.label()),
            wallet: rail.wallet(),
        });
        Standing {
            providers: providers.collect(),
            rails: rails.collect(),
            stores: self.stores.load(Ordering::Relaxed),
        }
    }

    /// Whether a catalogue that was confirmed then may still be sold from.
    pub fn is_fresh(&self, confirmed_at: Timestamp) -> bool {
        self.now().since(confirmed_at) <= self.config.sales.catalog_max_age
    }
}
