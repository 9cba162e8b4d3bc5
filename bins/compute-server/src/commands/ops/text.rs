//! What `ops` prints for people.

use std::fmt::Write as _;

use compute_domain::id::{InstanceId, OperationId};
use compute_domain::money::Usd;
use compute_domain::operation::{Operation, OperationState, Step};
use compute_domain::payment::{Payment, PaymentState};
use compute_domain::time::Timestamp;
use compute_engine::OperationView;
use compute_engine::ports::{Finding, Quarantine, Suspect, Watched};

use super::story::{Order, Owner, Story};
use super::table::{Table, clean};

/// `ops list`.
pub(super) fn list(operations: &[Operation]) -> String {
    if operations.is_empty() {
        return "Nothing is stuck, and nothing has been running for too long.\n".to_owned();
    }
    let head = [
        "operation",
        "kind",
        "state",
        "opened",
        "step",
        "why",
        "order",
    ];
    let mut table = Table::new(&head);
    for operation in operations {
        let (step, why) = standing(operation);
        table.row([
            operation.id.to_string(),
            operation.kind.to_string(),
            operation.state.name().to_owned(),
            operation.created_at.rfc3339(),
            step,
            why,
            operation.instance.map_or_else(dash, |id| id.to_string()),
        ]);
    }
    let count = operations.len();
    format!(
        "{}\n{count} to look at: compute-server ops show <operation>\n",
        table.text(0)
    )
}

/// `ops show`.
pub(super) fn show(story: &Story) -> String {
    let mut text = String::new();
    if let Some(order) = &story.order {
        write_order(&mut text, order, story);
    }
    write_owner(&mut text, &story.owner);
    for view in &story.operations {
        write_operation(&mut text, view);
    }
    text
}

/// `ops audit`.
pub(super) fn audit(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "No promise is broken.\n".to_owned();
    }
    let mut table = Table::new(&["promise", "what is wrong"]);
    for finding in findings {
        table.row([finding.promise.to_owned(), finding.detail.clone()]);
    }
    let count = findings.len();
    format!(
        "{}\n{count} broken. docs/operations.md says what each promise is.\n",
        table.text(0)
    )
}

/// `ops suspects`.
pub(super) fn suspects(suspects: &[(Suspect, bool)]) -> String {
    if suspects.is_empty() {
        return "Every machine at the providers is explained by a live instance.\n".to_owned();
    }
    let head = [
        "provider",
        "machine",
        "marked by operation",
        "first seen",
        "rounds",
        "what becomes of it",
    ];
    let mut table = Table::new(&head);
    for (suspect, is_condemned) in suspects {
        table.row([
            suspect.provider.to_string(),
            suspect.machine.to_string(),
            suspect.operation.to_string(),
            suspect.first_seen_at.rfc3339(),
            suspect.rounds.to_string(),
            if *is_condemned {
                "a server deletes it"
            } else {
                "left alone: the database does not know its operation"
            }
            .to_owned(),
        ]);
    }
    format!(
        "{}\nA server deletes a machine when nothing has explained it for timing.orphan_quarantine, and never while there is a quarantine.\n",
        table.text(0)
    )
}

/// `ops quarantine`.
pub(super) fn quarantine(quarantine: Option<&Quarantine>) -> String {
    match quarantine {
        None => "There is no quarantine: machines end when their time is over.\n".to_owned(),
        Some(quarantine) => format!(
            "Quarantine since {}: {}\n\nNothing is destroyed without its owner's asking. Compare the database with the \
             providers and the payment networks (docs/operations.md), then: compute-server ops quarantine end\n",
            quarantine.since.rfc3339(),
            clean(&quarantine.cause),
        ),
    }
}

/// `ops missing`.
pub(super) fn missing(missing: &[Watched]) -> String {
    if missing.is_empty() {
        return "Every live order's machine is known to its provider.\n".to_owned();
    }
    let mut table = Table::new(&["order", "provider", "machine", "missing since", "looks"]);
    for watched in missing {
        table.row([
            watched.instance.to_string(),
            watched.provider.to_string(),
            watched.machine.to_string(),
            watched
                .missing_since
                .map_or_else(String::new, Timestamp::rfc3339),
            watched.misses.to_string(),
        ]);
    }
    format!(
        "{}\nNothing was concluded yet. Look at the provider: when a machine is gone, compute-server ops give-up <order> --reason \"…\"\n",
        table.text(0)
    )
}

/// `ops give-up`.
pub(super) fn given_up(id: InstanceId, credited: Usd) -> String {
    format!("Order {id} ends: its machine is lost. Its owner was credited {credited} USD.\n")
}

/// `ops retry`.
pub(super) fn retried(operation: &Operation) -> String {
    let id = operation.id;
    let (step, _) = standing(operation);
    format!(
        "Operation {id} runs again at step {step}.
A running server takes it up within seconds: it first finds out what happened, and does nothing twice.
See how it goes: compute-server ops show {id}\n"
    )
}

/// `ops refund`.
pub(super) fn refunded(id: OperationId, amount: Usd, owner: &Owner) -> String {
    let (owner_id, balance) = (owner.id, owner.credits.balance);
    format!(
        "Operation {id} is over: its owner {owner_id} got {amount} USD as credit and has {balance} USD now.
The credit is booked against `suspense`. Should the payment arrive all the same, it is the shop's.\n"
    )
}

fn write_order(text: &mut String, order: &Order, story: &Story) {
    let instance = &order.instance;
    let mut facts = Table::of_facts();
    facts.fact("state", instance.state.name());
    let machine = instance.placement().map(|at| at.machine.to_string());
    facts.fact(
        "machine",
        format!(
            "{} at {}, {} in {}",
            machine.unwrap_or_else(|| "none yet".to_owned()),
            instance.provider,
            instance.plan,
            instance.region
        ),
    );
    facts.fact("label", &instance.label);
    facts.fact("opened", instance.created_at.rfc3339());
    facts.fact("paid until", instance.expires_at().rfc3339());
    facts.fact("paid", format!("{} USD", instance.price));
    // Writing to a text cannot fail.
    let _ = write!(text, "Order {}\n{}", instance.id, facts.text(2));
    if order.lots.is_empty() {
        text.push_str("  no prepaid value\n");
        return;
    }
    let head = ["lot", "amount", "USD/h", "from", "to", "left", "closed"];
    let mut lots = Table::new(&head);
    for lot in order.lots.lots() {
        let closed = lot.closed.map_or_else(dash, |closing| {
            format!("{} with {} left", closing.at.rfc3339(), closing.left)
        });
        lots.row([
            lot.origin.to_string(),
            lot.amount.to_string(),
            lot.rate.usd().to_string(),
            lot.from.rfc3339(),
            lot.to.rfc3339(),
            lot.left(story.now).to_string(),
            closed,
        ]);
    }
    text.push_str(&lots.text(2));
}

fn write_owner(text: &mut String, owner: &Owner) {
    let credits = &owner.credits;
    let mut facts = Table::of_facts();
    for wallet in &owner.wallets {
        facts.fact("wallet", wallet);
    }
    facts.fact(
        "credits",
        format!(
            "{} USD ({} put in, {} spent)",
            credits.balance, credits.deposited, credits.spent
        ),
    );
    let gap = if text.is_empty() { "" } else { "\n" };
    let _ = write!(text, "{gap}Owner {}\n{}", owner.id, facts.text(2));
}

fn write_operation(text: &mut String, view: &OperationView) {
    let operation = &view.operation;
    let mut facts = Table::of_facts();
    let (step, why) = standing(operation);
    let place = match operation.state {
        OperationState::Running(_) | OperationState::Stuck { .. } => format!(" at step {step}"),
        OperationState::Succeeded | OperationState::Failed { .. } => String::new(),
    };
    facts.fact("state", format!("{}{place}", operation.state.name()));
    if why != dash() {
        facts.fact("why", why);
    }
    facts.fact("opened", operation.created_at.rfc3339());
    if let Some(at) = operation.finished_at {
        facts.fact("at rest", at.rfc3339());
    }
    if let Some(progress) = operation.progress() {
        let tries = progress.attempt;
        let next = format!("{}, {tries} tries so far", progress.run_at.rfc3339());
        facts.fact("next try", next);
    }
    if let Some(since) = operation.data.settlement_unknown_since {
        facts.fact("settlement unknown since", since.rfc3339());
    }
    if let Some(bought) = operation.data.time {
        let (hours, rate) = (bought.hours.get(), bought.rate.usd());
        let what = format!("{hours} hours at {rate} USD: {} USD", bought.price);
        facts.fact("buys", what);
    }
    if let Some(spent) = operation.data.credits {
        facts.fact("spent credits", format!("{} USD", spent.amount));
    }
    let _ = write!(
        text,
        "\nOperation {} ({})\n{}",
        operation.id,
        operation.kind,
        facts.text(2)
    );
    if let Some(payment) = &view.payment {
        write_payment(text, payment, view.reverted_since);
    }
    write_transfers(text, view);
    write_events(text, view);
    if let Some(advice) = advice(view) {
        let _ = writeln!(text, "  {}", clean(advice));
    }
}

/// Its proof, which is the client's signature, is not shown.
fn write_payment(text: &mut String, payment: &Payment, reverted_since: Option<Timestamp>) {
    let mut facts = Table::of_facts();
    let state = match &payment.state {
        PaymentState::Declined { code } => format!("declined ({code})"),
        state => state.name().to_owned(),
    };
    facts.fact("state", state);
    let (atomic, decimals) = (payment.asset.atomic, payment.asset.decimals);
    facts.fact(
        "price",
        format!(
            "{} USD over {} ({atomic} atomic units, {decimals} decimals)",
            payment.price, payment.rail
        ),
    );
    facts.fact("payer", payer(payment));
    facts.fact("proof key", &payment.proof_key);
    if let Some(evidence) = payment.evidence() {
        facts.fact("reference", &evidence.reference);
    }
    if let Some(since) = reverted_since {
        facts.fact(
            "payment_reverted",
            format!("gone from its chain since {}", since.rfc3339()),
        );
    }
    facts.fact("claimed", payment.claimed_at.rfc3339());
    facts.fact("void after", payment.void_after.rfc3339());
    let _ = write!(text, "  Payment {}\n{}", payment.id, facts.text(4));
}

fn write_transfers(text: &mut String, view: &OperationView) {
    if view.transfers.is_empty() {
        text.push_str("  No money moved in the ledger\n");
        return;
    }
    let mut table = Table::new(&["when", "reason", "USD", "from", "to"]);
    for row in &view.transfers {
        table.row([
            row.created_at.rfc3339(),
            row.reason.to_string(),
            row.amount.to_string(),
            row.debit.to_string(),
            row.credit.to_string(),
        ]);
    }
    let _ = write!(text, "  Transfers\n{}", table.text(4));
}

fn write_events(text: &mut String, view: &OperationView) {
    let mut table = Table::new(&["when", "event", "detail", "by"]);
    for event in &view.history {
        table.row([
            event.at.rfc3339(),
            event.name.clone(),
            event.detail.clone(),
            event.holder.clone(),
        ]);
    }
    let _ = write!(text, "  Events\n{}", table.text(4));
}

/// Where it stopped or is, and what is unclear or went wrong.
fn standing(operation: &Operation) -> (String, String) {
    match &operation.state {
        OperationState::Running(progress) => (progress.step.to_string(), dash()),
        OperationState::Succeeded => (dash(), dash()),
        OperationState::Failed { code } => (dash(), code.to_string()),
        OperationState::Stuck { code, step } => (step.to_string(), code.to_string()),
    }
}

/// What an operator can do about it.
const fn advice(view: &OperationView) -> Option<&'static str> {
    match view.operation.state {
        OperationState::Stuck {
            step: Step::Settle, ..
        } => Some(
            "Look for the proof key on the payment network. If it can be asked again: ops retry. If \
             nobody will ever know: ops refund.",
        ),
        OperationState::Stuck { .. } => Some("Once the cause is gone: ops retry."),
        _ => None,
    }
}

fn dash() -> String {
    "–".to_owned()
}
/// Who paid, in a word.
pub(super) fn payer(payment: &Payment) -> String {
    let wallet = payment.payer.map(|payer| payer.to_string());
    wallet.unwrap_or_else(|| "no wallet".to_owned())
}
