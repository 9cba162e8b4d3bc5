//! What is on the books was paid, whatever has become of the settings since.

use std::sync::Arc;

use compute_mpp::tempo::Modes;
use compute_testkit::scripted_charge::{ScriptedCharge, TempoBuyer};

use super::payer::{answering, challenge, document, field, now_s, open, payload, send, sign, with};
use crate::shop::{ORDER, Shop, extend_path, mpp_terms, post};

const OTHER_SECRET: &str = "fedcba9876543210fedcba9876543210";

/// Whoever repeats still gets what was bought, with its receipt and its key.
async fn check_repeat(shop: &Shop, credential: &str, bought: &crate::shop::Answer) {
    let again = send(shop, credential).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    for member in ["management_api_key", "tx_hash"] {
        assert!(again.json()[member].is_string(), "{member}: {again:?}");
        assert_eq!(again.json()[member], bought.json()[member], "{member}");
    }
    assert_eq!(again.json()["order"]["id"], bought.json()["order"]["id"]);
    let receipt = again.header("payment-receipt");
    assert!(receipt.is_some(), "{again:?}");
    assert_eq!(receipt, bought.header("payment-receipt"));
    // For anything else it is used.
    let other = ORDER.replace("agent", "other");
    let elsewhere = shop
        .send(with("/compute/provision", &other, credential))
        .await;
    elsewhere.expect_problem(409, "payment_already_used");
    assert!(elsewhere.header("www-authenticate").is_none());
}

#[tokio::test]
async fn a_repeat_outlives_the_setting_that_sold_it() {
    let (mut shop, tempo, stripe) = open().await;
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    let bought = send(&shop, &credential).await;
    assert_eq!(bought.status, 200, "{bought:?}");
    // The method is taken out, then its secret, then everything.
    let terms = mpp_terms(crate::shop::SECRET);
    shop.restart_taking(Some(terms), vec![stripe]).await;
    check_repeat(&shop, &credential, &bought).await;
    shop.restart(mpp_terms(OTHER_SECRET)).await;
    check_repeat(&shop, &credential, &bought).await;
    shop.restart_taking(None, Vec::new()).await;
    check_repeat(&shop, &credential, &bought).await;
    assert_eq!((tempo.settled(), shop.provider.machines().len()), (1, 1));
}

/// A part of what was paid is never answered with a new challenge, which a client would pay.
#[tokio::test]
async fn a_part_of_what_was_paid_is_used_after_the_secret_is_gone() {
    let (mut shop, tempo, _) = open().await;
    let buyer = TempoBuyer::new(1);
    let credential = sign(&shop, &buyer).await;
    // Offered, and never paid.
    let unpaid = challenge(&shop.ask(ORDER).await, "tempo");
    assert_eq!(send(&shop, &credential).await.status, 200);
    let paid = document(&credential);
    let borrowed = field(&answering(&unpaid, paid["payload"].clone()));
    let answered = compute_mpp::Credential::from_json(paid.clone()).unwrap();
    let again = TempoBuyer::transaction(answered.challenge(), now_s(&shop) + 1);
    let mut second = paid;
    second["payload"] = payload(buyer.payload(again));
    let second = field(&second);
    let terms = [Some(mpp_terms(OTHER_SECRET)), None];
    for terms in terms {
        shop.restart_taking(terms, vec![tempo.clone()]).await;
        for part in [&borrowed, &second] {
            let answer = send(&shop, part).await;
            answer.expect_problem(409, "payment_already_used");
            assert!(answer.header("www-authenticate").is_none(), "{answer:?}");
        }
        // What paid for nothing is as good as unpaid.
        let fresh = buyer.pay(&unpaid, now_s(&shop) + 2);
        let answer = send(&shop, &fresh).await;
        assert_eq!(answer.status, 402, "{answer:?}");
    }
    assert_eq!((tempo.settle_calls(), tempo.settled()), (1, 1));
}

#[tokio::test]
async fn time_that_was_bought_is_shown_to_the_holder_of_its_key_alone() {
    let (mut shop, tempo, _) = open().await;
    let buyer = TempoBuyer::new(1);
    let bought = send(&shop, &sign(&shop, &buyer).await).await.json();
    let key = bought["management_api_key"].as_str().unwrap().to_owned();
    let path = extend_path(bought["order"]["id"].as_str().unwrap());
    shop.drive().await;
    let body = r#"{"extend_hours":24}"#;
    let ask = post(&path, body).header("x-api-key", &key);
    let asked = shop.send(ask.body(body.into()).unwrap()).await;
    let credential = buyer.pay(&challenge(&asked, "tempo"), now_s(&shop));
    let pay = async |shop: &Shop| {
        let request = post(&path, body)
            .header("x-api-key", &key)
            .header("authorization", &credential);
        shop.patiently(shop.send(request.body(body.into()).unwrap()))
            .await
    };
    let extended = pay(&shop).await;
    assert_eq!(extended.status, 200, "{extended:?}");
    for terms in [Some(mpp_terms(OTHER_SECRET)), None] {
        let takes = terms.is_some();
        shop.restart_taking(terms, Vec::new()).await;
        let again = pay(&shop).await;
        assert_eq!(again.status, 200, "{again:?}");
        assert_eq!(
            again.json()["operation_id"],
            extended.json()["operation_id"]
        );
        let nobody = shop.send(with(&path, body, &credential)).await;
        assert_eq!(nobody.status, if takes { 401 } else { 402 }, "{nobody:?}");
        assert!(nobody.json().get("order").is_none(), "{nobody:?}");
    }
    assert_eq!(tempo.settled(), 2);
}

#[tokio::test]
async fn an_unclear_settlement_is_no_failure_without_its_setting() {
    let tempo = Arc::new(ScriptedCharge::tempo(Modes::Pull));
    let mut shop = Shop::open_taking(vec![tempo.clone()]).await;
    tempo.misbehave([compute_testkit::scripted_rail::SettleFault::LandsUnseen]);
    tempo.set_blind(true);
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    let pending = send(&shop, &credential).await.json();
    assert_eq!(pending["settlement"], "pending");
    shop.restart_taking(None, vec![tempo.clone()]).await;
    let again = send(&shop, &credential).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(again.json()["settlement"], "pending");
    assert_eq!(again.json()["order"]["id"], pending["order"]["id"]);
    tempo.set_blind(false);
    shop.drive().await;
    let settled = send(&shop, &credential).await;
    assert!(settled.header("payment-receipt").is_some(), "{settled:?}");
    assert_eq!((tempo.settled(), shop.provider.machines().len()), (1, 1));
}
