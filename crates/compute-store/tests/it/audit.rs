//! What the auditor says to a history that somebody changed behind the port.
//!
//! The tables' own rules would refuse every one of these changes, so they are made to plain copies of
//! the tables, without a key, check or trigger.

use std::collections::BTreeSet;

use compute_domain::ledger::{Account, TransferReason};
use compute_engine::ports::{Finding, TxMode};
use compute_testkit::database::TestDatabase;
use compute_testkit::store_suite;

use crate::raw::{execute_all, on_both, texts};

on_both!(
    a_changed_history_breaks_the_right_promise,
    findings_name_what_is_wrong,
    a_changed_arrival_breaks_the_promise_of_the_world,
    a_promise_has_a_hundred_findings_at_most,
    every_wrong_pair_of_accounts_is_found,
);

const TABLES: [&str; 14] = [
    "owners",
    "counters",
    "instances",
    "operations",
    "payments",
    "ledger_accounts",
    "ledger_transfers",
    "prepaid_lots",
    "request_keys",
    "payer_request_keys",
    "arrival_sources",
    "arrival_rails",
    "arrivals",
    "reverted_payments",
];

/// Puts a plain copy in each table's place.
async fn unlock(database: &TestDatabase) {
    let copies = TABLES.map(|table| {
        format!(
            "ALTER TABLE {table} RENAME TO kept_{table};
             CREATE TABLE {table} AS SELECT * FROM kept_{table};"
        )
    });
    execute_all(database, copies.concat()).await;
}

/// Takes every change back.
async fn restore(database: &TestDatabase) {
    let copies = TABLES.map(|table| {
        format!(
            "DELETE FROM {table};
             INSERT INTO {table} SELECT * FROM kept_{table};"
        )
    });
    execute_all(database, copies.concat()).await;
}

async fn audit(database: &TestDatabase) -> Vec<Finding> {
    let mut tx = database.store().begin(TxMode::Read).await.unwrap();
    let findings = tx.audit().await.unwrap();
    tx.commit().await.unwrap();
    findings
}

/// A change, and the promises it breaks.
struct Change(&'static str, &'static [&'static str]);

const MONEY: &[Change] = &[
    Change(
        "UPDATE ledger_transfers SET reason = 'topup' WHERE reason = 'dispute'",
        &["M1", "M3", "M6", "M8"],
    ),
    Change(
        "UPDATE ledger_transfers SET credit_account = debit_account WHERE reason = 'unmatched'",
        &["M1"],
    ),
    Change(
        "UPDATE ledger_transfers SET amount_micros = 0 WHERE reason = 'unmatched'",
        &["M1"],
    ),
    Change(
        "UPDATE ledger_accounts SET credits_micros = credits_micros + 1
         WHERE last_seq = (SELECT MAX(last_seq) FROM ledger_accounts)",
        &["M2", "M4"],
    ),
    Change(
        "UPDATE ledger_accounts SET reversed_micros = 1 WHERE reversed_micros = 0",
        &["M2"],
    ),
    Change(
        "UPDATE ledger_transfers SET balance_after_micros = balance_after_micros + 1
         WHERE reason = 'dispute'",
        &["M2", "M8"],
    ),
    Change(
        "UPDATE ledger_transfers SET credits_account = NULL WHERE reason = 'dispute'",
        &["M2", "M8"],
    ),
    Change(
        "DELETE FROM ledger_accounts
         WHERE last_seq = (SELECT MAX(last_seq) FROM ledger_accounts)",
        &["M2", "M4"],
    ),
    Change(
        "UPDATE ledger_transfers SET amount_micros = amount_micros - 1 WHERE reason = 'sale'",
        &["M3", "M6", "O7"],
    ),
    Change(
        "UPDATE ledger_transfers SET debit_account = 'clearing:solana' WHERE reason = 'sale'",
        &["M3"],
    ),
    Change(
        "DELETE FROM ledger_transfers WHERE reason = 'sale'",
        &["M3", "M6", "O7"],
    ),
    Change(
        "UPDATE payments SET state = 'declined'
         WHERE state = 'settled' AND price_micros = 1000000",
        &["M3", "P3"],
    ),
    Change(
        "UPDATE ledger_transfers SET credit_account = 'elsewhere' WHERE reason = 'unmatched'",
        &["M1", "M4"],
    ),
    Change(
        "INSERT INTO ledger_transfers SELECT * FROM kept_ledger_transfers
         WHERE reason = 'unmatched'",
        &["M6"],
    ),
    Change(
        "UPDATE ledger_transfers SET amount_micros = amount_micros + 1000000
         WHERE reason = 'payment_refund'",
        &["M2", "M4", "M6", "M8", "P4"],
    ),
    Change(
        "UPDATE operations SET state = 'succeeded' WHERE failure_code = 'instance_gone'",
        &["M6", "O7"],
    ),
    Change(
        "UPDATE ledger_transfers SET amount_micros = amount_micros + 1
         WHERE reason = 'operator_refund'",
        &["M2", "M4", "M6", "M8"],
    ),
];

const LOTS: &[Change] = &[
    Change(
        "UPDATE prepaid_lots SET amount_micros = amount_micros + 1 WHERE origin = 'purchase'",
        &["M7", "O7"],
    ),
    Change(
        "UPDATE instances SET price_micros = price_micros - 1 WHERE state = 'destroyed'",
        &["M7"],
    ),
    Change("DELETE FROM prepaid_lots", &["M7", "O7"]),
    Change(
        "UPDATE prepaid_lots SET closed_at = NULL, left_micros = NULL WHERE left_micros = 0",
        &["M7"],
    ),
    Change(
        "UPDATE prepaid_lots SET left_micros = left_micros - 1
         WHERE closed_at IS NOT NULL AND left_micros > 0",
        &["M7"],
    ),
    Change(
        "UPDATE prepaid_lots SET amount_micros = amount_micros + 1, left_micros = left_micros + 1
         WHERE origin = 'conversion'",
        &["M7"],
    ),
    Change(
        "UPDATE instances SET expires_at = expires_at + 1 WHERE state = 'active'",
        &["O7"],
    ),
    Change(
        "UPDATE prepaid_lots SET closed_at = 1, left_micros = 0 WHERE closed_at IS NULL",
        &["O7"],
    ),
    Change(
        "UPDATE instances SET extended_hours = extended_hours + 24 WHERE extended_hours > 0",
        &["O7"],
    ),
];

/// The chain, one link at a time.
const CHAIN: &[Change] = &[
    Change(
        "UPDATE ledger_transfers SET created_at = created_at + 1 WHERE reason = 'spend_reversal'",
        &["M8"],
    ),
    Change(
        "UPDATE ledger_transfers SET id = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
         WHERE reason = 'dispute'",
        &["M8"],
    ),
    Change(
        "UPDATE ledger_transfers SET id = 'nothing' WHERE reason = 'dispute'",
        &["M8"],
    ),
    Change(
        "UPDATE ledger_transfers SET chain_hash = NULL WHERE reason = 'dispute'",
        &["M8"],
    ),
    // A row that vanishes, in the middle and at the end.
    Change(
        "DELETE FROM ledger_transfers WHERE reason = 'spend_reversal'",
        &["M2", "M4", "M8", "P4"],
    ),
    Change(
        "DELETE FROM ledger_transfers WHERE reason = 'dispute'",
        &["M2", "M4", "M8"],
    ),
    // Whoever sweeps the account along forgets the hash.
    Change(
        "UPDATE ledger_accounts SET last_hash = (
             SELECT chain_hash FROM kept_ledger_transfers
             WHERE credits_account = ledger_accounts.id AND credits_seq = 1)
         WHERE last_seq > 1",
        &["M8"],
    ),
];

const PAYMENTS: &[Change] = &[
    Change(
        "UPDATE payments SET proof_key = 'one' WHERE state = 'settled'",
        &["P1"],
    ),
    Change(
        "DELETE FROM payments WHERE state = 'settled' AND price_micros < 1000000",
        &["M3", "P3"],
    ),
    Change(
        "UPDATE instances SET state = 'provisioning' WHERE state = 'pending'",
        &["P3"],
    ),
    Change(
        "UPDATE operations SET state = 'failed' WHERE kind = 'topup'",
        &["P4"],
    ),
    Change(
        "UPDATE payments SET state = 'settled' WHERE state = 'refunded'",
        &["P4"],
    ),
    Change(
        "UPDATE payments SET refund_transfer_id = NULL WHERE state = 'refunded'",
        &["P4"],
    ),
    Change(
        "UPDATE operations SET state = 'failed'
         WHERE id IN (SELECT operation_id FROM ledger_transfers WHERE reason = 'spend')",
        &["O7", "P4"],
    ),
];

const MACHINES: &[Change] = &[
    Change(
        "UPDATE operations SET state = 'running' WHERE kind = 'destroy'",
        &["O5"],
    ),
    Change(
        "UPDATE operations SET failure_code = 'not_ready' WHERE failure_code = 'no_capacity'",
        &["O5"],
    ),
    Change(
        "UPDATE owners SET live_instances = live_instances + 1",
        &["O10"],
    ),
    Change(
        "UPDATE counters SET value = value + 1 WHERE name = 'instances'",
        &["O10"],
    ),
    Change(
        "UPDATE counters SET value = value + 1 WHERE name = 'hourly_micros'",
        &["O10"],
    ),
    Change(
        "UPDATE instances SET rate_hour_micros = rate_hour_micros + 1 WHERE state = 'active'",
        &["O10"],
    ),
    Change(
        "UPDATE instances SET resize_plan_id = 'vc2-2c-4gb', resize_rate_micros = 1,
         resize_expires_at = 1 WHERE state = 'active'",
        &["O6"],
    ),
    Change(
        "UPDATE instances SET resize_plan_id = 'vc2-2c-4gb', resize_rate_micros = 1000000,
         resize_expires_at = 1 WHERE state = 'active'",
        &["O10", "O6"],
    ),
    Change(
        "UPDATE instances SET state = 'failed' WHERE state = 'pending'",
        &["O10", "O5"],
    ),
    Change(
        "UPDATE request_keys SET operation_id = 'nothing'
         WHERE request_key = (SELECT MIN(request_key) FROM request_keys)",
        &["R1"],
    ),
    Change(
        "UPDATE request_keys SET owner_id = (SELECT MAX(id) FROM owners)",
        &["R1"],
    ),
    Change(
        "INSERT INTO payer_request_keys (payer, request_key, request_sha256, operation_id, forget_at)
         SELECT 'somebody', request_key, request_sha256, operation_id, forget_at FROM request_keys",
        &["R1"],
    ),
];

async fn a_changed_history_breaks_the_right_promise(database: TestDatabase) {
    store_suite::tell_history(&database.store()).await;
    unlock(&database).await;
    assert_eq!(audit(&database).await, []);
    let mut surprises = Vec::new();
    for Change(statement, expected) in [MONEY, LOTS, CHAIN, PAYMENTS, MACHINES]
        .into_iter()
        .flatten()
    {
        execute_all(&database, (*statement).to_owned()).await;
        let findings = audit(&database).await;
        let broken: BTreeSet<_> = findings.iter().map(|finding| finding.promise).collect();
        let expected: BTreeSet<_> = expected.iter().copied().collect();
        if broken != expected {
            surprises.push(format!("{statement}: {broken:?}, not {expected:?}"));
        }
        restore(&database).await;
    }
    assert!(surprises.is_empty(), "{surprises:#?}");
    assert_eq!(audit(&database).await, []);
}

/// What each change of the told arrivals breaks.
const ARRIVALS: &[Change] = &[
    Change(
        "UPDATE arrivals SET state = 'unmatched' WHERE reference = '0xwaiting'",
        &["M10"],
    ),
    Change(
        "UPDATE arrivals SET amount_micros = amount_micros - 1 WHERE reference = '0xunmatched'",
        &["M10"],
    ),
    Change(
        "DELETE FROM ledger_transfers WHERE reason = 'unmatched_reversal'",
        &["M10"],
    ),
    Change(
        "UPDATE arrivals SET state = 'unmatched', owner_id = NULL, note = NULL
         WHERE state = 'waiting' OR state = 'matched'",
        &["M10"],
    ),
    Change(
        "UPDATE arrivals SET owner_id = 'somebody' WHERE state = 'assigned'",
        &["M10"],
    ),
    Change(
        "UPDATE arrivals SET amount_micros = 1 WHERE state = 'assigned'",
        &["M10", "M6"],
    ),
    Change(
        "UPDATE arrivals SET reference = '0xelse' WHERE state = 'matched'",
        &["M10"],
    ),
    Change(
        "UPDATE arrivals SET asset_atomic = '7' WHERE state = 'matched'",
        &["M10"],
    ),
    Change("DELETE FROM arrivals WHERE state = 'matched'", &["M10"]),
    Change(
        "INSERT INTO ledger_transfers SELECT * FROM kept_ledger_transfers
         WHERE reason = 'unmatched'",
        &["M10", "M6"],
    ),
];

async fn a_changed_arrival_breaks_the_promise_of_the_world(database: TestDatabase) {
    store_suite::tell_arrivals(&database.store()).await;
    unlock(&database).await;
    assert_eq!(audit(&database).await, []);
    let mut surprises = Vec::new();
    for Change(statement, expected) in ARRIVALS {
        execute_all(&database, (*statement).to_owned()).await;
        let findings = audit(&database).await;
        let broken: BTreeSet<_> = findings.iter().map(|finding| finding.promise).collect();
        let expected: BTreeSet<_> = expected.iter().copied().collect();
        if broken != expected {
            surprises.push(format!("{statement}: {broken:?}, not {expected:?}"));
        }
        restore(&database).await;
    }
    assert!(surprises.is_empty(), "{surprises:#?}");
}

async fn findings_name_what_is_wrong(database: TestDatabase) {
    let history = store_suite::tell_history(&database.store()).await;
    unlock(&database).await;
    let running = history.running;
    let statement = format!(
        "UPDATE instances SET expires_at = 7 WHERE id = '{running}';
         UPDATE owners SET live_instances = 9 WHERE id = '{}';
         UPDATE ledger_transfers SET amount_micros = 999999 WHERE operation_id = '{}';",
        history.other, history.topup
    );
    execute_all(&database, statement).await;
    let findings = audit(&database).await;
    let names = |promise: &str, words: &[&str]| {
        findings.iter().any(|finding| {
            finding.promise == promise && words.iter().all(|word| finding.detail.contains(word))
        })
    };
    let account = Account::Credits(history.owner).to_string();
    assert!(names("O7", &[&running.to_string(), "7"]), "{findings:#?}");
    let other = history.other.to_string();
    assert!(names("O10", &[&other, "9 places"]), "{findings:#?}");
    let topup = history.topup.to_string();
    assert!(names("M3", &[&topup, "999999"]), "{findings:#?}");
    assert!(names("M2", &[&account]), "{findings:#?}");
    let changed = format!("(1 of {account}) is not what was written");
    assert!(names("M8", &[&changed]), "{findings:#?}");
    // Later hashes of the chain are fine; one break is one finding.
    let breaks = findings.iter().filter(|finding| finding.promise == "M8");
    assert_eq!(breaks.count(), 1, "{findings:#?}");
}

async fn a_promise_has_a_hundred_findings_at_most(database: TestDatabase) {
    unlock(&database).await;
    let numbers = "WITH RECURSIVE numbers (number) AS (
            SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 150)";
    let statements = format!(
        "INSERT INTO owners (id, live_instances, created_at)
         {numbers} SELECT 'owner ' || number, 1, 0 FROM numbers;
         UPDATE counters SET value = 5;
         INSERT INTO ledger_transfers (id, debit_account, credit_account, amount_micros, reason,
             operation_id, created_at, credits_account, credits_seq)
         {numbers} SELECT 'x', 'sales', 'credits:' || number, 1, 'early_destroy', 'o', 0,
             'credits:' || number, 1 FROM numbers;"
    );
    execute_all(&database, statements).await;
    let findings = audit(&database).await;
    for promise in ["O10", "M2", "M8"] {
        let found = findings.iter().filter(|finding| finding.promise == promise);
        assert_eq!(found.count(), 100, "{promise}");
    }
}

/// The statement of M1 says the same as [`TransferReason::allows`].
async fn every_wrong_pair_of_accounts_is_found(database: TestDatabase) {
    let accounts = [
        "clearing:base",
        "sales",
        "suspense",
        "credits:00000000-0000-0000-0000-000000000001",
    ];
    unlock(&database).await;
    for reason in TransferReason::ALL {
        let mut expected = BTreeSet::new();
        let mut statements = "DELETE FROM ledger_transfers;".to_owned();
        for debit in accounts {
            for credit in accounts {
                let id = format!("{debit} to {credit}");
                statements += &format!(
                    "INSERT INTO ledger_transfers (id, debit_account, credit_account,
                         amount_micros, reason, operation_id, created_at)
                     VALUES ('{id}', '{debit}', '{credit}', 5, '{reason}', 'o', 0);"
                );
                let [debit, credit] = [debit, credit].map(|name| Account::parse(name).unwrap());
                if !reason.allows(&debit, &credit) {
                    expected.insert(format!(
                        "transfer {id} moves 5 from {debit} to {credit} for {reason}"
                    ));
                }
            }
        }
        execute_all(&database, statements).await;
        assert_eq!(
            texts(&database, "SELECT id FROM ledger_transfers")
                .await
                .len(),
            16
        );
        let findings = audit(&database).await;
        let found: BTreeSet<_> = findings
            .into_iter()
            .filter(|finding| finding.promise == "M1")
            .map(|finding| finding.detail)
            .collect();
        assert_eq!(found, expected, "{reason}");
    }
}
