//! What an operator gives back over the payment network itself, and what an operator sees of disputes.

use compute_domain::arrival::worth;
use compute_domain::id::{OperationId, ReserveId};
use compute_domain::money::{AssetAmount, Usd};
use compute_domain::payment::Payment;
use compute_domain::reserve::{Dispute, Reserve, ReserveKind, ReserveState};

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::TxMode;

/// How many of a kind one look shows.
const LIST_MAX: u32 = 200;

/// How the proofs of card payments begin.
const CARDS: &str = "mpp:stripe:";

/// What an operator wants given back to a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardRefund {
    /// The purchase.
    pub operation: OperationId,
    /// How much; as much as can be when none.
    pub amount: Option<Usd>,
    /// The operator's name of this refund, 1 to 255 characters: under one name of a purchase, one is
    /// made.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// How much of a price one smallest unit of its currency is worth.
fn unit(payment: &Payment) -> Usd {
    worth(AssetAmount {
        atomic: 1,
        ..payment.asset
    })
}

/// Whether an amount can be paid in the payment's currency; how many of its smallest units it is.
pub(crate) fn atomic_of(payment: &Payment, amount: Usd) -> Option<u128> {
    let (amount, unit) = (amount.micros(), unit(payment).micros());
    let is_whole = amount > 0 && unit > 0 && amount.checked_rem(unit) == Some(0);
    let atomic = is_whole.then(|| amount.checked_div(unit)).flatten()?;
    u128::try_from(atomic)
        .ok()
        .filter(|atomic| *atomic <= payment.asset.atomic)
}

/// The most that can be paid of an amount in the payment's currency.
fn whole_units(payment: &Payment, amount: Usd) -> Usd {
    let (micros, unit) = (amount.micros(), unit(payment).micros());
    let rest = micros.checked_rem(unit).unwrap_or(micros);
    Usd::from_micros(micros.saturating_sub(rest)).unwrap_or(Usd::ZERO)
}

impl Engine {
    /// Sets aside what goes back to a card; a running server sends it. What is set aside is the owner's
    /// credit no more. Says where the refund of that name is, and whether it is new.
    ///
    /// # Errors
    /// `NotFound` for an unknown operation, `WrongState` (`not_by_card`, `other_amount`,
    /// `no_such_amount`) when it was not paid by card, when the name stands for another amount, or when
    /// the currency has no such amount, `InsufficientCredits` when less of the payment is left as credit.
    pub async fn refund_to_card(&self, refund: &CardRefund) -> Result<(Reserve, bool), Error> {
        let (now, id) = (self.now(), refund.operation);
        let mut tx = self.store.begin(TxMode::Write).await?;
        tx.find_operation(id).await?.ok_or(Error::NotFound)?;
        let payment = tx.payment_of(id).await?;
        let by_card = |it: &Payment| it.evidence().is_some() && it.proof_key.starts_with(CARDS);
        let Some(payment) = payment.filter(by_card) else {
            tx.rollback().await?;
            return Err(Error::WrongState {
                state: "not_by_card",
            });
        };
        // Operations are locked before accounts, everywhere.
        tx.append_event(
            id,
            now,
            &self.config.holder,
            "card_refund.begun",
            &refund.reason,
        )
        .await?;
        let balance = tx.open_credits(payment.owner).await?;
        if let Some(known) = tx.find_refund(payment.id, &refund.name).await? {
            tx.rollback().await?;
            return match refund.amount {
                Some(amount) if amount != known.amount => Err(Error::WrongState {
                    state: "other_amount",
                }),
                _ => Ok((known, false)),
            };
        }
        let left = tx.returned_of(&payment).await?.min(balance);
        let left = whole_units(&payment, left);
        let required = refund.amount.unwrap_or(left);
        if required > left || left == Usd::ZERO {
            tx.rollback().await?;
            return Err(Error::InsufficientCredits {
                required,
                balance: left,
            });
        }
        if atomic_of(&payment, required).is_none() {
            tx.rollback().await?;
            return Err(Error::WrongState {
                state: "no_such_amount",
            });
        }
        let reserve = Reserve {
            id: ReserveId::generate(now, self.entropy.as_ref()),
            payment: payment.id,
            owner: payment.owner,
            rail: payment.rail.clone(),
            kind: ReserveKind::Refund,
            name: refund.name.clone(),
            amount: required,
            note: refund.reason.clone(),
            account: None,
            created_at: now,
            state: ReserveState::Held,
        };
        if !self.set_aside(tx.as_mut(), &reserve).await? {
            return Err(Error::Internal("a refund appeared under a lock".into()));
        }
        tx.commit().await?;
        tracing::warn!(
            operation.id = %id, reserve.id = %reserve.id, amount = %required, reason = refund.reason,
            "an operator gives a payment back to its card"
        );
        Ok((reserve, true))
    }

    /// Refunds to cards, newest first, 200 at most.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn card_refunds(&self) -> Result<Vec<Reserve>, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let refunds = tx.list_reserves(ReserveKind::Refund, LIST_MAX).await?;
        tx.rollback().await?;
        Ok(refunds)
    }

    /// Disputes, the open ones or all, with what is set aside for each; newest first, 200 at most.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn disputes(&self, only_open: bool) -> Result<Vec<DisputeView>, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let mut views = Vec::new();
        for dispute in tx.list_disputes(only_open, LIST_MAX).await? {
            let payment = tx.payment_with_id(dispute.payment).await?;
            let payment =
                payment.ok_or_else(|| Error::Internal("a dispute about no payment".into()))?;
            let reserves = tx.reserves_of(&dispute).await?;
            views.push(DisputeView {
                operation: payment.operation,
                payment: payment.evidence().map(|shown| shown.reference.clone()),
                frozen: sum_of(&reserves, |state| *state == ReserveState::Held),
                paid: sum_of(&reserves, |state| {
                    matches!(state, ReserveState::Paid { .. })
                }),
                dispute,
            });
        }
        tx.rollback().await?;
        Ok(views)
    }
}

/// A dispute as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisputeView {
    /// The dispute.
    pub dispute: Dispute,
    /// The purchase whose payment it is about.
    pub operation: OperationId,
    /// The payment, as its network names it.
    pub payment: Option<String>,
    /// How much credit is frozen for it now.
    pub frozen: Usd,
    /// How much of what was frozen went back to the buyer.
    pub paid: Usd,
}

fn sum_of(reserves: &[Reserve], counts: impl Fn(&ReserveState) -> bool) -> Usd {
    let own = reserves.iter().filter(|reserve| counts(&reserve.state));
    own.fold(Usd::ZERO, |sum, reserve| {
        sum.checked_add(reserve.amount).unwrap_or(Usd::MAX)
    })
}
