//! Setting credit aside for payments that go back to their buyers, and what the ledger says of it.
//!
//! Whatever is set aside leaves the owner's credits in the transaction that says so, and comes back, or
//! leaves for good, in the one that says why. So the same money is never both spent and given back.

use compute_domain::id::{OperationId, OwnerId, ReserveId, TransferId};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::money::Usd;
use compute_domain::payment::Payment;
use compute_domain::reserve::{Dispute, DisputeState, Reserve, ReserveKind, ReserveState};

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{Posted, Tx};

impl Engine {
    /// Sets credit aside; false, and nothing written, when the payment has a refund of that name.
    pub(crate) async fn set_aside(
        &self,
        tx: &mut dyn Tx,
        reserve: &Reserve,
    ) -> Result<bool, Error> {
        if !tx.insert_reserve(reserve).await? {
            return Ok(false);
        }
        let reason = match reserve.kind {
            ReserveKind::Refund => TransferReason::CardRefund,
            ReserveKind::Dispute => TransferReason::Dispute,
        };
        let owner = Account::Credits(reserve.owner);
        self.post_for(tx, reserve, owner, Account::Suspense, reason)
            .await?;
        Ok(true)
    }

    /// Writes where a held reserve has gone; false, and nothing written, when it is not held any more.
    pub(crate) async fn close_reserve(
        &self,
        tx: &mut dyn Tx,
        closed: &Reserve,
    ) -> Result<bool, Error> {
        let (credit, reason) = match &closed.state {
            ReserveState::Held => return Ok(false),
            ReserveState::Paid { .. } => (
                Account::Clearing(closed.rail.clone()),
                TransferReason::ReservePaid,
            ),
            ReserveState::Released { .. } => (
                Account::Credits(closed.owner),
                TransferReason::ReserveReleased,
            ),
        };
        if !tx.save_reserve(closed).await? {
            return Ok(false);
        }
        self.post_for(tx, closed, Account::Suspense, credit, reason)
            .await?;
        Ok(true)
    }

    /// Freezes what is left of a disputed payment as credit, and no more than `most`. The owner's account
    /// must be locked. What was set aside for it, if anything was.
    pub(crate) async fn freeze(
        &self,
        tx: &mut dyn Tx,
        dispute: &Dispute,
        payment: &Payment,
        most: Usd,
    ) -> Result<Option<Reserve>, Error> {
        let mut frozen = Usd::ZERO;
        for reserve in tx.reserves_of(dispute).await? {
            if !matches!(reserve.state, ReserveState::Released { .. }) {
                frozen = frozen.checked_add(reserve.amount).unwrap_or(Usd::MAX);
            }
        }
        let wanted = dispute.amount.checked_sub(frozen).unwrap_or(Usd::ZERO);
        let left = tx.returned_of(payment).await?;
        let balance = tx.lock_credits(payment.owner).await?;
        let amount = wanted.min(left).min(balance).min(most);
        if amount == Usd::ZERO {
            return Ok(None);
        }
        let now = self.now();
        let reserve = Reserve {
            id: ReserveId::generate(now, self.entropy.as_ref()),
            payment: payment.id,
            owner: payment.owner,
            rail: payment.rail.clone(),
            kind: ReserveKind::Dispute,
            name: dispute.reference.clone(),
            amount,
            note: String::new(),
            account: None,
            created_at: now,
            state: ReserveState::Held,
        };
        self.set_aside(tx, &reserve).await?;
        Ok(Some(reserve))
    }

    /// Something was just given back to an owner for what an operation is about: while a payment of it is
    /// disputed, that is frozen before anybody can spend it; when the dispute is lost, the buyer has had it
    /// from the bank already, and it is gone here.
    pub(crate) async fn freeze_given(
        &self,
        tx: &mut dyn Tx,
        operation: OperationId,
        owner: OwnerId,
        given: Usd,
    ) -> Result<(), Error> {
        let mut rest = given;
        for dispute in tx.disputes_against(operation).await? {
            if dispute.owner != owner {
                continue;
            }
            let payment = tx.payment_with_id(dispute.payment).await?;
            let payment =
                payment.ok_or_else(|| Error::Internal("a dispute about no payment".into()))?;
            let Some(frozen) = self.freeze(tx, &dispute, &payment, rest).await? else {
                continue;
            };
            let amount = frozen.amount;
            rest = rest.checked_sub(amount).unwrap_or(Usd::ZERO);
            if dispute.state == DisputeState::Lost {
                let gone = frozen.pay(dispute.reference.clone())?;
                self.close_reserve(tx, &gone).await?;
            }
            tracing::warn!(
                dispute = dispute.reference, payment.rail = %dispute.rail, owner.id = %owner,
                %amount, "what was given back is frozen, or gone: the payment is disputed"
            );
        }
        Ok(())
    }

    async fn post_for(
        &self,
        tx: &mut dyn Tx,
        reserve: &Reserve,
        debit: Account,
        credit: Account,
        reason: TransferReason,
    ) -> Result<(), Error> {
        let now = self.now();
        let transfer = Transfer {
            id: TransferId::generate(now, self.entropy.as_ref()),
            debit,
            credit,
            amount: reserve.amount,
            reason,
            cause: reserve.id.into(),
            created_at: now,
        };
        match self.post(tx, &transfer, None).await? {
            Posted::New => Ok(()),
            Posted::Already | Posted::Insufficient => Err(Error::Internal(
                "the ledger does not agree with what was set aside".into(),
            )),
        }
    }
}
