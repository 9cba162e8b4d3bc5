//! The stand-ins misbehave a little, as the seed says.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::super::http;
use super::super::shop::{Partners, order_fault};
use super::book::Counts;
use super::dice::Dice;
use super::town::Town;

/// Mean time between two faults.
const MEAN_MS: u64 = 200;

/// Faults that may wait for their call at one partner; the facilitator has a lasting one.
const WAITING: u64 = 3;

/// What the facilitator does wrong: how it is ordered, its word, and its id in the catalogue.
const PAYMENT_FAULTS: &[(&str, &str, &str)] = &[
    (r#"{"kind":"settle_then_drop"}"#, "settle_then_drop", "F040"),
    (r#"{"kind":"settle_then_hang"}"#, "settle_then_hang", "F040"),
    (r#"{"kind":"settle_then_html"}"#, "settle_then_html", "F041"),
    (
        r#"{"kind":"settle_then_status","status":504}"#,
        "settle_then_status",
        "F041",
    ),
    (r#"{"kind":"settle_then_deny"}"#, "settle_then_deny", "F042"),
    (
        r#"{"kind":"pending_then_landed"}"#,
        "pending_then_landed",
        "F040",
    ),
    (
        r#"{"kind":"decline","reason":"insufficient_funds"}"#,
        "decline",
        "F048",
    ),
    (r#"{"kind":"slow","ms":300}"#, "slow", ""),
    (r#"{"kind":"throttle","retry_after":1}"#, "throttle", "F050"),
];

/// What the node of the Tempo chain does wrong.
const CHAIN_FAULTS: &[(&str, &str, &str)] = &[
    (
        r#"{"method":"eth_sendRawTransactionSync","kind":"drop_after"}"#,
        "drop_after",
        "F040",
    ),
    (
        r#"{"method":"eth_sendRawTransactionSync","kind":"hold_after"}"#,
        "hold_after",
        "F040",
    ),
    (
        r#"{"method":"eth_sendRawTransactionSync","kind":"time_out_after"}"#,
        "time_out_after",
        "F040",
    ),
    (
        r#"{"method":"eth_sendRawTransactionSync","kind":"status_after","with":504}"#,
        "status_after",
        "F041",
    ),
    (
        r#"{"method":"eth_sendRawTransactionSync","kind":"garbage_after"}"#,
        "garbage_after",
        "F041",
    ),
    (
        r#"{"method":"eth_sendRawTransactionSync","kind":"already_known_after"}"#,
        "already_known_after",
        "F042",
    ),
    (
        r#"{"method":"eth_sendRawTransactionSync","kind":"time_out_before"}"#,
        "time_out_before",
        "",
    ),
    (
        r#"{"method":"eth_sendRawTransactionSync","kind":"reverted"}"#,
        "reverted",
        "F048",
    ),
    (
        r#"{"method":"eth_getTransactionReceipt","kind":"null"}"#,
        "null",
        "",
    ),
    (
        r#"{"method":"eth_getTransactionReceipt","kind":"drop_before"}"#,
        "drop_before",
        "F049",
    ),
];

/// The same for the cloud; the first part of the catalogue's chapter on providers.
const CLOUD_FAULTS: &[(&str, &str, &str)] = &[
    (r#"{"kind":"create_then_drop"}"#, "create_then_drop", "F100"),
    (
        r#"{"kind":"create_then_status","status":500}"#,
        "create_then_status",
        "F101",
    ),
    (
        r#"{"kind":"hide_created","looks":6}"#,
        "hide_created",
        "F101",
    ),
    (
        r#"{"kind":"refuse_create","status":400,"error":"Plan is not available in this location"}"#,
        "refuse_create",
        "F104",
    ),
    (r#"{"kind":"throttle","retry_after":1}"#, "throttle", "F106"),
    (
        r#"{"kind":"refuse_delete","status":500}"#,
        "refuse_delete",
        "F109",
    ),
    (r#"{"kind":"ignore_delete"}"#, "ignore_delete", "F110"),
    (r#"{"kind":"delete_then_drop"}"#, "delete_then_drop", ""),
    (r#"{"kind":"html502"}"#, "html502", ""),
];

/// Orders faults until the clients go home; none while `is_calm`.
pub(super) fn make(town: &Town, partners: &Partners, mut dice: Dice, is_calm: impl Fn() -> bool) {
    while !town.is_closing() {
        thread::sleep(dice.about(MEAN_MS).max(Duration::from_millis(10)));
        if is_calm() {
            continue;
        }
        let (partner, faults) = match dice.below(4) {
            0 => (&partners.facilitator, PAYMENT_FAULTS),
            1 => (&partners.tempo, CHAIN_FAULTS),
            _ => (&partners.cloud, CLOUD_FAULTS),
        };
        let Some((order, ..)) = dice.pick(faults) else {
            return;
        };
        let outcome = report(partner.url()).and_then(|report| {
            if waiting(&report) < WAITING {
                order_fault(partner, order)?;
            }
            Ok(())
        });
        if let Err(error) = outcome {
            town.book().wrong(format!("a stand-in fails: {error:#}"));
            return;
        }
    }
}

/// Ends what has not struck yet.
pub(super) fn calm_down(partners: &Partners) -> Result<()> {
    for partner in [&partners.facilitator, &partners.tempo, &partners.cloud] {
        http::send(partner.url(), "DELETE", "/control/faults", &[], "")?;
    }
    partners.refuse_repeats()
}

/// What a partner says about its faults.
pub(super) fn report(url: &str) -> Result<Value> {
    http::send(url, "GET", "/control/faults", &[], "")?.json(200)
}

/// How often a kind of fault has struck.
pub(super) fn strikes(report: &Value, kind: &str) -> u64 {
    let struck = report.get("struck").and_then(|struck| struck.get(kind));
    struck.and_then(Value::as_u64).unwrap_or(0)
}

fn waiting(report: &Value) -> u64 {
    report.get("pending").and_then(Value::as_u64).unwrap_or(0)
}

/// Adds what has struck to the counts.
pub(super) fn count(partners: &Partners, counts: &mut Counts) -> Result<()> {
    let pairs = [
        (&partners.facilitator, PAYMENT_FAULTS),
        (&partners.tempo, CHAIN_FAULTS),
        (&partners.cloud, CLOUD_FAULTS),
    ];
    for (partner, faults) in pairs {
        let report = report(partner.url())?;
        for (_, kind, id) in faults.iter().filter(|(.., id)| !id.is_empty()) {
            counts.inject_times(id, strikes(&report, kind));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_fault_is_ordered_by_its_own_word() {
        let payments = PAYMENT_FAULTS.iter().chain(CHAIN_FAULTS);
        for (order, kind, _) in payments.chain(CLOUD_FAULTS) {
            let order: Value = serde_json::from_str(order).unwrap();
            assert_eq!(order["kind"], *kind);
        }
    }

    #[test]
    fn strikes_are_read_from_the_report() {
        let report = json!({"pending": 1, "struck": {"slow": 3}});
        assert_eq!(strikes(&report, "slow"), 3);
        assert_eq!(strikes(&report, "html502"), 0);
        assert_eq!(waiting(&report), 1);
    }
}
