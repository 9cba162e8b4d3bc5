//! Bad input, the rows of mpp.md 21 that only the payment network can judge: what a client is answered when
//! it does, row by row. That each rail tells them so is the rails' own tests.

use std::sync::Arc;

use compute_mpp::tempo::Modes;
use compute_testkit::faults_log::injected;
use compute_testkit::scripted_charge::{ScriptedCharge, TempoBuyer};
use compute_testkit::scripted_rail::SettleFault;
use serde_json::json;

use super::payer::{answering, challenge, challenges, document, field, open, send, sign, with};
use crate::shop::{Answer, ORDER, Shop};

/// A refusal that offers anew, and what it is called.
#[track_caller]
fn check(row: &str, answer: &Answer, code: &str, kind: &str) {
    assert_eq!(answer.status, 402, "{row}: {answer:?}");
    answer.expect_problem(402, code);
    let wanted = format!("https://paymentauth.org/problems/{kind}");
    assert_eq!(answer.text("type"), wanted, "{row}");
    assert_eq!(answer.json()["charged"], false, "{row}");
    assert!(!challenges(answer).is_empty(), "{row}: {answer:?}");
    assert!(answer.header("payment-receipt").is_none(), "{row}");
}

#[tokio::test]
async fn a_purse_that_is_too_small_is_refused_before_the_claim() {
    let (shop, tempo, _) = open().await;
    for (refusal, code, kind) in [
        (
            "insufficient_funds",
            "payment_insufficient",
            "payment-insufficient",
        ),
        (
            "simulation_failed",
            "verification_failed",
            "verification-failed",
        ),
    ] {
        tempo.refuse_checks(Some(refusal));
        let answer = send(&shop, &sign(&shop, &TempoBuyer::new(1)).await).await;
        check("33", &answer, code, kind);
        assert_eq!(answer.json()["error"], refusal, "33");
    }
    assert_eq!(tempo.settle_calls(), 0);
}

#[tokio::test]
async fn a_hash_is_what_the_chain_says_it_is() {
    let tempo = Arc::new(ScriptedCharge::tempo(Modes::PullAndPush));
    let shop = Shop::open_taking(vec![tempo.clone()]).await;
    for refusal in [
        "transaction_not_found",
        "transaction_reverted",
        "wrong_payment",
    ] {
        tempo.refuse_checks(Some(refusal));
        let offer = challenge(&shop.ask(ORDER).await, "tempo");
        let hash = json!({ "type": "hash", "hash": format!("0x{}", "a".repeat(64)) });
        let mut shown = answering(&offer, hash);
        shown["source"] = TempoBuyer::new(1).source().to_string().into();
        let answer = send(&shop, &field(&shown)).await;
        check(
            &format!("39 {refusal}"),
            &answer,
            "verification_failed",
            "verification-failed",
        );
        assert_eq!(answer.json()["error"], refusal, "39");
    }
    // None of it has used the hash up.
    tempo.refuse_checks(None);
    let offer = challenge(&shop.ask(ORDER).await, "tempo");
    let hash = json!({ "type": "hash", "hash": format!("0x{}", "a".repeat(64)) });
    let mut shown = answering(&offer, hash);
    shown["source"] = TempoBuyer::new(1).source().to_string().into();
    assert_eq!(send(&shop, &field(&shown)).await.status, 200);
    assert_eq!(tempo.settled(), 1);
}

/// Whatever became of the answer, the money is taken once and the machine delivered once.
#[tokio::test]
async fn a_network_that_dies_after_sending_is_no_failure() {
    for (row, fault, landed) in [
        ("42 the answer is lost", SettleFault::LandsUnseen, true),
        ("42 the request is lost", SettleFault::LostBefore, false),
    ] {
        let (shop, tempo, _) = open().await;
        tempo.misbehave([fault]);
        tempo.set_blind(true);
        let credential = sign(&shop, &TempoBuyer::new(1)).await;
        injected("F077");
        let pending = send(&shop, &credential).await;
        assert_eq!(pending.status, 200, "{row}: {pending:?}");
        assert_eq!(pending.json()["settlement"], "pending", "{row}");
        assert!(pending.header("www-authenticate").is_none(), "{row}");
        assert_eq!(tempo.settled() == 1, landed, "{row}");
        tempo.set_blind(false);
        shop.drive().await;
        let settled = send(&shop, &credential).await;
        assert!(
            settled.header("payment-receipt").is_some(),
            "{row}: {settled:?}"
        );
        let counts = (tempo.settled(), shop.provider.machines().len());
        assert_eq!(counts, (1, 1), "{row}");
    }
}

#[tokio::test]
async fn a_transaction_that_reverts_is_declined() {
    let (shop, tempo, _) = open().await;
    tempo.misbehave([SettleFault::Declines]);
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    let reverted = send(&shop, &credential).await;
    check(
        "43 reverted",
        &reverted,
        "payment_declined",
        "verification-failed",
    );
    assert_eq!((tempo.settled(), shop.provider.machines().len()), (0, 0));
    // Nothing is kept of it: what it paid with may pay.
    assert_eq!(
        send(&shop, &sign(&shop, &TempoBuyer::new(1)).await)
            .await
            .status,
        200
    );
}

/// A month costs more than a card's minimum.
fn month() -> String {
    ORDER.replace(":24}", ":720}")
}

async fn card(shop: &Shop, token: &str) -> String {
    let offer = challenge(&shop.ask(&month()).await, "stripe");
    field(&answering(&offer, json!({ "spt": token })))
}

async fn swipe(shop: &Shop, credential: &str) -> Answer {
    let body = month();
    let request = with("/compute/provision", &body, credential);
    shop.patiently(shop.send(request)).await
}

#[tokio::test]
async fn a_token_that_pays_nothing_is_refused() {
    let (shop, _, stripe) = open().await;
    for row in ["unknown", "expired", "limit", "currency", "seller"] {
        stripe.refuse_checks(Some("token_refused"));
        let answer = swipe(&shop, &card(&shop, "spt_1").await).await;
        let row = format!("45 {row}");
        check(&row, &answer, "verification_failed", "verification-failed");
    }
    assert_eq!(stripe.settle_calls(), 0);
    // A token that was used for another purchase.
    stripe.refuse_checks(None);
    assert_eq!(swipe(&shop, &card(&shop, "spt_1").await).await.status, 200);
    let consumed = swipe(&shop, &card(&shop, "spt_1").await).await;
    consumed.expect_problem(409, "payment_already_used");
    assert_eq!(stripe.settled(), 1);
}

#[tokio::test]
async fn a_card_that_is_declined_charges_nothing() {
    let (shop, _, stripe) = open().await;
    for (code, kind) in [
        ("card_declined", "verification-failed"),
        ("payment_action_required", "payment-action-required"),
    ] {
        stripe.decline_as(code);
        stripe.misbehave([SettleFault::Declines]);
        let answer = swipe(&shop, &card(&shop, "spt_1").await).await;
        check(&format!("46 {code}"), &answer, "payment_declined", kind);
        assert_eq!(answer.json()["error"], code, "46");
    }
    assert_eq!((stripe.settled(), shop.provider.machines().len()), (0, 0));
}

#[tokio::test]
async fn a_second_token_for_a_paid_challenge_is_used() {
    let (shop, _, stripe) = open().await;
    let credential = card(&shop, "spt_1").await;
    assert_eq!(swipe(&shop, &credential).await.status, 200);
    let mut second = document(&credential);
    second["payload"]["spt"] = "spt_2".into();
    let answer = swipe(&shop, &field(&second)).await;
    answer.expect_problem(409, "payment_already_used");
    assert!(answer.text("type").ends_with("/verification-failed"), "47");
    assert!(answer.header("www-authenticate").is_none(), "47");
    assert_eq!(stripe.settled(), 1);
}

#[tokio::test]
async fn a_card_network_that_is_away_charges_once() {
    for (row, fault) in [
        ("48 dropped before the effect", SettleFault::LostBefore),
        ("48 dropped after the effect", SettleFault::LandsUnseen),
        ("48 not reached", SettleFault::Unreachable),
    ] {
        let (shop, _, stripe) = open().await;
        stripe.set_down(true);
        let credential = card(&shop, "spt_1").await;
        let down = swipe(&shop, &credential).await;
        down.expect_problem(503, "payment_network_unavailable");
        assert!(
            down.text("type").ends_with("/internal-payment-error"),
            "{row}"
        );
        stripe.set_down(false);
        stripe.misbehave([fault]);
        let bought = swipe(&shop, &credential).await;
        assert_eq!(bought.status, 200, "{row}: {bought:?}");
        shop.drive().await;
        let again = swipe(&shop, &credential).await;
        assert!(
            again.header("payment-receipt").is_some(),
            "{row}: {again:?}"
        );
        let counts = (stripe.settled(), shop.provider.machines().len());
        assert_eq!(counts, (1, 1), "{row}");
    }
}
