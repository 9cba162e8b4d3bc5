//! Reading: instances, orders, and waiting for work to move.

use compute_domain::id::{InstanceId, OperationId, OwnerId};
use compute_domain::instance::{Instance, InstanceState};
use compute_domain::ledger::{Transfer, TransferReason};
use compute_domain::money::Usd;
use compute_domain::operation::{Operation, OperationKind, OperationState, Step};
use compute_domain::owner::Scope;
use compute_domain::payment::Payment;
use compute_domain::time::{Span, Timestamp};
use futures::FutureExt;

use crate::engine::Engine;
use crate::error::{AuthFailure, Error};
use crate::identity::Caller;
use crate::ports::{Event, Tx, TxMode};
use crate::proof::PaymentProof;

/// The most instances one list returns.
const LIST_MAX: u32 = 200;

/// How long a request that waits for its own work goes at most without looking at the database.
const PACE: Span = Span::from_secs(1);

/// The same for one that looks on: there may be hundreds of them, and each for a minute.
const PACE_OF_ONLOOKERS: Span = Span::from_secs(3);

/// How far work must have come before a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// The provider has made the machine.
    Created,
    /// The provider has accepted the deletion.
    Accepted,
    /// The provider has taken a change of plan on, or it is clear that it will not come about.
    Changing,
    /// Nothing is left to do.
    Rest,
}

/// A piece of work as whoever paid for it may see it.
#[derive(Debug, Clone)]
pub struct OperationView {
    /// What it works on; a top-up has none.
    pub instance: Option<Instance>,
    /// The work.
    pub operation: Operation,
    /// The payment for it.
    pub payment: Option<Payment>,
    /// Since when its payment, which had settled, is gone from its chain.
    pub reverted_since: Option<Timestamp>,
    /// How its money moved, oldest first.
    pub transfers: Vec<Transfer>,
    /// What happened so far, oldest first.
    pub history: Vec<Event>,
    /// What its owner has in credits now; for top-ups and what was bought with credits.
    pub balance: Option<Usd>,
}

impl OperationView {
    /// Whether nobody can tell yet if the money moved.
    pub const fn is_settlement_pending(&self) -> bool {
        matches!(&self.payment, Some(payment) if payment.evidence().is_none())
            && !matches!(self.operation.state, OperationState::Failed { .. })
    }

    /// Whether it waits for nothing but, where it is stuck, a human.
    pub const fn is_at_rest(&self) -> bool {
        self.operation.progress().is_none()
    }

    /// What was given back to the owner's credits.
    pub fn credited(&self) -> Option<Usd> {
        self.sum(TransferReason::is_giving_back)
    }

    /// What was topped up.
    pub fn deposited(&self) -> Option<Usd> {
        self.sum(|reason| reason == TransferReason::Topup)
    }

    fn sum(&self, counts: impl Fn(TransferReason) -> bool) -> Option<Usd> {
        let amounts = self.transfers.iter().filter(|row| counts(row.reason));
        // The amounts of one operation are bounded by its price.
        amounts
            .map(|row| row.amount)
            .reduce(|sum, amount| sum.checked_add(amount).unwrap_or(sum))
    }
}

/// The whole story of an order.
#[derive(Debug, Clone)]
pub struct OrderView {
    /// The instance.
    pub instance: Instance,
    /// Everything that was done about it, oldest first.
    pub operations: Vec<OperationView>,
    /// What its prepaid value is worth now.
    pub left: Usd,
}

impl OrderView {
    /// The work that delivered it.
    pub fn provision(&self) -> Option<&OperationView> {
        let mut operations = self.operations.iter();
        operations.find(|view| view.operation.kind == OperationKind::Provision)
    }

    /// The work that will deliver it, while that is under way.
    pub fn delivery(&self) -> Option<OperationId> {
        let open = self.provision().filter(|view| !view.is_at_rest());
        open.map(|view| view.operation.id)
    }

    /// Whether the machine runs and can be reached.
    pub const fn is_ready(&self) -> bool {
        matches!(self.instance.state, InstanceState::Active(_)) && self.instance.ip.is_some()
    }
}

/// Which part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Behind this instance; none for the beginning.
    pub after: Option<InstanceId>,
    /// How many at most, from 1 to 200.
    pub limit: u32,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            after: None,
            limit: LIST_MAX,
        }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstancePage {
    /// Newest first.
    pub instances: Vec<Instance>,
    /// Where the next part begins, when there is one.
    pub next: Option<InstanceId>,
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
            Self::Changing => matches!(progress.step, Step::AwaitChange | Step::PowerOn),
        }
    }
}

impl Engine {
    /// A page of the caller's instances, newest first, ended ones included.
    ///
    /// # Errors
    /// `Unauthenticated` for an anonymous caller or a spent nonce, `Invalid` for a limit out of
    /// bounds.
    pub async fn instances(&self, caller: &Caller, page: Page) -> Result<InstancePage, Error> {
        caller.require(Scope::Read)?;
        if !(1..=LIST_MAX).contains(&page.limit) {
            return Err(Error::Invalid {
                field: "limit",
                rule: format!("limit is 1 to {LIST_MAX}"),
            });
        }
        let (mut tx, owner) = self.open_to_read(caller).await?;
        let mut instances = match owner {
            // One more than asked for tells whether there are more.
            Some(owner) => tx.list_instances(owner, page.after, page.limit + 1).await?,
            None => Vec::new(),
        };
        tx.commit().await?;
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let has_more = instances.len() > limit;
        instances.truncate(limit);
        let last = instances.last().map(|instance| instance.id);
        Ok(InstancePage {
            instances,
            next: last.filter(|_| has_more),
        })
    }

    /// One of the caller's instances.
    ///
    /// # Errors
    /// `NotFound` for a foreign or unknown id, `Unauthenticated` as above.
    pub async fn instance(&self, caller: &Caller, id: InstanceId) -> Result<Instance, Error> {
        caller.require(Scope::Read)?;
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

    /// The whole story of an order, for its owner or for whoever shows a payment for it again.
    ///
    /// # Errors
    /// `NotFound` for a foreign or unknown id, `Unauthenticated` when nothing is shown.
    pub async fn order(
        &self,
        caller: &Caller,
        payment: Option<&PaymentProof>,
        id: InstanceId,
    ) -> Result<OrderView, Error> {
        let (mut tx, viewer) = self.open_to_view(caller, payment).await?;
        if let Viewer::Owner(owner) = &viewer {
            let found = tx.find_instance(id).await?;
            if found.is_none_or(|instance| Some(instance.owner) != *owner) {
                tx.commit().await?;
                return Err(Error::NotFound);
            }
        }
        let view = order_of(tx.as_mut(), id, self.now()).await?;
        tx.commit().await?;
        let may_see = |view: &OrderView| {
            view.operations
                .iter()
                .any(|operation| viewer.may_see(operation))
        };
        view.filter(may_see).ok_or(Error::NotFound)
    }

    /// One piece of work, for its owner or for whoever shows its payment again.
    ///
    /// # Errors
    /// `NotFound` for a foreign or unknown id, `Unauthenticated` when nothing is shown.
    pub async fn operation(
        &self,
        caller: &Caller,
        payment: Option<&PaymentProof>,
        id: OperationId,
    ) -> Result<OperationView, Error> {
        let (mut tx, viewer) = self.open_to_view(caller, payment).await?;
        let view = match tx.find_operation(id).await? {
            Some(operation) => Some(view_of(tx.as_mut(), operation).await?),
            None => None,
        };
        tx.commit().await?;
        view.filter(|view| viewer.may_see(view))
            .ok_or(Error::NotFound)
    }

    /// Opens a transaction for somebody who wants to see work: its owner, or whoever holds its
    /// payment, declined ones included: that nothing was charged is what its buyer wants to know.
    async fn open_to_view(
        &self,
        caller: &Caller,
        payment: Option<&PaymentProof>,
    ) -> Result<(Box<dyn Tx>, Viewer), Error> {
        caller.require(Scope::Read)?;
        match (caller, payment) {
            (Caller::Anonymous, None) => Err(AuthFailure::Required.into()),
            (Caller::Anonymous, Some(proof)) => {
                let identified = self.identify(proof).await?.ok_or(Error::NotFound)?;
                let tx = self.store.begin(TxMode::Read).await?;
                Ok((tx, Viewer::Payer(identified.proof_key)))
            }
            _ => {
                let (tx, owner) = self.open_to_read(caller).await?;
                Ok((tx, Viewer::Owner(owner)))
            }
        }
    }

    /// An order as it is now, for whoever was shown it by [`Engine::order`] a moment ago.
    ///
    /// # Errors
    /// `NotFound` for an unknown id.
    pub async fn order_again(&self, id: InstanceId) -> Result<OrderView, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let view = order_of(tx.as_mut(), id, self.now()).await?;
        tx.rollback().await?;
        view.ok_or(Error::NotFound)
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
    ) -> Result<OperationView, Error> {
        self.wait_looking(operation, goal, until, PACE).await
    }

    /// Waits until nothing is left to do, for somebody who only looks on: as [`Engine::wait`], and
    /// asking the database less often.
    ///
    /// # Errors
    /// `NotFound` for an unknown operation.
    pub async fn look_on(
        &self,
        operation: OperationId,
        until: Timestamp,
    ) -> Result<OperationView, Error> {
        self.wait_looking(operation, Goal::Rest, until, PACE_OF_ONLOOKERS)
            .await
    }

    async fn wait_looking(
        &self,
        operation: OperationId,
        goal: Goal,
        until: Timestamp,
        pace: Span,
    ) -> Result<OperationView, Error> {
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
            pause = pause.doubled(pace);
            futures::select_biased! {
                () = moved.fuse() => {}
                () = self.timer.sleep_until(look_at).fuse() => {}
            }
        }
    }
}

/// Who looks at work.
enum Viewer {
    Owner(Option<OwnerId>),
    /// By this proof.
    Payer(String),
}

impl Viewer {
    fn may_see(&self, view: &OperationView) -> bool {
        match self {
            Self::Owner(owner) => Some(view.operation.owner) == *owner,
            Self::Payer(proof_key) => view
                .payment
                .as_ref()
                .is_some_and(|payment| payment.proof_key == *proof_key),
        }
    }
}

async fn order_of(
    tx: &mut dyn Tx,
    id: InstanceId,
    now: Timestamp,
) -> Result<Option<OrderView>, Error> {
    let Some(instance) = tx.find_instance(id).await? else {
        return Ok(None);
    };
    let mut operations = Vec::new();
    for operation in tx.operations_of(id).await? {
        operations.push(view_of(tx, operation).await?);
    }
    let left = tx.lots_of(id).await?.left(now);
    Ok(Some(OrderView {
        instance,
        operations,
        left: left.map_err(|error| Error::Internal(Box::new(error)))?,
    }))
}

pub(crate) async fn view_of(tx: &mut dyn Tx, operation: Operation) -> Result<OperationView, Error> {
    let instance = match operation.instance {
        Some(id) => Some(tx.find_instance(id).await?.ok_or(Error::NotFound)?),
        None => None,
    };
    let moves_credits = operation.kind == OperationKind::Topup || operation.data.credits.is_some();
    let balance = if moves_credits {
        Some(tx.credits_of(operation.owner).await?.balance)
    } else {
        None
    };
    let payment = tx.payment_of(operation.id).await?;
    let settled = payment.as_ref().filter(|it| it.evidence().is_some());
    let reverted_since = match settled.map(|payment| payment.id) {
        Some(id) => tx.reverted_since(id).await?,
        None => None,
    };
    Ok(OperationView {
        instance,
        payment,
        reverted_since,
        transfers: tx.transfers_of(operation.id).await?,
        history: tx.list_events(operation.id).await?,
        operation,
        balance,
    })
}
