//! The whole way: one 402 for both protocols, the purchase, its repeats.

use std::sync::Arc;

use compute_domain::time::Span;
use compute_mpp::Receipt;
use compute_mpp::tempo::Modes;
use compute_testkit::faults_log::injected;
use compute_testkit::scripted_charge::{ScriptedCharge, TempoBuyer};
use compute_testkit::scripted_rail::SettleFault;
use futures::future::join_all;
use http::Request;

use super::payer::{
    answering, challenge, challenges, document, field, now_s, open, payload, send, sign, with,
};
use crate::shop::{ORDER, SECRET, Shop, extend_path, mpp_terms, post};
use crate::visitor::{Visitor, paid};

#[tokio::test]
async fn one_answer_offers_both_protocols() {
    let (shop, ..) = open().await;
    let asked = shop.ask(ORDER).await;
    asked.expect_problem(402, "payment_required");
    let offers = challenges(&asked);
    // 24 h cost less than Stripe's minimum.
    let methods: Vec<_> = offers.iter().map(|offer| offer.method()).collect();
    assert_eq!(methods, ["tempo"]);
    let first = asked.header("www-authenticate").unwrap();
    assert!(first.starts_with("Payment id="), "{first}");
    let again = challenges(&shop.ask(ORDER).await);
    assert_ne!(offers[0].id(), again[0].id(), "each has a nonce of its own");
    // x402 still works beside it.
    let visitor = Visitor::new(1);
    let bought = shop.send(paid(&visitor.pay(&shop, &asked), ORDER)).await;
    assert_eq!(bought.status, 200, "{bought:?}");
    assert!(bought.json().get("management_api_key").is_none());
    assert!(bought.header("payment-receipt").is_none());
}

#[tokio::test]
async fn the_client_chooses_the_order_of_the_methods() {
    let (shop, ..) = open().await;
    let body = ORDER.replace(":24}", ":720}");
    let ask = async |accept: &str| {
        let request = post("/compute/provision", &body).header("accept-payment", accept);
        let answer = shop.send(request.body(body.clone().into()).unwrap()).await;
        let offers = challenges(&answer);
        let methods: Vec<_> = offers.iter().map(|it| it.method().to_owned()).collect();
        methods.join(" ")
    };
    assert_eq!(ask("stripe/*, tempo/charge;q=0.5").await, "stripe tempo");
    assert_eq!(ask("tempo/charge").await, "tempo");
    // Excluding everything, and nonsense, count as nothing said.
    for all in ["*/*;q=0", "evm/charge", "stripe;q=2", ""] {
        assert_eq!(ask(all).await, "tempo stripe", "{all}");
    }
}

#[tokio::test]
async fn a_credential_buys_a_machine_once() {
    let (shop, tempo, _) = open().await;
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    let bought = send(&shop, &credential).await;
    assert_eq!(bought.status, 200, "{bought:?}");
    let receipt = Receipt::decode(bought.header("payment-receipt").unwrap()).unwrap();
    let reply = bought.json();
    assert_eq!(receipt.method(), "tempo");
    assert_eq!(reply["tx_hash"], receipt.reference());
    assert!(bought.header("payment-response").is_none());
    assert!(
        bought
            .header("cache-control")
            .unwrap()
            .starts_with("private")
    );
    let id = bought.json()["order"]["id"].clone();
    for _ in 0..2 {
        let again = send(&shop, &credential).await;
        assert_eq!(again.status, 200, "{again:?}");
        assert_eq!(again.json()["order"]["id"], id);
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
    }
    assert_eq!((tempo.settled(), shop.provider.machines().len()), (1, 1));
}

/// However it is written: the transfer decides, not the text.
#[tokio::test]
async fn a_rewritten_credential_is_the_same_one() {
    let (shop, tempo, _) = open().await;
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    let id = send(&shop, &credential).await.json()["order"]["id"].clone();
    injected("F079");
    let mut upper = document(&credential);
    let hex = upper["payload"]["signature"].as_str().unwrap();
    let hex = hex.strip_prefix("0x").unwrap().to_ascii_uppercase();
    upper["payload"]["signature"] = format!("0x{hex}").into();
    let padded = format!("{credential}==");
    for (rewritten, way) in [
        (field(&upper), "upper case"),
        (credential.replace("Payment ", "payment   "), "scheme"),
        (padded, "padding"),
    ] {
        let again = send(&shop, &rewritten).await;
        assert_eq!(again.status, 200, "{way}: {again:?}");
        assert_eq!(again.json()["order"]["id"], id, "{way}");
    }
    assert_eq!((tempo.settled(), shop.provider.machines().len()), (1, 1));
}

#[tokio::test]
async fn of_256_copies_at_once_one_buys() {
    let (shop, tempo, _) = open().await;
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    let copies = (0..256).map(|_| shop.send(with("/compute/provision", ORDER, &credential)));
    injected("F079");
    let answers = shop.patiently(join_all(copies)).await;
    let first = &answers[0].json()["order"]["id"];
    let key = &answers[0].json()["management_api_key"];
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(&answer.json()["order"]["id"], first);
        assert_eq!(&answer.json()["management_api_key"], key);
    }
    assert_eq!((tempo.settled(), shop.provider.machines().len()), (1, 1));
}

/// Money has moved: no answer may make a client pay again.
#[tokio::test]
async fn a_part_of_a_used_credential_buys_nothing_and_offers_nothing() {
    let (shop, tempo, _) = open().await;
    let buyer = TempoBuyer::new(1);
    let credential = sign(&shop, &buyer).await;
    assert_eq!(send(&shop, &credential).await.status, 200);
    // Another request.
    let other_body = ORDER.replace("agent", "other");
    let elsewhere = shop
        .send(with("/compute/provision", &other_body, &credential))
        .await;
    elsewhere.expect_problem(409, "payment_already_used");
    // The same transfer for another challenge.
    let used = document(&credential)["payload"].clone();
    let fresh = challenge(&shop.ask(ORDER).await, "tempo");
    let borrowed = send(&shop, &field(&answering(&fresh, used.clone()))).await;
    borrowed.expect_problem(409, "payment_already_used");
    // Another transfer for the same challenge.
    let mut second = document(&credential);
    let answered = challenge_of(&second);
    let transaction = TempoBuyer::transaction(&answered, now_s(&shop) + 1);
    second["payload"] = payload(buyer.payload(transaction));
    let twice = send(&shop, &field(&second)).await;
    twice.expect_problem(409, "payment_already_used");
    for answer in [elsewhere, borrowed, twice] {
        assert!(answer.header("www-authenticate").is_none(), "{answer:?}");
        let kind = answer.text("type");
        assert!(kind.ends_with("/verification-failed"), "{kind}");
    }
    // A transfer is on a public chain: who makes a challenge up for it learns no more than that.
    let mut forged = document(&credential);
    forged["challenge"]["id"] = "A".repeat(43).into();
    let stranger = send(&shop, &field(&forged)).await;
    stranger.expect_problem(409, "payment_already_used");
    assert_eq!((tempo.settled(), shop.provider.machines().len()), (1, 1));
}

fn challenge_of(document: &serde_json::Value) -> compute_mpp::Challenge {
    let credential = compute_mpp::Credential::from_json(document.clone()).unwrap();
    credential.challenge().clone()
}

#[tokio::test]
async fn a_settlement_that_nobody_knows_is_no_failure() {
    let (shop, tempo, _) = open().await;
    tempo.misbehave([SettleFault::LandsUnseen]);
    tempo.set_blind(true);
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    let pending = send(&shop, &credential).await;
    assert_eq!(pending.status, 200, "{pending:?}");
    let reply = pending.json();
    assert_eq!(reply["settlement"], "pending", "{pending:?}");
    assert!(pending.header("payment-receipt").is_none());
    assert!(reply["management_api_key"].is_string());
    // A second credential for the same while the first hangs.
    let second = sign(&shop, &TempoBuyer::new(1)).await;
    let refused = send(&shop, &second).await;
    refused.expect_problem(409, "operation_in_progress");
    tempo.set_blind(false);
    shop.drive().await;
    let settled = send(&shop, &credential).await;
    assert_eq!(settled.status, 200, "{settled:?}");
    assert_eq!(settled.json()["order"]["id"], reply["order"]["id"]);
    assert!(settled.header("payment-receipt").is_some());
    assert_eq!((tempo.settled(), shop.provider.machines().len()), (1, 1));
}

#[tokio::test]
async fn a_decline_moves_nothing_and_offers_anew() {
    let (shop, tempo, _) = open().await;
    tempo.misbehave([SettleFault::Declines]);
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    let declined = send(&shop, &credential).await;
    declined.expect_problem(402, "payment_declined");
    assert_eq!(declined.json()["charged"], false);
    let kind = declined.text("type");
    assert!(kind.ends_with("/verification-failed"), "{kind}");
    assert_eq!(challenges(&declined).len(), 1);
    assert!(declined.json().get("management_api_key").is_none());
    assert_eq!((tempo.settled(), shop.provider.machines().len()), (0, 0));
}

#[tokio::test]
async fn an_old_price_and_the_secret_before_are_good_for_a_while() {
    let (mut shop, tempo, _) = open().await;
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    // The secret is rotated between challenge and credential, and the server started anew.
    let mut rotated = mpp_terms("fedcba9876543210fedcba9876543210");
    let previous = compute_mpp::Secret::new(SECRET.as_bytes()).unwrap();
    let current = compute_mpp::Secret::new(b"fedcba9876543210fedcba9876543210").unwrap();
    rotated.secrets = Arc::new(compute_mpp::Secrets {
        current,
        previous: Some(previous),
    });
    shop.restart(rotated).await;
    let bought = send(&shop, &credential).await;
    assert_eq!(bought.status, 200, "{bought:?}");
    // Later the old one is forgotten; what was bought is still recognised.
    shop.restart(mpp_terms("fedcba9876543210fedcba9876543210"))
        .await;
    let again = send(&shop, &credential).await;
    assert_eq!(again.json()["order"]["id"], bought.json()["order"]["id"]);
    assert_eq!(tempo.settled(), 1);
}

#[tokio::test]
async fn names_are_scoped_by_the_paying_account() {
    let (shop, tempo, _) = open().await;
    let named = async |buyer: &TempoBuyer| {
        let credential = sign(&shop, buyer).await;
        let request = post("/compute/provision", ORDER)
            .header("authorization", credential)
            .header("idempotency-key", "order-00001");
        let request: Request<axum::body::Body> = request.body(ORDER.into()).unwrap();
        shop.patiently(shop.send(request)).await
    };
    let (one, other) = (TempoBuyer::new(1), TempoBuyer::new(2));
    let first = named(&one).await;
    let again = named(&one).await;
    assert_eq!(again.json()["order"]["id"], first.json()["order"]["id"]);
    // Whose payment it was must be shown for the key.
    assert!(first.json()["management_api_key"].is_string());
    assert!(again.json().get("management_api_key_id").is_none());
    // A copy from the chain, under a challenge that somebody made up, shows nothing at all.
    let mut copied = document(&sign(&shop, &one).await);
    copied["challenge"]["id"] = "A".repeat(43).into();
    let request = post("/compute/provision", ORDER)
        .header("authorization", field(&copied))
        .header("idempotency-key", "order-00001");
    let stranger = shop.send(request.body(ORDER.into()).unwrap()).await;
    stranger.expect_problem(402, "invalid_challenge");
    let theirs = named(&other).await;
    assert_ne!(theirs.json()["order"]["id"], first.json()["order"]["id"]);
    assert_eq!(tempo.settled(), 2);
}

/// The account that pays by credentials may let others pay for it: its own purchases are not theirs.
#[tokio::test]
async fn a_wallet_has_other_names_when_it_shows_a_signature_of_its_own() {
    let (shop, tempo, _) = open().await;
    // One key, two protocols.
    let (visitor, buyer) = (Visitor::new(1), TempoBuyer::new(1));
    assert_eq!(visitor.wallet(), buyer.address().into());
    let by_x402 = async || {
        let payment = visitor.payment(&shop).await;
        let request = crate::visitor::named(paid(&payment, ORDER), "order-00001");
        shop.patiently(shop.send(request)).await
    };
    let by_credential = async || {
        let credential = sign(&shop, &buyer).await;
        let request = with("/compute/provision", ORDER, &credential);
        let request = crate::visitor::named(request, "order-00001");
        shop.patiently(shop.send(request)).await
    };
    let id = |answer: &crate::shop::Answer| answer.json()["order"]["id"].clone();
    let own = by_x402().await;
    assert_eq!(own.status, 200, "{own:?}");
    let nobodys = by_credential().await;
    assert_eq!(nobodys.status, 200, "{nobodys:?}");
    assert_ne!(id(&nobodys), id(&own));
    // Each finds what it called so, and no more is bought.
    for (again, first) in [(by_x402().await, own), (by_credential().await, nobodys)] {
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert_eq!(id(&again), id(&first));
    }
    assert_eq!((shop.rail.settle_calls(), tempo.settled()), (1, 1));
    // Nor does the auditor mind.
    let mut tx = shop
        .store
        .begin(compute_engine::ports::TxMode::Read)
        .await
        .unwrap();
    assert_eq!(tx.audit().await.unwrap(), []);
}

#[tokio::test]
async fn hashes_pay_where_they_are_asked_for() {
    let tempo = Arc::new(ScriptedCharge::tempo(Modes::PullAndPush));
    let shop = Shop::open_taking(vec![tempo.clone()]).await;
    let asked = challenge(&shop.ask(ORDER).await, "tempo");
    let hash = |letter: &str| serde_json::json!({ "type": "hash", "hash": format!("0x{}", letter.repeat(64)) });
    let mut shown = answering(&asked, hash("a"));
    // Whose transfer it is must be said: the chain is asked for a transfer of theirs.
    let nameless = send(&shop, &field(&shown)).await;
    nameless.expect_problem(402, "verification_failed");
    shown["source"] = TempoBuyer::new(1).source().to_string().into();
    let bought = send(&shop, &field(&shown)).await;
    assert_eq!(bought.status, 200, "{bought:?}");
    shown["payload"] = hash("A");
    injected("F079");
    let upper = send(&shop, &field(&shown)).await;
    assert_eq!(upper.json()["order"]["id"], bought.json()["order"]["id"]);
    let fresh = challenge(&shop.ask(ORDER).await, "tempo");
    let mut elsewhere = answering(&fresh, hash("A"));
    elsewhere["source"] = shown["source"].clone();
    let second = send(&shop, &field(&elsewhere)).await;
    second.expect_problem(409, "payment_already_used");
    assert_eq!(tempo.settled(), 1);
}

#[tokio::test]
async fn more_time_is_paid_by_whoever_holds_a_key() {
    let (shop, tempo, _) = open().await;
    let buyer = TempoBuyer::new(1);
    let bought = send(&shop, &sign(&shop, &buyer).await).await.json();
    let key = bought["management_api_key"].as_str().unwrap();
    let path = extend_path(bought["order"]["id"].as_str().unwrap());
    shop.drive().await;
    let body = r#"{"extend_hours":24}"#;
    let anonymous = shop.ask_at(&path, body).await;
    anonymous.expect_problem(402, "payment_required");
    assert!(anonymous.header("www-authenticate").is_none());
    let ask = post(&path, body).header("x-api-key", key);
    let asked = shop.send(ask.body(body.into()).unwrap()).await;
    let offer = challenge(&asked, "tempo");
    // Somebody else may pay for it.
    let payer = TempoBuyer::new(2);
    let credential = payer.pay(&offer, now_s(&shop));
    let nobody = shop.send(with(&path, body, &credential)).await;
    nobody.expect_problem(401, "auth_required");
    assert_eq!(tempo.settled(), 1, "nothing was charged");
    let pay = post(&path, body)
        .header("x-api-key", key)
        .header("authorization", &credential);
    let extended = shop.patiently(shop.send(pay.body(body.into()).unwrap()));
    let extended = extended.await;
    assert_eq!(extended.status, 200, "{extended:?}");
    assert!(extended.header("payment-receipt").is_some());
    assert!(extended.json().get("management_api_key").is_none());
    assert_eq!(tempo.settled(), 2);
    // A credential for more time buys no machine.
    let offer = challenge(
        &shop
            .send(
                post(&path, body)
                    .header("x-api-key", key)
                    .body(body.into())
                    .unwrap(),
            )
            .await,
        "tempo",
    );
    let elsewhere = payer.pay(&offer, now_s(&shop));
    send(&shop, &elsewhere)
        .await
        .expect_problem(402, "invalid_challenge");
}

#[tokio::test]
async fn credits_are_topped_up_by_x402_only() {
    let (shop, ..) = open().await;
    let visitor = Visitor::new(1);
    let body = r#"{"amount":5}"#;
    let asked = visitor.post(&shop, "/compute/credits/topup", body).await;
    asked.expect_problem(402, "payment_required");
    assert!(asked.header("www-authenticate").is_none());
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    let request = visitor
        .signed(&shop, "POST", "/compute/credits/topup", body)
        .header("content-type", "application/json")
        .header("authorization", credential)
        .body(body.into())
        .unwrap();
    let refused = shop.send(request).await;
    refused.expect_problem(400, "method_unsupported");
}

#[tokio::test]
async fn an_expired_challenge_is_refused_and_replaced() {
    let (shop, tempo, _) = open().await;
    let asked = challenge(&shop.ask(ORDER).await, "tempo");
    shop.clock.advance(Span::from_secs(300));
    let credential = TempoBuyer::new(1).pay(&asked, now_s(&shop));
    let late = send(&shop, &credential).await;
    late.expect_problem(402, "payment_expired");
    let fresh = challenge(&late, "tempo");
    assert!(fresh.expires_s().unwrap() > now_s(&shop));
    assert_eq!(tempo.settle_calls(), 0);
}
