//! A token that is paid through Permit2, where that differs from authorizations.

use compute_engine::StoredProof;
use compute_engine::ports::{Check, ClaimedPayment, Lookup, Rail as _, Settlement};
use compute_rail_facilitator::{FacilitatorConfig, FacilitatorConfigError, FacilitatorRail};
use compute_testkit::ambient::SeededEntropy;
use compute_testkit::facilitator::{Event, Fault};
use compute_testkit::faults_log::injected;
use compute_wallet::EvmKey;
use compute_x402::networks::MEGAETH_USDM;
use compute_x402::{PaymentPayload, PermitPaths, Recipient, Version};
use serde_json::json;

use crate::health::reason;
use crate::{LIFE_S, Market, PAY_TO, Sight, Way};

const USED: &str = "permit2_invalid_nonce";

/// Twelve blocks of two seconds and a little more.
const UNTIL_FIRM_S: u32 = 30;

async fn open(sight: Sight) -> Market {
    Market::open_by(Way::Permit2, sight).await
}

fn refused(code: &str) -> Check {
    Check::Refused {
        code: code.to_owned(),
    }
}

fn never(code: &str) -> Lookup {
    Lookup::Never {
        code: code.to_owned(),
    }
}

// Version 1 has no extensions, and so no permits: whatever the client spoke, version 2 is spoken.
#[tokio::test]
async fn a_facilitator_is_asked_in_version_2() {
    let market = open(Sight::Node).await;
    let payment = market.pay(1);
    assert_eq!(market.rail.check(payment.proof()).await, Ok(Check::Fine));
    let Settlement::Settled(evidence) = market.rail.settle(&payment).await else {
        panic!("not settled")
    };
    assert_eq!(evidence.log_index, Some(0));
    let journal = market.facilitator.journal();
    let [
        Event::Settled {
            x402_version,
            transaction,
            ..
        },
    ] = journal.as_slice()
    else {
        panic!("{journal:?}")
    };
    assert_eq!((*x402_version, transaction), (2, &evidence.reference));
    // A client of version 1 has no way to send a permit, so that it must have approved Permit2.
    let first = market.pay_in(Version::V1, 2);
    let needs_approval = refused("permit2_allowance_required");
    let checked = market.rail.check(first.proof()).await;
    assert_eq!(checked, Ok(needs_approval));
}

#[tokio::test]
async fn what_we_can_refuse_ourselves_is_shown_to_nobody() {
    let market = open(Sight::Blind).await;
    let own = market.pay(1);
    for (place, value, code) in [
        (
            "/extensions/eip2612GasSponsoring/info/amount",
            json!(u128::MAX.to_string()),
            "permit2_2612_amount_mismatch",
        ),
        (
            "/extensions/eip2612GasSponsoring/info/spender",
            json!(format!("0x{}", "11".repeat(20))),
            "eip2612_spender_not_permit2",
        ),
        (
            "/extensions/eip2612GasSponsoring/info/signature",
            json!(format!("0x{}1b", "11".repeat(64))),
            "invalid_exact_evm_payload_signature",
        ),
        (
            "/payload/permit2Authorization/witness/to",
            json!(format!("0x{}", "22".repeat(20))),
            "invalid_permit2_recipient_mismatch",
        ),
        (
            "/payload/permit2Authorization/permitted/amount",
            json!("1"),
            "permit2_amount_mismatch",
        ),
        (
            "/payload/permit2Authorization/nonce",
            json!("7"),
            "invalid_permit2_signature",
        ),
    ] {
        let mut payload = own.proof().payload.to_json();
        *payload.pointer_mut(place).unwrap() = value;
        let proof = StoredProof {
            payload: PaymentPayload::from_json(payload).unwrap(),
            ..own.proof().clone()
        };
        let seen = market.rail.check(&proof).await.unwrap();
        let Check::Refused { code: found } = seen else {
            panic!("{place} is fine")
        };
        if !place.ends_with("info/signature") {
            assert_eq!(found, code, "{place}");
        }
        let payment = ClaimedPayment::for_conformance_suite(own.payment().clone(), proof);
        let outcome = market.rail.settle(&payment).await;
        assert_eq!(outcome, Settlement::Declined { code: found }, "{place}");
    }
    let calls = ["/verify", "/settle"].map(|path| market.facilitator.calls(path));
    assert_eq!(calls, [0, 0]);
}

#[tokio::test]
async fn a_payment_that_may_have_settled_is_not_declined_when_it_expires() {
    let market = open(Sight::Blind).await;
    let payment = market.pay(1);
    market.facilitator.inject(Fault::SettleThenHang);
    injected("F040");
    let outcome = market.rail.settle(&payment).await;
    assert!(matches!(outcome, Settlement::Unknown { .. }), "{outcome:?}");
    market.advance(u32::try_from(LIFE_S).unwrap() + 1);
    assert_eq!(market.rail.lookup(&payment).await, Ok(Lookup::NotYet));
    let outcome = market.rail.settle(&payment).await;
    assert!(matches!(outcome, Settlement::Settled(_)), "{outcome:?}");
    assert_eq!(market.times_moved(&payment), 1);
    // When nobody is left to ask, nobody guesses.
    market.advance(60);
    market.rail.lookup(&payment).await.unwrap_err();
}

#[tokio::test]
async fn a_payment_that_somebody_else_submitted_has_arrived() {
    let market = open(Sight::Node).await;
    let payment = market.pay(1);
    market.front_run(&payment);
    market.facilitator.inject(Fault::RefuseRepeats);
    injected("F046");
    assert_eq!(market.rail.check(payment.proof()).await, Ok(Check::Fine));
    let outcome = market.rail.settle(&payment).await;
    assert!(matches!(outcome, Settlement::Unknown { .. }), "{outcome:?}");
    let found = market.rail.lookup(&payment).await;
    assert!(matches!(found, Ok(Lookup::Settled(_))), "{found:?}");
    // Long after, it pays for nothing new.
    market.advance(121);
    let checked = market.rail.check(payment.proof()).await;
    assert_eq!(checked, Ok(refused(USED)));
    let blind = open(Sight::Blind).await;
    let spent = blind.pay(1);
    blind.front_run(&spent);
    assert_eq!(blind.rail.check(spent.proof()).await, Ok(refused(USED)));
}

// Permit2 logs no number, and the words of a contract between prove nothing.
#[tokio::test]
async fn a_payment_through_another_contract_is_told_by_the_block_of_its_number() {
    let market = open(Sight::Node).await;
    let pay = |payer, nonce| market.pay_under(Version::V2, payer, nonce);
    let payments = [pay(1, 1), pay(2, 2)];
    market.land_together(payments.each_ref());
    injected("F053");
    let mut found = Vec::new();
    for payment in &payments {
        let Settlement::Settled(evidence) = market.rail.settle(payment).await else {
            panic!("{payment:?}")
        };
        let settled = Lookup::Settled(evidence.clone());
        assert_eq!(market.rail.lookup(payment).await, Ok(settled));
        found.push((evidence.reference, evidence.log_index));
    }
    assert_eq!(found[0].0, found[1].0);
    assert_eq!([found[0].1, found[1].1], [Some(0), Some(1)]);
    // Two equal transfers of one payer cannot be told apart.
    let alike = [pay(3, 3), pay(3, 4)];
    market.land_together(alike.each_ref());
    for payment in &alike {
        let outcome = market.rail.settle(payment).await;
        assert!(matches!(outcome, Settlement::Unknown { .. }), "{outcome:?}");
        market.rail.lookup(payment).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_cancelled_payment_is_void_once_that_is_final() {
    let market = open(Sight::Node).await;
    let payment = market.pay(1);
    market.cancel(&payment);
    injected("F047");
    let checked = market.rail.check(payment.proof()).await;
    assert_eq!(checked, Ok(refused(USED)));
    market.rail.lookup(&payment).await.unwrap_err();
    market.advance(UNTIL_FIRM_S);
    assert_eq!(market.rail.lookup(&payment).await, Ok(never(USED)));
}

#[tokio::test]
async fn an_expired_payment_is_void_once_that_is_final() {
    let market = open(Sight::Node).await;
    let payment = market.pay(1);
    assert_eq!(market.rail.lookup(&payment).await, Ok(Lookup::NotYet));
    market.advance(u32::try_from(LIFE_S).unwrap() + 2);
    market.rail.lookup(&payment).await.unwrap_err();
    market.advance(UNTIL_FIRM_S);
    let expired = never("permit2_deadline_expired");
    assert_eq!(market.rail.lookup(&payment).await, Ok(expired));
}

// A search that fails must not make a used number look like an open one.
#[tokio::test]
async fn a_node_without_its_log_says_nothing() {
    let market = open(Sight::Node).await;
    let payment = market.pay(1);
    market.facilitator.inject(Fault::SettleThenHang);
    let outcome = market.rail.settle(&payment).await;
    assert!(matches!(outcome, Settlement::Unknown { .. }), "{outcome:?}");
    market.facilitator.inject(Fault::NodeWithoutLogs);
    market.rail.lookup(&payment).await.unwrap_err();
    let found = market.rail.lookup(&payment).await;
    assert!(matches!(found, Ok(Lookup::Settled(_))), "{found:?}");
}

#[tokio::test]
async fn a_facilitator_must_pay_for_permits() {
    let market = open(Sight::Node).await;
    assert_eq!(reason(&market.rail).await, "ready");
    let say = |body: &str| Fault::Say {
        status: 200,
        body: body.to_owned(),
    };
    let first_version_only = r#"{"kinds":[{"x402Version":1,"scheme":"exact","network":"megaeth"}],
        "extensions":["eip2612GasSponsoring"]}"#;
    for (fault, expected) in [
        (
            Fault::WithoutSponsoring,
            "does not know eip2612GasSponsoring",
        ),
        (
            Fault::Unsupported {
                network: "megaeth".to_owned(),
            },
            "does not settle on eip155:4326",
        ),
        (say(first_version_only), "does not settle on eip155:4326"),
    ] {
        market.facilitator.inject(fault.clone());
        let seen = reason(&market.rail).await;
        assert!(seen.contains(expected), "{fault:?}: {seen}");
    }
    assert_eq!(reason(&market.rail).await, "ready");
}

// Whoever is approved decides where the money goes.
#[tokio::test]
async fn no_facilitator_gets_a_permit_for_itself() {
    let market = open(Sight::Blind).await;
    let chain = Way::Permit2.network().chain_id();
    let direct = PermitPaths::none().with_spender(PAY_TO);
    for paths in [direct.clone(), direct.with_permit2(chain)] {
        let mut spec = Way::Permit2.spec();
        spec.token = std::sync::Arc::new(MEGAETH_USDM.permit_terms(paths).unwrap());
        spec.pay_to = Recipient::new(PAY_TO);
        let config = FacilitatorConfig::new(market.facilitator.url());
        let clock = std::sync::Arc::new(market.clock.clone());
        let entropy = std::sync::Arc::new(SeededEntropy::new(1));
        let made = FacilitatorRail::new(spec, &config, clock, entropy);
        assert_eq!(made.err(), Some(FacilitatorConfigError::DirectPermit));
    }
}

#[tokio::test]
async fn a_payer_without_a_permit_is_told_to_approve() {
    let market = open(Sight::Blind).await;
    let key = EvmKey::from_bytes(&[1; 32]).unwrap();
    let payload = market.permit(Version::V2, &key, 1, None);
    let payment = market.claim(payload, 1);
    let checked = market.rail.check(payment.proof()).await;
    assert_eq!(checked, Ok(refused("permit2_allowance_required")));
}
