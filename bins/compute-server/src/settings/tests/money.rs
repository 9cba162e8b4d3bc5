//! The terms about money.

use compute_domain::money::Usd;
use compute_domain::prepaid::EarlyDestroy;

use super::*;

#[test]
fn the_terms_about_money_reach_the_engine() {
    let usual = check(&good()).unwrap();
    let credit = |min_hours| EarlyDestroy::Credit { min_hours };
    assert_eq!(usual.sales.early_destroy, credit(24));
    let dollars = [usual.sales.topup_min, usual.sales.topup_max].map(|usd| usd.to_string());
    assert_eq!(dollars, ["1.00", "100000.00"]);
    assert_eq!(usual.caps.instances_per_owner, 20);
    assert_eq!(usual.caps.instances_total, 500);
    assert_eq!(usual.caps.hourly_total, None);
    assert_eq!(
        (usual.work.guard().count, usual.work.guard().permille),
        (5, 100)
    );

    let own = "[pricing]\nearly_destroy = \"forfeit\"\n[credits]\nmin_topup = \"0.50\"\n\
        max_topup = 20\n[limits]\nhourly_total_usd = \"12.5\"\n[secrets]";
    let own = check(&good().replace("[secrets]", own)).unwrap();
    assert_eq!(own.sales.early_destroy, EarlyDestroy::Forfeit);
    assert_eq!(own.sales.topup_min.micros(), 500_000);
    assert_eq!(own.sales.topup_max.micros(), 20_000_000);
    assert_eq!(own.caps.hourly_total.map(Usd::micros), Some(12_500_000));
}

#[test]
fn blocked_payers_are_wallets_of_either_family() {
    assert!(check(&good()).unwrap().sales.blocked_payers.is_empty());
    let (evm, solana) = (
        "0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B",
        "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
    );
    let list = |payers: &str| {
        let lines = format!("[limits]\nblocked_payers = [{payers}]\n[secrets]");
        good().replace("[secrets]", &lines)
    };
    let found = check(&list(&format!("\"{evm}\", \"{solana}\""))).unwrap();
    let found: Vec<String> = found
        .sales
        .blocked_payers
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, [evm.to_ascii_lowercase(), solana.to_owned()]);
    for bad in ["\"0x12\"", "\"somebody\"", "\"\"", "7"] {
        let found = problems(&list(bad));
        assert!(found.contains("limits.blocked_payers: "), "{bad}: {found}");
    }
}

#[test]
fn impossible_terms_about_money_are_refused() {
    for (section, line, expected) in [
        (
            "credits",
            "min_topup = \"0.001\"",
            "credits.min_topup: must be 0.01 to",
        ),
        (
            "credits",
            "max_topup = 1000001",
            "credits.max_topup: must be 0.01 to",
        ),
        (
            "credits",
            "min_topup = 100001",
            "at most as much as credits.max_topup",
        ),
        (
            "credits",
            "min_topup = 0.5",
            "credits.min_topup: must be: amount in USD",
        ),
        (
            "credits",
            "min_topup = -1",
            "credits.min_topup: must be: amount in USD",
        ),
        (
            "pricing",
            "early_destroy = \"burn\"",
            "pricing.early_destroy: must be",
        ),
        (
            "pricing",
            "early_destroy_min_hours = 4321",
            "must be at most 4320",
        ),
        (
            "limits",
            "instances_per_owner = 0",
            "limits.instances_per_owner: must be 1",
        ),
        (
            "limits",
            "hourly_total_usd = \"0\"",
            "must be more than nothing",
        ),
        (
            "work",
            "destroy_guard_count = 0",
            "work.destroy_guard_count: must be 1",
        ),
        (
            "work",
            "destroy_guard_permille = 1001",
            "must be at most 1000",
        ),
    ] {
        let text = format!("[{section}]\n{line}\n[secrets]");
        check_change("[secrets]", &text, expected);
    }
}
