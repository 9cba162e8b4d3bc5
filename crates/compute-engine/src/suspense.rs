//! What an operator sees of money that no payment explains, and of payments that a chain took back.

use compute_domain::arrival::{Arrival, ArrivalState};
use compute_domain::id::{ArrivalId, OwnerId, TransferId};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::money::Usd;
use compute_wallet::WalletAddress;

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{ArrivalSource, Posted, RevertedPayment, TxMode};

/// How many of a kind one look shows.
const LIST_MAX: u32 = 200;

/// What has arrived and is no payment's, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrivalsView {
    /// How far each source was read.
    pub sources: Vec<ArrivalSource>,
    /// What a payment that is still undecided may explain; oldest first, 200 at most.
    pub waiting: Vec<Arrival>,
    /// What nothing explains; oldest first, 200 at most.
    pub unmatched: Vec<Arrival>,
}

impl Engine {
    /// What has arrived and is no payment's.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn arrivals(&self) -> Result<ArrivalsView, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let sources = tx.list_arrival_sources().await?;
        let waiting = ArrivalState::Waiting.name();
        let waiting = tx.list_arrivals(None, waiting, LIST_MAX).await?;
        let unmatched = ArrivalState::Unmatched.name();
        let unmatched = tx.list_arrivals(None, unmatched, LIST_MAX).await?;
        tx.rollback().await?;
        Ok(ArrivalsView {
            sources,
            waiting,
            unmatched,
        })
    }

    /// Payments that their chain took back and that are not in it again; oldest first, 200 at most.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn reverted(&self) -> Result<Vec<RevertedPayment>, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let reverted = tx.list_reverted(LIST_MAX).await?;
        tx.rollback().await?;
        Ok(reverted)
    }

    /// Makes an arrival that nothing explains the credit of whoever holds a wallet, for a reason that
    /// stays with it. Says how much that was.
    ///
    /// # Errors
    /// `NotFound` for an unknown id, `WrongState` unless it is unmatched.
    pub async fn assign_arrival(
        &self,
        id: ArrivalId,
        wallet: &WalletAddress,
        reason: &str,
    ) -> Result<Usd, Error> {
        let now = self.now();
        let mut tx = self.store.begin(TxMode::Write).await?;
        let arrival = tx.find_arrival(id).await?.ok_or(Error::NotFound)?;
        let before = arrival.state.name();
        if arrival.state != ArrivalState::Unmatched {
            tx.rollback().await?;
            return Err(Error::WrongState { state: before });
        }
        let candidate = OwnerId::generate(now, self.entropy.as_ref());
        let owner = tx.ensure_owner(candidate, wallet, now).await?;
        let amount = arrival.worth();
        let transfer = Transfer {
            id: TransferId::generate(now, self.entropy.as_ref()),
            debit: Account::Suspense,
            credit: Account::Credits(owner),
            amount,
            reason: TransferReason::OperatorRefund,
            cause: id.into(),
            created_at: now,
        };
        // The account first, as everywhere: nobody waits for each other then.
        let is_new = self.post(tx.as_mut(), &transfer, None).await? == Posted::New;
        let assigned = arrival.assign(owner, reason.to_owned())?;
        if !is_new || !tx.save_arrival(&assigned, before).await? {
            // It was explained or assigned a moment ago.
            tx.rollback().await?;
            return Err(Error::WrongState { state: "settled" });
        }
        tx.commit().await?;
        tracing::warn!(
            arrival.id = %id, owner.id = %owner, amount = %amount, reason,
            "an operator made an arrival somebody's credit"
        );
        Ok(amount)
    }
}
