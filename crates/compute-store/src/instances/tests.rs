use super::*;

fn row() -> InstanceRow {
    InstanceRow {
        id: "00000000-0000-0000-0000-000000000001".into(),
        owner_id: "00000000-0000-0000-0000-000000000002".into(),
        provider: "vultr".into(),
        plan_id: "vc2-1c-1gb".into(),
        region_id: "ewr".into(),
        os_id: "2284".into(),
        label: "x".into(),
        rate_hour_micros: 7_000,
        prepaid_hours: 24,
        extended_hours: 48,
        price_micros: 168_000,
        access: "password".into(),
        ip_address: None,
        state: "pending".into(),
        provider_instance_id: None,
        expires_at: None,
        end_reason: None,
        failure_code: None,
        ended_at: None,
        suspended_since: Some(3),
        created_at: 1,
        resize_plan_id: None,
        resize_rate_micros: None,
        resize_expires_at: None,
        is_protected: 0,
    }
}

fn check_bad(change: impl FnOnce(&mut InstanceRow), detail: &str) {
    let mut row = row();
    change(&mut row);
    match row.parse() {
        Err(StoreError::Inconsistent {
            table: "instances",
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
    let instance = row().parse().unwrap();
    assert_eq!(InstanceRow::of(&instance).parse().unwrap(), instance);
}

#[test]
fn values_outside_the_domain_are_inconsistent() {
    check_bad(|row| row.owner_id = "x".into(), "owner_id");
    check_bad(|row| row.provider = "elsewhere".into(), "provider");
    check_bad(|row| row.rate_hour_micros = 0, "rate_hour_micros");
    check_bad(|row| row.prepaid_hours = -1, "prepaid_hours");
    check_bad(|row| row.prepaid_hours = 23, "prepaid_hours");
    check_bad(|row| row.extended_hours = -1, "extended_hours");
    check_bad(|row| row.price_micros = -1, "price_micros");
    check_bad(|row| row.ip_address = Some("here".into()), "ip_address");
    check_bad(|row| row.label = "a\u{1b}".into(), "label");
}

#[test]
fn columns_that_do_not_fit_the_state_are_inconsistent() {
    check_bad(|row| row.state = "asleep".into(), "state");
    check_bad(|row| row.state = "active".into(), "state");
    check_bad(|row| row.state = "failed".into(), "state");
    check_bad(|row| row.ended_at = Some(1), "state");
    check_bad(|row| row.expires_at = Some(1), "placement");
    check_bad(
        |row| row.failure_code = Some("bad luck".into()),
        "failure_code",
    );
}
