//! The promises, evaluated on what the clients were told, what owners see and what the partners wrote.

use std::collections::{BTreeMap, BTreeSet};

use super::super::shop::PAY_TO;
use super::book::{Book, End, Funds, Goods, Purchase};
use super::evidence::{Evidence, Order, Work};

/// Reasons for which money comes in.
const INFLOW: &[&str] = &["sale", "topup"];

/// Reasons for which an order costs its owner something.
const PAID: &[&str] = &["sale", "spend"];

/// Reasons for which an owner gets something back.
const BACK: &[&str] = &[
    "spend_reversal",
    "payment_refund",
    "early_destroy",
    "lost_machine",
    "operator_refund",
];

/// A day of every order.
const HOURS: u64 = 24;

/// Every broken promise, in words. `addresses` are the wallets', by number.
pub(super) fn violations(book: &Book, evidence: &Evidence, addresses: &[String]) -> Vec<String> {
    let mut found: Vec<String> = book.wrongs.iter().cloned().collect();
    found.extend(evidence.unrest());
    settlements(evidence, addresses, &mut found);
    accounts(book, evidence, addresses, &mut found);
    orders(book, evidence, &mut found);
    works(book, evidence, &mut found);
    passwords(book, evidence, &mut found);
    found
}

impl Work {
    /// Whether its payment was declined, which nobody need know: a declined payment that comes
    /// again is tried again, as another piece of work.
    fn is_void(&self) -> bool {
        let is_declined = self.state == "failed" && self.code == "payment_declined";
        is_declined && self.transaction.is_empty() && self.transfers.is_empty()
    }

    pub(super) fn sum(&self, reasons: &[&str]) -> u64 {
        let rows = self.transfers.iter();
        let rows = rows.filter(|(reason, _)| reasons.contains(&reason.as_str()));
        rows.map(|(_, amount)| amount).sum()
    }
}

impl Order {
    fn sum(&self, reasons: &[&str]) -> u64 {
        self.works.iter().map(|work| work.sum(reasons)).sum()
    }
}

/// Each transfer to us is exactly one payment of exactly its amount, of its payer, and the other way
/// round.
fn settlements(evidence: &Evidence, addresses: &[String], found: &mut Vec<String>) {
    let mut booked: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    let of_orders = evidence.orders.values();
    let works = of_orders.flat_map(|order| order.works.iter().map(|work| (order.owner, work)));
    let topups = evidence.topups.values().map(|(owner, work)| (*owner, work));
    for (owner, work) in works.chain(topups) {
        let inflow = work.sum(INFLOW);
        if work.transaction.is_empty() {
            if inflow > 0 {
                found.push(format!("{} got {inflow} without a settlement", work.id));
            }
        } else if booked.insert(&work.transaction, (owner, inflow)).is_some() {
            found.push(format!("{} paid for two things", work.transaction));
        }
    }
    let mut seen = BTreeSet::new();
    for settlement in &evidence.settlements {
        let transaction = settlement.transaction.to_ascii_lowercase();
        if !settlement.to.eq_ignore_ascii_case(PAY_TO) {
            found.push(format!("{transaction} went to somebody else"));
        }
        match booked.get(transaction.as_str()) {
            None => found.push(format!("{transaction} settled and bought nothing")),
            Some((owner, inflow)) => {
                let wallet = evidence.accounts.get(owner).map(|account| account.wallet);
                let payer = wallet.and_then(|wallet| addresses.get(wallet));
                let payer = payer.map(String::as_str);
                if settlement.value != inflow.to_string() || payer != Some(&settlement.from) {
                    found.push(format!("{settlement:?} is booked as {inflow} of {payer:?}"));
                }
            }
        }
        seen.insert(transaction);
    }
    for transaction in booked.keys().filter(|own| !seen.contains(**own)) {
        found.push(format!("{transaction} is booked and never settled"));
    }
}

/// What was settled is what owners have: their balances and the value of their orders.
fn accounts(book: &Book, evidence: &Evidence, addresses: &[String], found: &mut Vec<String>) {
    // What each wallet has settled, and what those have for whom it paid.
    let mut settled: Vec<u64> = Vec::new();
    for address in addresses {
        let own = evidence.settlements.iter().filter(|it| it.from == *address);
        settled.push(own.filter_map(|it| it.value.parse::<u64>().ok()).sum());
    }
    let mut held: BTreeMap<usize, Held> = BTreeMap::new();
    for (number, account) in &evidence.accounts {
        let told = book.purchases.iter().filter(|it| it.owner == *number);
        let topped_up: u64 = told
            .filter(|it| it.goods == Goods::Credits && it.end == End::Accepted)
            .map(|it| it.price)
            .sum();
        let orders = evidence.orders.values().filter(|it| it.owner == *number);
        let sum = |reasons: &[&str]| orders.clone().map(|order| order.sum(reasons)).sum::<u64>();
        let (paid, back) = (sum(PAID), sum(BACK));
        // What comes back counts as put in, unless it was spent from the credits and never left.
        let put_in = topped_up
            .saturating_add(back)
            .saturating_sub(sum(&["spend_reversal"]));
        if account.deposited != put_in {
            let deposited = account.deposited;
            found.push(format!(
                "owner {number} put in {put_in}, and has deposited {deposited}"
            ));
        }
        let held = held.entry(account.wallet).or_default();
        held.balance = held.balance.saturating_add(account.balance);
        held.paid = held.paid.saturating_add(paid);
        held.back = held.back.saturating_add(back);
    }
    for (wallet, (settled, address)) in settled.into_iter().zip(addresses).enumerate() {
        let held = held.get(&wallet).copied().unwrap_or_default();
        // What was given back is in the balance and not in the orders any more.
        if settled.checked_add(held.back) != held.balance.checked_add(held.paid) {
            found.push(format!("{address} settled {settled}, and has {held:?}"));
        }
    }
}

/// What all owners together have for whom one wallet paid.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    balance: u64,
    /// For orders.
    paid: u64,
    /// From orders.
    back: u64,
}

/// Every order that was told is there once, with what was told of it, and no other.
fn orders(book: &Book, evidence: &Evidence, found: &mut Vec<String>) {
    let mut told: BTreeMap<&str, &Purchase> = BTreeMap::new();
    for purchase in &book.purchases {
        let is_machine = matches!(purchase.goods, Goods::Machine { .. });
        let Some(id) = purchase.order.as_deref().filter(|_| is_machine) else {
            if is_machine && purchase.end != End::Refused {
                found.push(format!(
                    "a machine was bought without an order: {purchase:?}"
                ));
            }
            continue;
        };
        if told.insert(id, purchase).is_some() {
            found.push(format!("two purchases were told of the order {id}"));
        }
    }
    for id in told.keys().filter(|id| !evidence.orders.contains_key(**id)) {
        found.push(format!("the order {id} was told and is not there"));
    }
    for order in evidence.orders.values() {
        match told.get(order.id.as_str()) {
            None if !order.works.is_empty() && order.works.iter().all(Work::is_void) => {}
            None => found.push(format!(
                "the order {} is there and was never told",
                order.id
            )),
            Some(purchase) => order_as_told(book, purchase, order, found),
        }
    }
}

fn order_as_told(book: &Book, purchase: &Purchase, order: &Order, found: &mut Vec<String>) {
    let id = &order.id;
    let (paid, back) = (order.sum(PAID), order.sum(BACK));
    if order.owner != purchase.owner {
        found.push(format!("the order {id} has another owner"));
    }
    let destroyed: Vec<u64> = book
        .destructions
        .iter()
        .filter(|it| it.order == *id)
        .map(|it| it.credited)
        .collect();
    let lengthened = book.purchases.iter().filter(|it| {
        it.end == End::Accepted && matches!(&it.goods, Goods::Time { order } if order == id)
    });
    let days = u64::try_from(lengthened.count()).unwrap_or(u64::MAX);
    let expected = purchase.price.saturating_mul(days.saturating_add(1));
    let is_right = match (order.status.as_str(), purchase.end) {
        ("active", End::Accepted) => destroyed.is_empty() && paid == expected && back == 0,
        ("destroyed", End::Accepted) => {
            destroyed.first() == Some(&back) && paid == expected && back <= paid
        }
        // A settlement that was unknown when the order was told may turn out to be refused.
        ("failed", End::Accepted) if paid == 0 => destroyed.is_empty() && days == 0 && back == 0,
        ("failed", End::Accepted | End::Refunded) => {
            destroyed.is_empty() && days == 0 && paid == purchase.price && back == paid
        }
        ("failed", End::Refused) => destroyed.is_empty() && paid == 0 && back == 0,
        _ => false,
    };
    if !is_right {
        found.push(format!(
            "the order {id} is {} after {:?} and {days} extensions; {paid} paid, {back} back, \
             {destroyed:?} told",
            order.status, purchase.end
        ));
    }
    let hours = HOURS.saturating_mul(days.saturating_add(1));
    if order.status != "failed" && order.hours != hours {
        found.push(format!(
            "the order {id} has {} hours, not {hours}",
            order.hours
        ));
    }
    let seconds = i64::try_from(days.saturating_mul(HOURS * 3_600)).unwrap_or(i64::MAX);
    if let Some(first) = book.first_ends.get(id)
        && order.ends_at != first.saturating_add(seconds)
    {
        found.push(format!(
            "the order {id} has another end than {days} extensions make"
        ));
    }
}

/// Every piece of work that was told is there once, and nothing is stuck.
fn works(book: &Book, evidence: &Evidence, found: &mut Vec<String>) {
    let mut told = BTreeMap::new();
    for purchase in &book.purchases {
        if let Some(id) = purchase.operation.as_deref() {
            if told.insert(id, purchase).is_some() {
                found.push(format!("two purchases were told of the operation {id}"));
            }
        } else if purchase.end != End::Refused {
            found.push(format!("a purchase without an operation: {purchase:?}"));
        }
    }
    let of_orders = evidence.orders.values().flat_map(|order| &order.works);
    let all: Vec<&Work> = of_orders
        .chain(evidence.topups.values().map(|(_, work)| work))
        .collect();
    for work in &all {
        let Work {
            id, kind, state, ..
        } = work;
        if state == "stuck" {
            found.push(format!("{kind} {id} is stuck"));
        }
        let Some(purchase) = told.remove(id.as_str()) else {
            if kind != "destroy" && !work.is_void() {
                found.push(format!("{kind} {id} is there and was never told"));
            }
            continue;
        };
        let (is_kind, may_fail) = match purchase.goods {
            Goods::Machine { .. } => (kind == "provision", true),
            Goods::Credits => (kind == "topup", false),
            Goods::Time { .. } => (kind == "extend", false),
        };
        let is_end = match purchase.end {
            End::Accepted => state == "succeeded" || may_fail && state == "failed",
            End::Refunded | End::Refused => state == "failed",
        };
        let by_credits = purchase.funds == Funds::Credits;
        let is_paid = work.sum(&["spend"]) == if by_credits { purchase.price } else { 0 };
        if !is_kind || !is_end || !is_paid {
            found.push(format!("{work:?} came of {purchase:?}"));
        }
    }
    for (id, purchase) in told {
        found.push(format!(
            "the operation {id} was told and is not there: {purchase:?}"
        ));
    }
}

/// A password is told once, to its owner, and it is the machine's.
fn passwords(book: &Book, evidence: &Evidence, found: &mut Vec<String>) {
    let mut told = BTreeSet::new();
    for (order, password) in &book.passwords {
        if !told.insert(order) {
            found.push(format!("the password of {order} was told twice"));
        }
        let machine = evidence.orders.get(order).map(|order| &order.machine);
        let own = machine.and_then(|id| evidence.machines.passwords.get(id));
        if own != Some(password) {
            found.push(format!(
                "{order} was told a password that its machine does not have"
            ));
        }
    }
    for (machine, operation) in &evidence.machines.made_for {
        let works = evidence.orders.values().flat_map(|order| &order.works);
        if !works.into_iter().any(|work| work.id == *operation) {
            found.push(format!("the machine {machine} was made for no order"));
        }
    }
}

#[cfg(test)]
mod tests;
