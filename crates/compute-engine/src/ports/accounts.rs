//! What the database remembers of our accounts at the providers, as business verbs.

use async_trait::async_trait;
use compute_domain::catalog::ProviderId;
use compute_domain::money::Usd;
use compute_domain::time::Timestamp;

use super::provider::{AccountState, ProviderAccount};
use super::store::StoreError;

/// What is known of our account at one provider. All replicas share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRecord {
    /// The provider.
    pub provider: ProviderId,
    /// The account that our machines are in: the first that was seen, or that an operator accepted.
    pub account: Option<String>,
    /// Another account that the provider showed instead when it was last asked.
    pub other: Option<String>,
    /// Since when it refuses our credentials.
    pub refused_since: Option<Timestamp>,
    /// What it last told, and when.
    pub told: Option<AccountTold>,
}

/// What a provider told of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountTold {
    /// When.
    pub at: Timestamp,
    /// Whether it may make machines.
    pub state: AccountState,
    /// What it can still spend, when it is prepaid.
    pub funds: Option<Usd>,
    /// How many machines it may have.
    pub machine_limit: Option<u32>,
}

impl AccountRecord {
    /// Of a provider of which nothing is known.
    pub const fn unknown(provider: ProviderId) -> Self {
        Self {
            provider,
            account: None,
            other: None,
            refused_since: None,
            told: None,
        }
    }

    /// What it becomes when the provider tells of an account: the first one is ours, and any other is
    /// another. One without a name changes neither.
    #[must_use]
    pub fn after(self, seen: &ProviderAccount, at: Timestamp) -> Self {
        let (account, other) = match (&self.account, &seen.id) {
            (_, None) => (self.account, self.other),
            (None, Some(id)) => (Some(id.clone()), None),
            (Some(ours), Some(id)) if ours == id => (self.account, None),
            (Some(_), Some(id)) => (self.account, Some(id.clone())),
        };
        let told = AccountTold {
            at,
            state: seen.state,
            funds: seen.funds,
            machine_limit: seen.machine_limit,
        };
        Self {
            account,
            other,
            told: Some(told),
            ..self
        }
    }
}

/// Our accounts at the providers.
#[async_trait]
pub trait Accounts: Send {
    /// What is known of every account, by the provider's name. Providers without a row are left out.
    async fn list_accounts(&mut self) -> Result<Vec<AccountRecord>, StoreError>;
    /// Notes what a provider told; gives what is known then. As [`AccountRecord::after`].
    async fn note_account(
        &mut self,
        provider: ProviderId,
        seen: &ProviderAccount,
        now: Timestamp,
    ) -> Result<AccountRecord, StoreError>;
    /// Notes that a provider refuses our credentials, unless that is known; says whether it is news.
    async fn refuse_account(
        &mut self,
        provider: ProviderId,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Notes that it does not any more; says whether it did.
    async fn readmit_account(&mut self, provider: ProviderId) -> Result<bool, StoreError>;
    /// From now on our machines are in the other account that the provider showed. Says whether it is
    /// the one that it showed.
    async fn accept_account(
        &mut self,
        provider: ProviderId,
        other: &str,
    ) -> Result<bool, StoreError>;
    /// How many live instances a provider has, or is to make.
    async fn count_live_at(&mut self, provider: ProviderId) -> Result<u64, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_account_is_ours_and_every_other_is_another() {
        let seen = |id: Option<&str>| ProviderAccount {
            id: id.map(str::to_owned),
            state: AccountState::Open,
            funds: None,
            machine_limit: None,
        };
        let mut record = AccountRecord::unknown(ProviderId::Vultr);
        for (id, account, other) in [
            (None, None, None),
            (Some("a"), Some("a"), None),
            (Some("b"), Some("a"), Some("b")),
            (None, Some("a"), Some("b")),
            (Some("c"), Some("a"), Some("c")),
            (Some("a"), Some("a"), None),
        ] {
            record = record.after(&seen(id), Timestamp::from_millis(1));
            assert_eq!(record.account.as_deref(), account, "{id:?}");
            assert_eq!(record.other.as_deref(), other, "{id:?}");
        }
    }
}
