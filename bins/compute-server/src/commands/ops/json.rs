//! What `ops --json` prints: one document, amounts as decimal texts, moments as RFC 3339.

use compute_domain::id::{InstanceId, OperationId};
use compute_domain::money::Usd;
use compute_domain::operation::{Operation, OperationState};
use compute_domain::payment::{Payment, PaymentState};
use compute_domain::prepaid::Lot;
use compute_domain::time::Timestamp;
use compute_engine::OperationView;
use compute_engine::ports::{Finding, Quarantine, Suspect, Watched};
use serde_json::{Value, json};

use super::story::{Order, Owner, Story};

/// `ops list`.
pub(super) fn list(operations: &[Operation]) -> Value {
    let operations: Vec<Value> = operations.iter().map(operation).collect();
    json!({ "operations": operations })
}

/// `ops show`.
pub(super) fn show(story: &Story) -> Value {
    let operations: Vec<Value> = story.operations.iter().map(view).collect();
    json!({
        "order": story.order.as_ref().map(|of| order(of, story.now)),
        "owner": owner(&story.owner),
        "operations": operations,
    })
}

/// `ops audit`.
pub(super) fn audit(findings: &[Finding]) -> Value {
    let findings: Vec<Value> = findings
        .iter()
        .map(|finding| json!({ "promise": finding.promise, "detail": finding.detail }))
        .collect();
    json!({ "ok": findings.is_empty(), "findings": findings })
}

/// `ops suspects`.
pub(super) fn suspects(suspects: &[(Suspect, bool)]) -> Value {
    let suspects: Vec<Value> = suspects
        .iter()
        .map(|(suspect, is_condemned)| {
            json!({
                "provider": suspect.provider.as_str(),
                "machine": suspect.machine.as_str(),
                "operation": suspect.operation.to_string(),
                "first_seen_at": time(suspect.first_seen_at),
                "rounds": suspect.rounds,
                "will_be_deleted": is_condemned,
            })
        })
        .collect();
    json!({ "suspects": suspects })
}

/// `ops quarantine`.
pub(super) fn quarantine(quarantine: Option<&Quarantine>) -> Value {
    let quarantine = quarantine
        .map(|quarantine| json!({ "since": time(quarantine.since), "cause": quarantine.cause }));
    json!({ "quarantine": quarantine })
}

/// `ops missing`.
pub(super) fn missing(missing: &[Watched]) -> Value {
    let missing: Vec<Value> = missing
        .iter()
        .map(|watched| {
            json!({
                "order": watched.instance.to_string(),
                "provider": watched.provider.as_str(),
                "machine": watched.machine.as_str(),
                "missing_since": watched.missing_since.map(time),
                "looks": watched.misses,
            })
        })
        .collect();
    json!({ "missing": missing })
}

/// `ops give-up`.
pub(super) fn given_up(id: InstanceId, credited: Usd) -> Value {
    json!({ "order": id.to_string(), "credited": credited.to_string() })
}

/// `ops retry`.
pub(super) fn retried(work: &Operation) -> Value {
    json!({ "operation": operation(work) })
}

/// `ops refund`.
pub(super) fn refunded(id: OperationId, amount: Usd, owner_now: &Owner) -> Value {
    json!({
        "operation": id.to_string(),
        "state": "failed",
        "credited": amount.to_string(),
        "owner": owner(owner_now),
    })
}

fn operation(work: &Operation) -> Value {
    let (code, step) = match &work.state {
        OperationState::Running(progress) => (None, Some(progress.step)),
        OperationState::Succeeded => (None, None),
        OperationState::Failed { code } => (Some(*code), None),
        OperationState::Stuck { code, step } => (Some(*code), Some(*step)),
    };
    let time_bought = work.data.time.map(|bought| {
        json!({
            "hours": bought.hours.get(),
            "rate": bought.rate.usd().to_string(),
            "price": bought.price.to_string(),
        })
    });
    json!({
        "id": work.id.to_string(),
        "kind": work.kind.as_str(),
        "state": work.state.name(),
        "code": code.map(|code| code.as_str()),
        "step": step.map(|step| step.as_str()),
        "attempt": work.progress().map(|progress| progress.attempt),
        "next_try_at": work.progress().map(|progress| time(progress.run_at)),
        "owner": work.owner.to_string(),
        "order": work.instance.map(|id| id.to_string()),
        "created_at": time(work.created_at),
        "finished_at": work.finished_at.map(time),
        "settlement_unknown_since": work.data.settlement_unknown_since.map(time),
        "time_bought": time_bought,
        "credits_spent": work.data.credits.map(|spent| spent.amount.to_string()),
    })
}

fn view(view: &OperationView) -> Value {
    let transfers: Vec<Value> = view
        .transfers
        .iter()
        .map(|row| {
            json!({
                "id": row.id.to_string(),
                "at": time(row.created_at),
                "reason": row.reason.as_str(),
                "amount": row.amount.to_string(),
                "from": row.debit.to_string(),
                "to": row.credit.to_string(),
            })
        })
        .collect();
    let events: Vec<Value> = view
        .history
        .iter()
        .map(|event| {
            json!({
                "at": time(event.at), "by": event.holder,
                "name": event.name, "detail": event.detail,
            })
        })
        .collect();
    json!({
        "operation": operation(&view.operation),
        "payment": view.payment.as_ref().map(payment),
        "payment_reverted_since": view.reverted_since.map(time),
        "transfers": transfers,
        "events": events,
    })
}

/// Its proof, which is the client's signature, is not part of it.
fn payment(payment: &Payment) -> Value {
    let declined = match &payment.state {
        PaymentState::Declined { code } => Some(code.as_str()),
        _ => None,
    };
    json!({
        "id": payment.id.to_string(),
        "state": payment.state.name(),
        "declined_because": declined,
        "rail": payment.rail.as_str(),
        "payer": payment.payer.map(|payer| payer.to_string()),
        "price": payment.price.to_string(),
        "atomic_amount": payment.asset.atomic.to_string(),
        "decimals": payment.asset.decimals,
        "proof_key": payment.proof_key,
        "reference": payment.evidence().map(|evidence| evidence.reference.as_str()),
        "claimed_at": time(payment.claimed_at),
        "void_after": time(payment.void_after),
    })
}

fn order(order: &Order, now: Timestamp) -> Value {
    let instance = &order.instance;
    let lots: Vec<Value> = order.lots.lots().iter().map(|of| lot(of, now)).collect();
    json!({
        "id": instance.id.to_string(),
        "state": instance.state.name(),
        "provider": instance.provider.as_str(),
        "plan": instance.plan.as_str(),
        "region": instance.region.as_str(),
        "label": instance.label.as_str(),
        "machine": instance.placement().map(|at| at.machine.as_str()),
        "address": instance.ip.map(|address| address.to_string()),
        "created_at": time(instance.created_at),
        "expires_at": time(instance.expires_at()),
        "paid": instance.price.to_string(),
        "lots": lots,
    })
}

fn lot(lot: &Lot, now: Timestamp) -> Value {
    json!({
        "operation": lot.operation.to_string(),
        "origin": lot.origin.as_str(),
        "amount": lot.amount.to_string(),
        "rate": lot.rate.usd().to_string(),
        "from": time(lot.from),
        "to": time(lot.to),
        "closed_at": lot.closed.map(|closing| time(closing.at)),
        "left_at_closing": lot.closed.map(|closing| closing.left.to_string()),
        "left": lot.left(now).to_string(),
    })
}

fn owner(owner: &Owner) -> Value {
    let wallets: Vec<String> = owner.wallets.iter().map(ToString::to_string).collect();
    json!({
        "id": owner.id.to_string(),
        "wallets": wallets,
        "balance": owner.credits.balance.to_string(),
        "deposited": owner.credits.deposited.to_string(),
        "spent": owner.credits.spent.to_string(),
    })
}

fn time(at: Timestamp) -> String {
    at.rfc3339()
}
