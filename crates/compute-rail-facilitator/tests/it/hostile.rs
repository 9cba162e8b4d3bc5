//! Everything a facilitator can do to a settlement.

use compute_engine::ports::{Lookup, Rail, Settlement};
use compute_testkit::facilitator::Fault;
use compute_testkit::faults_log::injected;
use compute_x402::Version;

use crate::{Market, Sight, Way};

/// The four outcomes, without their texts.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Settled,
    Declined(String),
    Unknown,
    NotSent,
}

fn outcome(settlement: Settlement) -> Outcome {
    match settlement {
        Settlement::Settled(_) => Outcome::Settled,
        Settlement::Declined { code } => Outcome::Declined(code),
        Settlement::Unknown { .. } => Outcome::Unknown,
        Settlement::NotSent { .. } => Outcome::NotSent,
    }
}

/// What a fault leads to without and with a chain node, and whether money moved. Afterwards the
/// probe and a repeat find out what is true.
async fn check(fault: Fault, blind: Outcome, seeing: Outcome, moved: usize) {
    for way in Way::BOTH {
        check_by(way, &fault, (&blind, &seeing), moved).await;
    }
}

async fn check_by(way: Way, fault: &Fault, (blind, seeing): (&Outcome, &Outcome), moved: usize) {
    for (sight, expected) in [(Sight::Blind, blind), (Sight::Node, seeing)] {
        let market = Market::open_by(way, sight).await;
        let payment = market.pay(1);
        market.facilitator.inject(fault.clone());
        let first = outcome(market.rail.settle(&payment).await);
        assert_eq!(first, *expected, "{way:?} {fault:?}");
        if let Some(id) = catalogue_id(fault) {
            injected(id);
        }
        assert_eq!(
            market.facilitator.calls("/settle"),
            1,
            "{fault:?}: sent once"
        );
        assert_eq!(market.times_moved(&payment), moved, "{fault:?}");
        let look = market.rail.lookup(&payment).await.unwrap();
        match (sight, moved) {
            (Sight::Node, 1) => assert!(matches!(look, Lookup::Settled(_)), "{fault:?} {look:?}"),
            _ => assert_eq!(look, Lookup::NotYet, "{fault:?}"),
        }
        assert_eq!(
            outcome(market.rail.settle(&payment).await),
            Outcome::Settled,
            "{fault:?}"
        );
        assert_eq!(
            market.times_moved(&payment),
            1,
            "{fault:?}: the money moved once"
        );
    }
}

/// The fault's id in the catalogue, when it is there.
const fn catalogue_id(fault: &Fault) -> Option<&'static str> {
    match fault {
        Fault::SettleThenHang | Fault::SettleThenDrop => Some("F040"),
        Fault::SettleThenHtml | Fault::SettleThenStatus { .. } => Some("F041"),
        Fault::SettleThenDeny => Some("F042"),
        Fault::SuccessWithoutSettling | Fault::SuccessButReverted => Some("F044"),
        Fault::SuccessOnAnotherNetwork => Some("F045"),
        Fault::Hang | Fault::Down | Fault::Slow { .. } => Some("F049"),
        Fault::Throttle { .. } => Some("F050"),
        _ => None,
    }
}

async fn check_unknown(fault: Fault, moved: usize) {
    check(fault, Outcome::Unknown, Outcome::Unknown, moved).await;
}

#[tokio::test]
async fn a_lost_answer_is_unknown() {
    check_unknown(Fault::SettleThenHang, 1).await;
    check_unknown(Fault::SettleThenDrop, 1).await;
    check_unknown(Fault::Hang, 0).await;
    check_unknown(Fault::Down, 0).await;
    check_unknown(Fault::Slow { ms: 60_000 }, 0).await;
}

#[tokio::test]
async fn a_server_error_is_unknown() {
    check_unknown(Fault::SettleThenHtml, 1).await;
    for status in [408, 425, 429, 500, 502, 503, 504] {
        check_unknown(Fault::SettleThenStatus { status }, 1).await;
    }
    check_unknown(Fault::Throttle { retry_after: 1 }, 0).await;
}

#[tokio::test]
async fn a_pending_settlement_is_unknown_whatever_its_status() {
    check_unknown(Fault::PendingThenLanded { status: 500 }, 1).await;
    check_unknown(Fault::PendingThenLanded { status: 200 }, 1).await;
    check_unknown(Fault::PendingNeverLands, 0).await;
}

#[tokio::test]
async fn a_yes_that_contradicts_itself_is_unknown() {
    check_unknown(Fault::SuccessWithoutTransaction, 1).await;
    check_unknown(Fault::SuccessOnAnotherNetwork, 1).await;
}

#[tokio::test]
async fn a_no_without_a_reason_is_unknown() {
    check_unknown(Fault::SettleThenDeny, 1).await;
    for reason in [
        "duplicate_settlement",
        "invalid_exact_evm_nonce_already_used",
        "FiatTokenV2: authorization is used or canceled",
        "unexpected_settle_error",
        "settle_exact_svm_transaction_confirmation_timed_out",
        "a word nobody knows",
    ] {
        check_unknown(
            Fault::Decline {
                reason: reason.to_owned(),
            },
            0,
        )
        .await;
    }
}

#[tokio::test]
async fn a_lie_is_believed_only_by_the_blind() {
    // Nothing moved. With a node of one's own the chain is asked before a machine is bought.
    for fault in [Fault::SuccessWithoutSettling, Fault::SuccessButReverted] {
        check(fault, Outcome::Settled, Outcome::Unknown, 0).await;
    }
}

#[tokio::test]
async fn a_failed_check_is_a_refusal() {
    for code in [
        "insufficient_funds",
        "invalid_exact_evm_payload_signature",
        "invalid_exact_evm_payload_authorization_valid_before",
        "invalid_network",
    ] {
        let declined = Outcome::Declined(code.to_owned());
        let fault = Fault::Decline {
            reason: code.to_owned(),
        };
        check_by(Way::Authorization, &fault, (&declined, &declined), 0).await;
    }
}

// A payment through Permit2 is simulated, and whoever looks why that failed finds what the payment
// itself brought about: only the chain can tell.
#[tokio::test]
async fn a_failed_check_of_permit2_is_a_refusal_unless_the_payment_may_have_caused_it() {
    for (code, spelled, is_clear) in [
        (
            "invalid_permit2_signature",
            "invalid_permit2_signature",
            true,
        ),
        ("permit2_deadline_expired", "permit2_deadline_expired", true),
        (
            "permit2_allowance_required",
            "permit2_allowance_required",
            false,
        ),
        ("insufficient_funds", "permit2_insufficient_balance", false),
        (
            "permit2_simulation_failed",
            "permit2_simulation_failed",
            false,
        ),
    ] {
        let declined = Outcome::Declined(code.to_owned());
        let blind = if is_clear {
            &declined
        } else {
            &Outcome::Unknown
        };
        let fault = Fault::Decline {
            reason: spelled.to_owned(),
        };
        check_by(Way::Permit2, &fault, (blind, &declined), 0).await;
    }
    let fault = Fault::Decline {
        reason: "permit2_invalid_nonce".to_owned(),
    };
    let unknown = Outcome::Unknown;
    check_by(Way::Permit2, &fault, (&unknown, &unknown), 0).await;
}

async fn check_answer(status: u16, body: &str, expected: Outcome) {
    let fault = Fault::Say {
        status,
        body: body.to_owned(),
    };
    let market = Market::open(Sight::Blind).await;
    market.facilitator.inject(fault);
    let seen = outcome(market.rail.settle(&market.pay(1)).await);
    assert_eq!(seen, expected, "{status} {body:.80}");
}

#[tokio::test]
async fn garbage_is_unknown() {
    let hash = "ab".repeat(32);
    for body in [
        String::new(),
        "null".to_owned(),
        "[true]".to_owned(),
        r#"{"success":"true"}"#.to_owned(),
        r#"{"success":NaN}"#.to_owned(),
        format!(r#"{{"success":true,"transaction":"0x{hash}"}}"#),
        format!(r#"{{"success":true,"transaction":["0x{hash}"],"network":"base-sepolia"}}"#),
        r#"{"success":true,"transaction":"pending","network":"base-sepolia"}"#.to_owned(),
        format!(
            r#"{{"success":true,"transaction":"0x{hash}","network":"base-sepolia","payer":"0x{}"}}"#,
            "11".repeat(20)
        ),
        "[".repeat(50_000),
        "x".repeat(100_000),
    ] {
        injected("F049");
        check_answer(200, &body, Outcome::Unknown).await;
    }
}

#[tokio::test]
async fn our_own_fault_sends_nothing() {
    for status in [400, 401, 403, 404, 413, 422] {
        check_answer(status, "{}", Outcome::NotSent).await;
    }
    // A refusal that can be read is one, whatever its status.
    let body = r#"{"success":false,"errorReason":"insufficient_funds","transaction":""}"#;
    for status in [200, 400, 402, 412, 500] {
        injected("F043");
        check_answer(
            status,
            body,
            Outcome::Declined("insufficient_funds".to_owned()),
        )
        .await;
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    injected("F049");
    check_answer(308, "", Outcome::Unknown).await;
}

#[tokio::test]
async fn a_facilitator_that_is_away_gets_nothing() {
    let market = Market::open(Sight::Blind).await;
    let payment = market.pay(1);
    let Market {
        facilitator, rail, ..
    } = market;
    drop(facilitator);
    assert_eq!(outcome(rail.settle(&payment).await), Outcome::NotSent);
}

#[tokio::test]
async fn both_versions_settle() {
    for version in [Version::V1, Version::V2] {
        let market = Market::open(Sight::Node).await;
        let payment = market.pay_in(version, 1);
        assert_eq!(
            outcome(market.rail.settle(&payment).await),
            Outcome::Settled
        );
        assert_eq!(market.times_moved(&payment), 1);
    }
}

// A lie that is half a truth: that transaction paid, and another payment of the same size.
#[tokio::test]
async fn the_transaction_of_another_payment_settles_nothing() {
    for way in Way::BOTH {
        let market = Market::open_by(way, Sight::Node).await;
        let earlier = market.pay_under(Version::V2, 1, 1);
        assert_eq!(
            outcome(market.rail.settle(&earlier).await),
            Outcome::Settled
        );
        let payment = market.pay_under(Version::V2, 1, 2);
        market.facilitator.inject(Fault::SuccessByAnother);
        injected("F044");
        let seen = outcome(market.rail.settle(&payment).await);
        assert_eq!(seen, Outcome::Unknown, "{way:?}");
        assert_eq!(market.rail.lookup(&payment).await, Ok(Lookup::NotYet));
        assert_eq!(market.times_moved(&payment), 0);
    }
}

#[tokio::test]
async fn another_amount_is_no_yes_where_nobody_else_can_be_asked() {
    for way in Way::BOTH {
        let (hash, network) = ("ab".repeat(32), way.network().caip2());
        for (amount, expected) in [
            (way.amount() - 1, Outcome::Unknown),
            (way.amount(), Outcome::Settled),
        ] {
            let body = format!(
                r#"{{"success":true,"transaction":"0x{hash}","network":"{network}","amount":"{amount}"}}"#
            );
            let market = Market::open_by(way, Sight::Blind).await;
            market.facilitator.inject(Fault::Say { status: 200, body });
            injected("F049");
            let seen = outcome(market.rail.settle(&market.pay(1)).await);
            assert_eq!(seen, expected, "{way:?} {amount}");
        }
    }
}
