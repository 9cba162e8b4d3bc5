//! The event feed: what an owner is told, and reading on from where it was left.
//!
//! An event is announced in the transaction that makes it true, so there is none without its fact and
//! no fact without its event. The same change written twice (a commit whose confirmation was lost) is
//! told once, because what is told is the difference to what is stored.

use compute_domain::event::EventKind;
use compute_domain::id::{EventId, InstanceId, OperationId, OwnerId};
use compute_domain::instance::{EndReason, Instance, InstanceState};
use compute_domain::ledger::{Account, Cause, Transfer, TransferReason};
use compute_domain::owner::Scope;
use serde_json::{Map, Value, json};

use crate::engine::Engine;
use crate::error::Error;
use crate::identity::Caller;
use crate::ports::{NewEvent, OwnerEvent, Posted, Tx};

/// The most events one page holds.
const PAGE_MAX: u32 = 200;

/// A part of an owner's feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// Oldest first.
    pub events: Vec<OwnerEvent>,
    /// The number behind which the next page begins, also when there is nothing yet.
    pub next: u64,
    /// Whether there is more already.
    pub has_more: bool,
}

/// What changed about an instance, or about credits, in public words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    kind: EventKind,
    data: Value,
}

impl Told {
    pub(crate) const fn new(kind: EventKind, data: Value) -> Self {
        Self { kind, data }
    }
}

/// An event as everybody is shown it: in the feed, and to webhooks.
pub fn event_json(event: &OwnerEvent) -> Value {
    let OwnerEvent { seq, event } = event;
    let mut members = Map::new();
    let mut add = |name: &str, value: Value| members.insert(name.to_owned(), value);
    add("id", json!(event.id));
    add("sequence", json!(seq));
    add("type", json!(event.kind.as_str()));
    add("created_at", json!(event.at.rfc3339()));
    if let Some(instance) = event.instance {
        add("order_id", json!(instance));
    }
    if let Some(operation) = event.operation {
        add("operation_id", json!(operation));
    }
    // We wrote it; what no longer reads tells nothing.
    let data = serde_json::from_str(&event.data);
    add("data", data.unwrap_or_else(|_| json!({})));
    Value::Object(members)
}

/// What there is to tell of an instance that changes from one state to another.
fn told_of(before: &Instance, after: &Instance) -> Option<Told> {
    use InstanceState::{Active, Destroyed, Destroying, Failed, Pending, Provisioning};
    let until = || after.expires_at().rfc3339();
    match (&before.state, &after.state) {
        (Pending | Provisioning(_), Active(_)) => Some(Told::new(
            EventKind::InstanceActive,
            json!({
                "plan": after.plan.as_str(), "region": after.region.as_str(),
                "ip_address": after.ip.map(|ip| ip.to_string()), "expires_at": until(),
            }),
        )),
        (Pending | Provisioning(_), Failed { code, .. }) => Some(Told::new(
            EventKind::InstanceFailed,
            json!({ "code": code.as_str() }),
        )),
        (Active(_), Active(_)) => told_of_running(before, after),
        (Active(_), Destroying { reason, .. }) => {
            let kind = match reason {
                EndReason::Expired => EventKind::InstanceExpired,
                EndReason::Lost => EventKind::InstanceLost,
                // Its owner knows; what is told is that it is gone.
                EndReason::Requested => return None,
            };
            Some(Told::new(kind, json!({ "expires_at": until() })))
        }
        (Destroying { .. }, Destroyed { reason, .. }) => Some(Told::new(
            EventKind::InstanceDestroyed,
            json!({ "reason": reason.as_str() }),
        )),
        _ => None,
    }
}

fn told_of_running(before: &Instance, after: &Instance) -> Option<Told> {
    let until = after.expires_at().rfc3339();
    if after.extended_hours > before.extended_hours {
        let hours = after.extended_hours.saturating_sub(before.extended_hours);
        let paid = after.price.checked_sub(before.price).unwrap_or_default();
        return Some(Told::new(
            EventKind::InstanceExtended,
            json!({ "hours": hours, "price_usd": paid.to_string(), "expires_at": until }),
        ));
    }
    if after.plan != before.plan {
        let hourly = after.rate.usd().to_string();
        return Some(Told::new(
            EventKind::InstanceResized,
            json!({
                "plan": after.plan.as_str(), "previous_plan": before.plan.as_str(),
                "our_hourly": hourly, "expires_at": until,
            }),
        ));
    }
    match (&before.resizing, &after.resizing) {
        (Some(wanted), None) if wanted.to != after.plan => Some(Told::new(
            EventKind::InstanceResizeFailed,
            json!({ "plan": after.plan.as_str(), "wanted_plan": wanted.to.as_str() }),
        )),
        _ => None,
    }
}

/// What an owner is told of a ledger row: whatever changes its credits but its own spending.
fn told_of_transfer(transfer: &Transfer) -> Option<(OwnerId, Told)> {
    use TransferReason::{
        CardRefund, Dispute, EarlyDestroy, LostMachine, OperatorRefund, PaymentRefund,
        ReserveReleased, Sale, Spend, SpendReversal, Topup, Unmatched, UnmatchedReversal,
    };
    let ((Account::Credits(owner), _) | (_, Account::Credits(owner))) =
        (&transfer.credit, &transfer.debit)
    else {
        return None;
    };
    let kind = match transfer.reason {
        Topup | OperatorRefund | ReserveReleased => EventKind::CreditsAdded,
        SpendReversal | PaymentRefund | EarlyDestroy | LostMachine => EventKind::CreditsRefunded,
        Dispute | CardRefund => EventKind::CreditsWithheld,
        Sale | Spend | Unmatched | UnmatchedReversal | TransferReason::ReservePaid => return None,
    };
    let data = json!({
        "amount_usd": transfer.amount.to_string(), "reason": transfer.reason.as_str(),
    });
    Some((*owner, Told::new(kind, data)))
}

impl Engine {
    /// The caller's events behind number `after`, oldest first.
    ///
    /// # Errors
    /// `Unauthenticated` for an anonymous caller or a spent nonce, `ScopeMissing` for a key that may
    /// not read, `Invalid` for a limit out of bounds.
    pub async fn events(
        &self,
        caller: &Caller,
        after: u64,
        limit: u32,
    ) -> Result<EventPage, Error> {
        caller.require(Scope::Read)?;
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(Error::Invalid {
                field: "limit",
                rule: format!("limit is 1 to {PAGE_MAX}"),
            });
        }
        let (mut tx, owner) = self.open_to_read(caller).await?;
        let mut events = match owner {
            // One more than asked for tells whether there are more.
            Some(owner) => tx.owner_events(owner, after, limit + 1).await?,
            None => Vec::new(),
        };
        tx.commit().await?;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = events.len() > most;
        events.truncate(most);
        Ok(EventPage {
            next: events.last().map_or(after, |last| last.seq),
            events,
            has_more,
        })
    }

    /// Writes an instance that is stored as `before`, plans what is to happen before its end, and tells
    /// its owner what changed.
    pub(crate) async fn put_instance(
        &self,
        tx: &mut dyn Tx,
        before: &Instance,
        after: &Instance,
        operation: OperationId,
    ) -> Result<(), Error> {
        tx.save_instance(after).await?;
        self.plan_ahead(tx, before, after).await?;
        if let Some(told) = told_of(before, after) {
            self.tell(tx, after.owner, Some(after.id), Some(operation), told);
        }
        Ok(())
    }

    /// Writes a ledger row, and tells the owner of the credits it moves. `instance` is what it is about.
    pub(crate) async fn post(
        &self,
        tx: &mut dyn Tx,
        transfer: &Transfer,
        instance: Option<InstanceId>,
    ) -> Result<Posted, Error> {
        let posted = tx.post_transfer(transfer).await?;
        if posted == Posted::New
            && let Some((owner, told)) = told_of_transfer(transfer)
        {
            let operation = match transfer.cause {
                Cause::Operation(id) => Some(id),
                Cause::Arrival(_) | Cause::Reserve(_) => None,
            };
            self.tell(tx, owner, instance, operation, told);
        }
        Ok(posted)
    }

    pub(crate) fn tell(
        &self,
        tx: &mut dyn Tx,
        owner: OwnerId,
        instance: Option<InstanceId>,
        operation: Option<OperationId>,
        told: Told,
    ) {
        let now = self.now();
        tx.announce(NewEvent {
            id: EventId::generate(now, self.entropy.as_ref()),
            owner,
            kind: told.kind.into(),
            at: now,
            instance,
            operation,
            data: told.data.to_string(),
        });
    }
}
