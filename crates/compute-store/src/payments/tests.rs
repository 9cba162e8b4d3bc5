use super::*;

fn row() -> PaymentRow {
    PaymentRow {
        id: "00000000-0000-0000-0000-000000000001".into(),
        operation_id: "00000000-0000-0000-0000-000000000002".into(),
        owner_id: "00000000-0000-0000-0000-000000000003".into(),
        rail: "base".into(),
        proof_key: "eip3009:test".into(),
        challenge_id: None,
        payer: Some(format!("0x{}", "11".repeat(20))),
        price_micros: 168_000,
        asset_atomic: u128::MAX.to_string(),
        asset_decimals: 18,
        void_after: 2,
        claimed_at: 1,
        state: "settled".into(),
        reference: Some("0xabc".into()),
        log_index: Some(3),
        settled_at: Some(2),
        decline_code: None,
        refund_transfer_id: None,
    }
}

fn check_bad(change: impl FnOnce(&mut PaymentRow), detail: &str) {
    let mut row = row();
    change(&mut row);
    match row.parse() {
        Err(StoreError::Inconsistent {
            table: "payments",
            detail: found,
        }) => {
            assert_eq!(
                found,
                format!("{detail} of 00000000-0000-0000-0000-000000000001")
            );
        }
        other => panic!("{detail}: {other:?}"),
    }
}

#[test]
fn a_good_row_parses_and_prints_back() {
    let payment = row().parse().unwrap();
    assert_eq!(payment.asset.atomic, u128::MAX);
    assert_eq!(PaymentRow::of(&payment).parse().unwrap(), payment);
}

#[test]
fn values_outside_the_domain_are_inconsistent() {
    check_bad(|row| row.rail = "Base".into(), "rail");
    check_bad(|row| row.payer = Some("nobody".into()), "payer");
    check_bad(|row| row.price_micros = -1, "price_micros");
    check_bad(|row| row.asset_atomic = "-1".into(), "asset_atomic");
    check_bad(|row| row.asset_decimals = 256, "asset_decimals");
    check_bad(|row| row.log_index = Some(-1), "log_index");
}

#[test]
fn columns_that_do_not_fit_the_state_are_inconsistent() {
    check_bad(|row| row.state = "lost".into(), "state");
    check_bad(|row| row.state = "claimed".into(), "state");
    check_bad(|row| row.state = "refunded".into(), "state");
    check_bad(|row| row.settled_at = None, "state");
    check_bad(|row| row.reference = None, "log_index");
    check_bad(|row| row.decline_code = Some("late".into()), "state");
}
