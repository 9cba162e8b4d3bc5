//! Reading: instances, orders, and waiting for work to move.

use compute_domain::id::{InstanceId, OperationId};
use compute_domain::instance::Instance;
use compute_domain::ledger::TransferReason;
use compute_domain::money::Usd;
use compute_domain::operation::{Operation, OperationState, Step};
use compute_domain::payment::Payment;
use compute_domain::time::{Span, Timestamp};
use compute_x402::PaymentPayload;
use futures::FutureExt;

use crate::engine::Engine;
use crate::error::{AuthFailure, Error};
use crate::identity::Caller;
use crate::ports::{Event, Tx, TxMode};

/// The most instances one list returns.
const LIST_MAX: u32 = 200;

/// How far work must have come before a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// The provider has made the machine.
    Created,
    /// The provider has accepted the deletion.
    Accepted,
    /// Nothing is left to do.
    Rest,
}

/// An order as its buyer may see it.
#[derive(Debug, Clone)]
pub struct OrderView {
    /// The instance.
    pub instance: Instance,
    /// The work on it.
    pub operation: Operation,
    /// The payment that bought it.
    pub payment: Option<Payment>,
    /// What was given back to the owner's credits.
    pub credited: Option<Usd>,
    /// What happened so far, oldest first.
    pub history: Vec<Event>,
}

impl OrderView {
    /// Whether nobody can tell yet if the money moved.
    pub const fn is_settlement_pending(&self) -> bool {
        matches!(&self.payment, Some(payment) if payment.evidence().is_none())
            && !matches!(self.operation.state, OperationState::Failed { .. })
    }
}

impl Goal {
    fn is_met(self, operation: &Operation) -> bool {
        let Some(progress) = operation.progress() else {
            return true;
        };
        match self {
            Self::Rest => false,
            Self::Created => progress.step == Step::AwaitReady,
            Self::Accepted => progress.step == Step::ConfirmGone,
        }
    }
}

impl Engine {
    /// The caller's instances, newest first, ended ones included, at most 200.
    ///
    /// # Errors
    /// `Unauthenticated` for an anonymous caller or a spent nonce.
    pub async fn instances(&self, caller: &Caller) -> Result<Vec<Instance>, Error> {
        let (mut tx, owner) = self.open_to_read(caller).await?;
        let mut instances = match owner {
            Some(owner) => tx.list_instances(owner, LIST_MAX).await?,
            None => Vec::new(),
        };
        tx.commit().await?;
        instances.sort_by_key(|instance| core::cmp::Reverse((instance.created_at, instance.id)));
        Ok(instances)
    }

    /// One of the caller's instances.
    ///
    /// # Errors
    /// `NotFound` for a foreign or unknown id, `Unauthenticated` as above.
    pub async fn instance(&self, caller: &Caller, id: InstanceId) -> Result<Instance, Error> {
        let (mut tx, owner) = self.open_to_read(caller).await?;
        let found = match owner {
            Some(owner) => tx
                .find_instance(id)
                .await?
                .filter(|found| found.owner == owner),
            None => None,
        };
        tx.commit().await?;
        found.ok_or(Error::NotFound)
    }

    /// The whole story of an order, for its owner or for whoever shows its payment again.
    ///
    /// # Errors
    /// `NotFound` for a foreign or unknown id, `Unauthenticated` when nothing is shown.
    pub async fn order(
        &self,
        caller: &Caller,
        payment: Option<&PaymentPayload>,
        id: InstanceId,
    ) -> Result<OrderView, Error> {
        let view = match (caller, payment) {
            (Caller::Anonymous, None) => return Err(AuthFailure::Required.into()),
            (Caller::Anonymous, Some(payload)) => {
                let identified = self.identify(payload).ok_or(Error::NotFound)?;
                let mut tx = self.store.begin(TxMode::Read).await?;
                let operation = tx.provision_of(id).await?.ok_or(Error::NotFound)?;
                let view = view_of(tx.as_mut(), operation).await?;
                tx.rollback().await?;
                // By the order's own payment, declined ones included: that nothing was charged is
                // what its buyer wants to know.
                let is_shown = view
                    .payment
                    .as_ref()
                    .is_some_and(|payment| payment.proof_key == identified.proof_key.as_str());
                if !is_shown {
                    return Err(Error::NotFound);
                }
                view
            }
            _ => {
                let (mut tx, owner) = self.open_to_read(caller).await?;
                let operation = tx.provision_of(id).await?;
                let owned = operation.filter(|operation| Some(operation.owner) == owner);
                let view = match owned {
                    Some(operation) => Some(view_of(tx.as_mut(), operation).await?),
                    None => None,
                };
                tx.commit().await?;
                view.ok_or(Error::NotFound)?
            }
        };
        if view.instance.id == id {
            Ok(view)
        } else {
            Err(Error::NotFound)
        }
    }

    /// Waits until the work has come as far as `goal`, at most until `until`, and says how far it is.
    /// While the engine stops it waits for a moment only.
    ///
    /// # Errors
    /// `NotFound` for an unknown operation.
    pub async fn wait(
        &self,
        operation: OperationId,
        goal: Goal,
        until: Timestamp,
    ) -> Result<OrderView, Error> {
        let mut pause = Span::from_millis(100);
        let mut until = until;
        let mut is_hurried = false;
        loop {
            // Listen before looking, so that a commit in between is not missed.
            let moved = self.progress_of(operation).listen();
            let mut tx = self.store.begin(TxMode::Read).await?;
            let present = tx.find_operation(operation).await?.ok_or(Error::NotFound)?;
            let now = self.now();
            if self.is_stopping() && !is_hurried {
                // Whoever waits must be answered before the connection is cut: with what there is,
                // but for the step under way, which may still come to its commit.
                is_hurried = true;
                until = until.min(now.plus(self.timing().linger));
            }
            if goal.is_met(&present) || now >= until {
                let view = view_of(tx.as_mut(), present).await?;
                tx.rollback().await?;
                return Ok(view);
            }
            tx.rollback().await?;
            // Another replica may be doing the work: its commits are only seen by looking.
            let look_at = now.plus(pause).min(until);
            pause = pause.doubled(Span::from_secs(1));
            futures::select_biased! {
                () = moved.fuse() => {}
                () = self.timer.sleep_until(look_at).fuse() => {}
            }
        }
    }
}

async fn view_of(tx: &mut dyn Tx, operation: Operation) -> Result<OrderView, Error> {
    let instance = tx
        .find_instance(operation.instance)
        .await?
        .ok_or(Error::NotFound)?;
    let payment = tx.payment_of(operation.id).await?;
    let transfers = tx.transfers_of(operation.id).await?;
    let refund = transfers
        .iter()
        .find(|row| row.reason == TransferReason::PaymentRefund);
    let history = tx.list_events(operation.id).await?;
    Ok(OrderView {
        instance,
        operation,
        payment,
        credited: refund.map(|row| row.amount),
        history,
    })
}
