//! Compares what clients were told with what the ledger says. Pure, and linear in both.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use compute_domain::id::OperationId;
use compute_domain::money::Usd;

use super::history::{Account, History, Outcome, Record};

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomaly {
    /// Which rule is broken.
    pub rule: &'static str,
    /// By what.
    pub detail: String,
}

impl Anomaly {
    /// A broken rule.
    pub fn new(rule: &'static str, detail: impl Into<String>) -> Self {
        Self {
            rule,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.detail)
    }
}

/// Everything that is wrong with a history.
pub fn check(history: &History) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for record in &history.records {
        if let Outcome::Wrong(why) = &record.outcome {
            anomalies.push(Anomaly::new("answer", format!("{}: {why}", record.deed)));
        }
    }
    for (number, account) in history.accounts.iter().enumerate() {
        let records = history.records.iter();
        let own: Vec<&Record> = records.filter(|record| record.account == number).collect();
        anomalies.extend(replay(account));
        anomalies.extend(acknowledged(account, &own));
        anomalies.extend(real_time(account, &own));
    }
    anomalies.extend(passwords(&history.records));
    anomalies
}

/// The rows are numbered without a gap, and each balance follows from the one before it.
fn replay(account: &Account) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    let mut balance = 0;
    for (number, row) in (1_i64..).zip(&account.rows) {
        balance += row.change;
        if row.seq != number {
            let detail = format!("row {} stands at place {number}", row.seq);
            anomalies.push(Anomaly::new("numbers", detail));
        }
        if balance != row.balance_after {
            let detail = format!("row {number}: {balance} is not {}", row.balance_after);
            anomalies.push(Anomaly::new("conservation", detail));
        }
        if balance < 0 {
            anomalies.push(Anomaly::new(
                "overdraft",
                format!("row {number}: {balance}"),
            ));
        }
    }
    anomalies
}

/// What was acknowledged is there once, with its amount.
fn acknowledged(account: &Account, records: &[&Record]) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for record in records {
        let (operation, reason, change) = match &record.outcome {
            Outcome::Deposited(operation, amount) => (operation, "topup", amount.micros()),
            Outcome::Spent(operation, amount) => (operation, "spend", -amount.micros()),
            _ => continue,
        };
        let rows = account.rows.iter();
        let found: Vec<i64> = rows
            .filter(|row| row.operation == *operation && row.reason == reason)
            .map(|row| row.change)
            .collect();
        if found != [change] {
            let detail = format!("{}: {reason} of {change}: {found:?}", record.deed);
            anomalies.push(Anomaly::new("acknowledged", detail));
        }
    }
    anomalies
}

/// The order of the ledger extends real time, for changes and for balances that were told.
fn real_time(account: &Account, records: &[&Record]) -> Vec<Anomaly> {
    let first_rows: BTreeMap<OperationId, i64> = account
        .rows
        .iter()
        .rev()
        .map(|row| (row.operation, row.seq))
        .collect();
    // The number of each acknowledged change, by the moments of question and answer.
    let changes: Vec<(u64, u64, i64)> = records
        .iter()
        .filter_map(|record| match &record.outcome {
            Outcome::Deposited(operation, _) | Outcome::Spent(operation, _) => {
                let seq = *first_rows.get(operation)?;
                Some((record.asked, record.answered, seq))
            }
            _ => None,
        })
        .collect();
    let bounds = Bounds::of(&changes);
    let mut anomalies = Vec::new();
    for &(asked, _, seq) in &changes {
        let before = bounds.answered_before(asked);
        // A repeat of an older purchase is told of an older row.
        if seq < before && bounds.is_first(asked, seq) {
            let detail = format!("row {seq} was asked for after row {before} was answered");
            anomalies.push(Anomaly::new("real time", detail));
        }
    }
    for record in records {
        let Outcome::Balance(told) = record.outcome else {
            continue;
        };
        let (low, high) = bounds.around(record, account.rows.len());
        if !is_balance_between(account, low, high, told) {
            let detail = format!("{told} was never the balance between rows {low} and {high}");
            anomalies.push(Anomaly::new("stale read", detail));
        }
    }
    anomalies
}

/// Which rows were certainly there at a moment, and which certainly were not.
struct Bounds {
    /// By moment of answer, the largest number answered so far.
    answered: BTreeMap<u64, i64>,
    /// By moment of question, the smallest number asked for from then on.
    asked: BTreeMap<u64, i64>,
    /// The earliest question that was answered with each number.
    first_asked: BTreeMap<i64, u64>,
}

impl Bounds {
    fn of(changes: &[(u64, u64, i64)]) -> Self {
        let mut first_asked = BTreeMap::new();
        for &(asked, _, seq) in changes {
            let first = first_asked.entry(seq).or_insert(asked);
            *first = asked.min(*first);
        }
        let mut by_answer: Vec<(u64, i64)> = changes
            .iter()
            .map(|(_, answered, seq)| (*answered, *seq))
            .collect();
        by_answer.sort_unstable();
        let mut largest = 0;
        let answered = by_answer.into_iter().map(|(at, seq)| {
            largest = seq.max(largest);
            (at, largest)
        });
        let answered = answered.collect();
        // A row that was first asked for at a moment cannot have been there before.
        let mut by_question: Vec<(u64, i64)> = first_asked
            .iter()
            .map(|(seq, asked)| (*asked, *seq))
            .collect();
        by_question.sort_unstable();
        let mut smallest = i64::MAX;
        let asked = by_question.into_iter().rev().map(|(at, seq)| {
            smallest = seq.min(smallest);
            (at, smallest)
        });
        Self {
            answered,
            asked: asked.collect(),
            first_asked,
        }
    }

    fn answered_before(&self, moment: u64) -> i64 {
        let before = self.answered.range(..moment).next_back();
        before.map_or(0, |(_, seq)| *seq)
    }

    fn is_first(&self, asked: u64, seq: i64) -> bool {
        self.first_asked.get(&seq) == Some(&asked)
    }

    fn around(&self, record: &Record, rows: usize) -> (i64, i64) {
        let low = self.answered_before(record.asked);
        let after = self.asked.range(record.answered..).next();
        let last = i64::try_from(rows).unwrap_or(i64::MAX);
        let high = after.map_or(last, |(_, seq)| seq - 1);
        (low, high.min(last))
    }
}

fn is_balance_between(account: &Account, low: i64, high: i64, told: Usd) -> bool {
    if low == 0 && told == Usd::ZERO {
        return true;
    }
    let skip = usize::try_from(low.max(1) - 1).unwrap_or(0);
    let rows = account.rows.iter().skip(skip);
    rows.take_while(|row| row.seq <= high)
        .any(|row| row.balance_after == told.micros())
}

/// Each password is handed out once.
fn passwords(records: &[Record]) -> Vec<Anomaly> {
    let mut seen = BTreeSet::new();
    let mut anomalies = Vec::new();
    for record in records {
        if let Outcome::Password(instance) = record.outcome
            && !seen.insert(instance)
        {
            anomalies.push(Anomaly::new("password", format!("{instance}: twice")));
        }
    }
    anomalies
}

#[cfg(test)]
mod tests {
    use super::super::history::Row;
    use super::*;

    fn operation(number: u128) -> OperationId {
        OperationId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn usd(micros: i64) -> Usd {
        Usd::from_micros(micros).unwrap()
    }

    fn row(seq: i64, number: u128, reason: &str, change: i64, balance_after: i64) -> Row {
        Row {
            seq,
            operation: operation(number),
            reason: reason.to_owned(),
            change,
            balance_after,
        }
    }

    fn record(asked: u64, answered: u64, outcome: Outcome) -> Record {
        Record {
            account: 0,
            deed: "deed",
            asked,
            answered,
            outcome,
        }
    }

    /// Ten topped up, four spent, and both balances told.
    fn good() -> History {
        let records = vec![
            record(1, 2, Outcome::Balance(usd(0))),
            record(3, 5, Outcome::Deposited(operation(1), usd(10))),
            record(6, 7, Outcome::Balance(usd(10))),
            record(8, 10, Outcome::Spent(operation(2), usd(4))),
            record(9, 11, Outcome::Balance(usd(10))),
            record(12, 13, Outcome::Balance(usd(6))),
            record(14, 15, Outcome::Deposited(operation(1), usd(10))),
        ];
        let rows = vec![row(1, 1, "topup", 10, 10), row(2, 2, "spend", -4, 6)];
        History {
            records,
            accounts: vec![Account { rows }],
        }
    }

    fn rules(change: impl FnOnce(&mut History)) -> Vec<&'static str> {
        let mut history = good();
        change(&mut history);
        check(&history).into_iter().map(|one| one.rule).collect()
    }

    #[test]
    fn a_good_history_is_good() {
        assert_eq!(rules(|_| {}), [""; 0]);
    }

    #[test]
    fn each_rule_is_broken_by_its_fault() {
        let rows = |history: &mut History| core::mem::take(&mut history.accounts[0].rows);
        assert_eq!(
            rules(|history| history.accounts[0].rows[1].balance_after = 7)[0],
            "conservation"
        );
        assert_eq!(
            rules(|history| history.accounts[0].rows[1].seq = 3)[0],
            "numbers"
        );
        assert!(
            rules(|history| {
                history.accounts[0].rows[1].change = -11;
                history.accounts[0].rows[1].balance_after = -1;
            })
            .contains(&"overdraft")
        );
        assert!(rules(|history| drop(rows(history))).contains(&"acknowledged"));
        let stale = record(16, 17, Outcome::Balance(usd(10)));
        assert_eq!(rules(|history| history.records.push(stale)), ["stale read"]);
        let early = record(1, 2, Outcome::Balance(usd(10)));
        assert_eq!(rules(|history| history.records.push(early)), ["stale read"]);
        let password = Outcome::Password(compute_domain::id::InstanceId::from_uuid(
            uuid::Uuid::from_u128(9),
        ));
        let twice = [record(20, 21, password.clone()), record(20, 22, password)];
        assert_eq!(rules(|history| history.records.extend(twice)), ["password"]);
        let wrong = record(20, 21, Outcome::Wrong("internal".to_owned()));
        assert_eq!(rules(|history| history.records.push(wrong)), ["answer"]);
    }

    #[test]
    fn a_row_that_is_older_than_its_question_is_seen() {
        // The spending is answered before the top-up is asked for, and stands behind it.
        let swapped = |history: &mut History| {
            history.records = vec![
                record(1, 2, Outcome::Spent(operation(2), usd(4))),
                record(3, 4, Outcome::Deposited(operation(1), usd(10))),
            ];
        };
        assert_eq!(rules(swapped), ["real time"]);
    }
}
