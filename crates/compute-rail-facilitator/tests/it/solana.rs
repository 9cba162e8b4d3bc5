//! A token on Solana through a facilitator that pays the fee.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use compute_domain::WalletAddress;
use compute_domain::id::{OperationId, OwnerId, PaymentId};
use compute_domain::money::{AssetAmount, Usd};
use compute_domain::payment::{Evidence, Payment, PaymentState, RailLabel};
use compute_domain::time::{Span, Timestamp};
use compute_engine::ports::{
    Check, ClaimedPayment, Lookup, Rail as _, RailHealth, RailSpec, Settlement,
};
use compute_engine::{ResourceInfo, StoredProof};
use compute_rail_facilitator::{FacilitatorConfig, FacilitatorConfigError, FacilitatorRail};
use compute_testkit::ambient::{ManualClock, SeededEntropy};
use compute_testkit::faults_log;
use compute_wallet::{SolanaAddress, SolanaKey};
use compute_x402::client::svm_payload_for;
use compute_x402::exact_svm::client::Draft;
use compute_x402::exact_svm::{SvmPayTo, SvmTerms, SvmToken};
use compute_x402::networks::SOLANA_USDC;
use compute_x402::{Amount, PaymentPayload, Recipient, TokenTerms, Version, identify};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

const NOW_S: u64 = 1_800_000_000;
const PRICE: u64 = 90_000_000;
const CAIP2: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
const SIGNATURE: &str =
    "5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW";

/// What the facilitator answers, and what it was sent.
#[derive(Default)]
struct Script {
    supported: Value,
    verify: Value,
    settle: (u16, Value),
    seen: Vec<(String, Value)>,
}

struct Market {
    script: Arc<Mutex<Script>>,
    clock: ManualClock,
    rail: FacilitatorRail,
}

fn theirs() -> SolanaAddress {
    SolanaKey::from_seed(&[0xfe; 32]).address()
}

fn merchant() -> SolanaAddress {
    SolanaKey::from_seed(&[0x60; 32]).address()
}

fn buyer() -> SolanaKey {
    SolanaKey::from_seed(&[3; 32])
}

fn terms() -> SvmTerms {
    SOLANA_USDC.terms(theirs()).unwrap()
}

fn spec() -> RailSpec {
    RailSpec {
        label: RailLabel::parse("solana").unwrap(),
        decimals: 6,
        token: Arc::new(TokenTerms::svm(SvmToken::new(terms()))),
        pay_to: Recipient::new(merchant()),
        max_timeout_seconds: 90,
        settlement: "a stand-in".to_owned(),
    }
}

fn kind(version: u8, network: &str, fee_payer: &SolanaAddress) -> Value {
    json!({ "x402Version": version, "scheme": "exact", "network": network,
            "extra": { "feePayer": fee_payer.to_string() } })
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    uri: Uri,
    body: axum::body::Bytes,
) -> impl IntoResponse {
    let mut script = script.lock().unwrap();
    let path = uri.path().to_owned();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    script.seen.push((path.clone(), body));
    let (status, answer) = match path.as_str() {
        "/supported" => (200, script.supported.clone()),
        "/verify" => (200, script.verify.clone()),
        _ => script.settle.clone(),
    };
    (StatusCode::from_u16(status).unwrap(), axum::Json(answer))
}

impl Market {
    async fn open() -> Self {
        let payer = buyer().address().to_string();
        let script = Arc::new(Mutex::new(Script {
            supported: json!({ "kinds": [kind(1, "solana", &theirs()), kind(2, CAIP2, &theirs())] }),
            verify: json!({ "isValid": true, "payer": payer }),
            settle: (
                200,
                json!({ "success": true, "transaction": SIGNATURE, "network": CAIP2, "payer": payer }),
            ),
            seen: Vec::new(),
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&script));
        #[expect(
            clippy::disallowed_methods,
            reason = "a stand-in runs beside the test that uses it"
        )]
        drop(tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        }));
        let clock = ManualClock::at(Timestamp::from_secs(NOW_S));
        let config = FacilitatorConfig::new(url);
        let rail = crate::rail_of(spec(), &config, &clock);
        Self {
            script,
            clock,
            rail,
        }
    }

    fn answers(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    fn asked(&self, path: &str) -> Vec<Value> {
        let script = self.script.lock().unwrap();
        let seen = script.seen.iter().filter(|(asked, _)| asked == path);
        seen.map(|(_, body)| body.clone()).collect()
    }
}

fn payment(version: Version) -> ClaimedPayment {
    let (terms, pay_to) = (terms(), SvmPayTo::Wallet(merchant()));
    let draft = Draft::new(&terms, pay_to, Amount::new(PRICE.into()), [9; 32]);
    let transaction = draft.with_memo("0c1f").sign(&buyer()).unwrap();
    let offer = spec().offer(Amount::new(PRICE.into()));
    let payload = svm_payload_for(version, &offer, resource().as_resource(), &transaction);
    claim(payload)
}

fn resource() -> ResourceInfo {
    ResourceInfo {
        url: "https://compute.example/compute/provision".to_owned(),
        description: "720 h of vc2-1c-1gb".to_owned(),
        mime_type: "application/json".to_owned(),
    }
}

fn claim(payload: PaymentPayload) -> ClaimedPayment {
    let offer = spec().offer(Amount::new(PRICE.into()));
    let key = identify(&payload, offer.token());
    let key = key.map_or_else(|_| "svm:none".to_owned(), |it| it.proof_key.into_string());
    let uuid = Uuid::from_u128(1);
    let payment = Payment {
        id: PaymentId::from_uuid(uuid),
        operation: OperationId::from_uuid(uuid),
        owner: OwnerId::from_uuid(uuid),
        rail: spec().label,
        proof_key: key,
        challenge_id: None,
        payer: Some(WalletAddress::Solana(buyer().address())),
        price: Usd::from_micros(90_000_000).unwrap(),
        asset: AssetAmount {
            atomic: PRICE.into(),
            decimals: 6,
        },
        void_after: Timestamp::from_secs(NOW_S + 150),
        claimed_at: Timestamp::from_secs(NOW_S),
        state: PaymentState::Claimed,
    };
    let proof = StoredProof {
        payload,
        offer,
        resource: resource(),
    };
    ClaimedPayment::for_conformance_suite(payment, proof)
}

#[tokio::test]
async fn a_payment_of_either_version_is_verified_and_settled() {
    for (version, number) in [(Version::V1, 1), (Version::V2, 2)] {
        let market = Market::open().await;
        assert_eq!(market.rail.health().await, RailHealth::Ready);
        let payment = payment(version);
        assert_eq!(market.rail.check(payment.proof()).await, Ok(Check::Fine));
        let evidence = Evidence {
            reference: SIGNATURE.to_owned(),
            log_index: None,
        };
        let outcome = market.rail.settle(&payment).await;
        assert_eq!(outcome, Settlement::Settled(evidence));
        let [settle] = market.asked("/settle").try_into().unwrap();
        assert_eq!(settle["x402Version"], number);
        let extra = &settle["paymentRequirements"]["extra"];
        assert_eq!(extra, &json!({ "feePayer": theirs().to_string() }));
        assert_eq!(
            settle["paymentPayload"]["payload"],
            payment.proof().payload.to_json()["payload"]
        );
    }
}

#[tokio::test]
async fn a_facilitator_with_another_fee_payer_is_not_used() {
    let market = Market::open().await;
    assert_eq!(market.rail.health().await, RailHealth::Ready);
    let stranger = SolanaAddress::new([8; 32]);
    faults_log::injected("F051");
    market.answers(|it| it.supported = json!({ "kinds": [kind(2, CAIP2, &stranger)] }));
    let RailHealth::Withdrawn { reason } = market.rail.health().await else {
        panic!("offered for an account that nobody signs for");
    };
    assert!(reason.contains(&theirs().to_string()), "{reason}");
    // Another network's account is none for this one, and none at all neither.
    let elsewhere = kind(2, "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1", &theirs());
    let nameless = json!({ "x402Version": 2, "scheme": "exact", "network": CAIP2 });
    for other in [elsewhere, nameless] {
        market.answers(|it| it.supported = json!({ "kinds": [other] }));
        let health = market.rail.health().await;
        assert!(matches!(health, RailHealth::Withdrawn { .. }), "{health:?}");
    }
    // One version is enough, and then it is the one that is spoken.
    market.answers(|it| {
        it.supported =
            json!({ "kinds": [kind(1, "solana", &theirs()), kind(2, CAIP2, &stranger)] });
    });
    assert_eq!(market.rail.health().await, RailHealth::Ready);
    market
        .rail
        .check(payment(Version::V2).proof())
        .await
        .unwrap();
    assert_eq!(market.asked("/verify")[0]["x402Version"], 1);
}

#[tokio::test]
async fn nothing_is_sent_that_does_not_pass_our_own_verification() {
    let market = Market::open().await;
    let mut json = payment(Version::V2).proof().payload.to_json();
    let (terms, pay_to) = (terms(), SvmPayTo::Wallet(merchant()));
    let cheaper = Draft::new(&terms, pay_to, Amount::new(1), [9; 32]);
    json["payload"] = cheaper.sign(&buyer()).unwrap().to_payload();
    let payment = claim(PaymentPayload::from_json(json).unwrap());
    faults_log::injected("F064");
    let code = "invalid_exact_svm_payload_amount_mismatch".to_owned();
    let refused = Check::Refused { code: code.clone() };
    assert_eq!(market.rail.check(payment.proof()).await, Ok(refused));
    let outcome = market.rail.settle(&payment).await;
    assert_eq!(outcome, Settlement::Declined { code });
    assert!(market.asked("/verify").is_empty() && market.asked("/settle").is_empty());
}

#[tokio::test]
async fn what_a_facilitator_says_of_a_failure_is_weighed() {
    let failed = |code: &str| json!({ "success": false, "errorReason": code, "network": CAIP2 });
    for (code, is_declined) in [
        ("invalid_exact_svm_transaction_failed", true),
        ("insufficient_funds", true),
        ("transaction_simulation_failed", false),
        ("settle_exact_svm_transaction_confirmation_timed_out", false),
        ("settlement_pending", false),
        ("duplicate_settlement", false),
    ] {
        let market = Market::open().await;
        market.answers(|it| it.settle = (200, failed(code)));
        let outcome = market.rail.settle(&payment(Version::V2)).await;
        let declined = matches!(outcome, Settlement::Declined { .. });
        assert_eq!(declined, is_declined, "{code}: {outcome:?}");
        assert!(
            declined || matches!(outcome, Settlement::Unknown { .. }),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_success_without_a_signature_or_for_somebody_else_is_unknown() {
    let other = merchant().to_string();
    for answer in [
        json!({ "success": true, "transaction": "pending", "network": CAIP2 }),
        json!({ "success": true, "transaction": SIGNATURE, "network": "eip155:8453" }),
        json!({ "success": true, "transaction": SIGNATURE, "network": CAIP2, "payer": other }),
    ] {
        let market = Market::open().await;
        market.answers(|it| it.settle = (200, answer));
        let outcome = market.rail.settle(&payment(Version::V2)).await;
        assert!(matches!(outcome, Settlement::Unknown { .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_unclear_payment_is_open_while_its_blockhash_may_live() {
    let market = Market::open().await;
    market.answers(|it| it.settle = (502, json!({})));
    let payment = payment(Version::V2);
    let outcome = market.rail.settle(&payment).await;
    assert!(matches!(outcome, Settlement::Unknown { .. }), "{outcome:?}");
    market.clock.advance(Span::from_secs(209));
    assert_eq!(market.rail.lookup(&payment).await, Ok(Lookup::NotYet));
    // Only the chain could tell now, and nobody asks it.
    market.clock.advance(Span::from_secs(1));
    market.rail.lookup(&payment).await.unwrap_err();
}

#[tokio::test]
async fn a_chain_node_is_none_of_solana() {
    let mut config = FacilitatorConfig::new("https://facilitator.example");
    config.rpc_url = Some("https://node.example".into());
    let clock = Arc::new(ManualClock::at(Timestamp::from_secs(NOW_S)));
    let entropy = Arc::new(SeededEntropy::new(1));
    let error = FacilitatorRail::new(spec(), &config, clock, entropy).err();
    assert_eq!(error, Some(FacilitatorConfigError::NodeOnSolana));
}
