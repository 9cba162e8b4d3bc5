//! Our accounts at the providers: whether each may sell new machines, and what its operator must hear.

use std::collections::BTreeMap;

use compute_domain::catalog::ProviderId;

use crate::cloud::Closed;
use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{AccountRecord, AccountState, Provider as _, ProviderError, TxMode};

/// From this share of an account's limit on an operator hears of it.
const NEAR_PERCENT: u64 = 90;

impl Engine {
    /// Tells the other replicas which providers refuse our credentials, hears of theirs, and takes
    /// providers that may not sell off the shelf or puts them back.
    ///
    /// # Errors
    /// When the database cannot be used; then everything stays as it was known.
    pub async fn tend_accounts(&self) -> Result<(), Error> {
        let clouds = self.clouds.values();
        let news = clouds.filter_map(|cloud| Some((cloud.id(), cloud.unwritten_refusal()?)));
        let news: BTreeMap<_, _> = news.collect();
        if !news.is_empty() {
            let mut tx = self.store.begin(TxMode::Write).await?;
            for (provider, since) in &news {
                tx.refuse_account(*provider, *since).await?;
            }
            tx.commit().await?;
        }
        for (record, live) in self.known_accounts().await? {
            let provider = record.provider;
            if let Some(cloud) = self.clouds.get(&provider) {
                cloud.learn(record, live, news.contains_key(&provider));
            }
        }
        self.show_closed().await
    }

    /// What is known of every account, and how many live machines of ours are there.
    async fn known_accounts(&self) -> Result<Vec<(AccountRecord, u64)>, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let mut known = Vec::new();
        for record in tx.list_accounts().await? {
            let limit = record.told.and_then(|told| told.machine_limit);
            let live = match limit {
                Some(_) => tx.count_live_at(record.provider).await?,
                None => 0,
            };
            known.push((record, live));
        }
        tx.rollback().await?;
        Ok(known)
    }

    /// Rebuilds the shelf when other providers sell than before.
    async fn show_closed(&self) -> Result<(), Error> {
        let now = self.closed();
        let before = core::mem::replace(&mut *self.lock_shown(), now.clone());
        if before == now {
            return Ok(());
        }
        for (provider, why) in &now {
            if before.get(provider) != Some(why) && *why != Closed::SwitchedOff {
                tracing::error!(
                    provider.name = %provider, reason = %why, "the provider sells no new machines"
                );
            }
        }
        for provider in before.keys().filter(|id| !now.contains_key(id)) {
            tracing::info!(provider.name = %provider, "the provider sells again");
        }
        self.reload_shelf().await
    }

    /// Which providers sell no new machines, and why.
    pub(crate) fn closed(&self) -> BTreeMap<ProviderId, Closed> {
        let closed = self.clouds.keys();
        let closed = closed.filter_map(|id| Some((*id, self.why_closed(*id)?)));
        closed.collect()
    }

    /// Why this provider sells no new machines.
    pub(crate) fn why_closed(&self, provider: ProviderId) -> Option<Closed> {
        if self.config.sales.switched_off.contains(&provider) {
            return Some(Closed::SwitchedOff);
        }
        self.clouds.get(&provider)?.closed()
    }

    /// One round: asks every provider about our account, writes down what it tells, and raises the
    /// alarms that it deserves.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn watch_accounts(&self) -> Result<(), Error> {
        for (id, cloud) in &self.clouds {
            match cloud.look_at_account().await? {
                Ok(record) => self.alarm(&record).await?,
                Err(ProviderError::Unauthorized) => tracing::error!(
                    provider.name = %id, "the provider refuses our credentials"
                ),
                Err(error) => tracing::warn!(
                    provider.name = %id, error = %error, "the provider did not tell of our account"
                ),
            }
        }
        self.tend_accounts().await
    }

    async fn alarm(&self, record: &AccountRecord) -> Result<(), Error> {
        let provider = record.provider;
        if let (Some(recorded), Some(seen)) = (&record.account, &record.other) {
            tracing::error!(
                provider.name = %provider, account.recorded = recorded, account.seen = seen,
                "our credentials belong to another account than our machines; an operator must put the right ones back or accept the account"
            );
        }
        let Some(told) = record.told else {
            return Ok(());
        };
        match told.state {
            AccountState::Open => {}
            AccountState::Warned => tracing::error!(
                provider.name = %provider, "the provider has a warning for the account's owner"
            ),
            AccountState::Locked => tracing::error!(
                provider.name = %provider, "the provider has locked the account"
            ),
        }
        let least = self.config.sales.alarm_below.get(&provider);
        if let (Some(funds), Some(least)) = (told.funds, least)
            && funds < *least
        {
            tracing::error!(
                provider.name = %provider, funds = %funds, alarm_below = %least,
                "the account's funds are running out"
            );
        }
        if let Some(limit) = told.machine_limit {
            let mut tx = self.store.begin(TxMode::Read).await?;
            let live = tx.count_live_at(provider).await?;
            tx.rollback().await?;
            if is_near(live, limit) {
                tracing::error!(
                    provider.name = %provider, live, limit,
                    "the account has almost as many machines as it may have, or as many"
                );
            }
        }
        Ok(())
    }

    /// After its catalogue was read: the provider sells again, unless it still refuses to tell of our
    /// account.
    pub(crate) async fn readmit(&self, id: ProviderId) -> Result<(), Error> {
        let Some(cloud) = self.clouds.get(&id) else {
            return Ok(());
        };
        if cloud.closed() != Some(Closed::Refused)
            || cloud.account().await == Err(ProviderError::Unauthorized)
        {
            return Ok(());
        }
        let mut tx = self.store.begin(TxMode::Write).await?;
        tx.readmit_account(id).await?;
        tx.commit().await?;
        cloud.readmit();
        tracing::info!(provider.name = %id, "the provider accepts our credentials again");
        Ok(())
    }

    /// What is known of every account, for an operator, with how many live machines of ours each has.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn accounts(&self) -> Result<Vec<(AccountRecord, u64)>, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let mut accounts = Vec::new();
        for record in tx.list_accounts().await? {
            let live = tx.count_live_at(record.provider).await?;
            accounts.push((record, live));
        }
        tx.rollback().await?;
        Ok(accounts)
    }

    /// An operator says that our machines at a provider are in this account, which it showed last,
    /// from now on.
    ///
    /// # Errors
    /// `NotFound` when it is not the one that the provider showed.
    pub async fn accept_account(&self, provider: ProviderId, account: &str) -> Result<(), Error> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        let is_it = tx.accept_account(provider, account).await?;
        tx.commit().await?;
        if !is_it {
            return Err(Error::NotFound);
        }
        tracing::warn!(provider.name = %provider, account, "an operator accepted another account");
        Ok(())
    }
}

fn is_near(live: u64, limit: u32) -> bool {
    live.saturating_mul(100) >= u64::from(limit).saturating_mul(NEAR_PERCENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_of_ten_are_near_the_limit() {
        for (live, limit, expected) in [
            (0, 10, false),
            (8, 10, false),
            (9, 10, true),
            (10, 10, true),
            (11, 10, true),
            (0, 1, false),
            (1, 1, true),
            (0, 0, true),
            (u64::MAX, u32::MAX, true),
        ] {
            assert_eq!(is_near(live, limit), expected, "{live} of {limit}");
        }
    }
}
