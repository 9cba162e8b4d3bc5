//! What a credential may have done before it has paid, how often, and by whom.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::body::Body;
use compute_domain::time::Span;
use compute_http::{Limits, Settings};
use compute_mpp::tempo::Modes;
use compute_testkit::scripted_charge::{ScriptedCharge, TempoBuyer};
use futures::future::join_all;
use http::Request;
use serde_json::json;

use super::payer::{answering, challenge, document, field, send, sign, with};
use crate::shop::{Answer, ORDER, Shop, settings};
use crate::visitor::named;

const HERE: &str = "198.51.100.7";
const THERE: &str = "198.51.100.8";

fn limits(change: impl FnOnce(&mut Limits)) -> Settings {
    let mut settings = settings();
    change(&mut settings.limits);
    settings
}

fn few(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

async fn open(settings: Settings, modes: Modes) -> (Shop, Arc<ScriptedCharge>) {
    let tempo = Arc::new(ScriptedCharge::tempo(modes));
    let stripe = Arc::new(ScriptedCharge::stripe());
    let shop = Shop::open_over(settings, vec![tempo.clone(), stripe]).await;
    (shop, tempo)
}

async fn send_from(shop: &Shop, address: &str, request: Request<Body>) -> Answer {
    let address: IpAddr = address.parse().unwrap();
    shop.patiently(shop.send_from(address, request)).await
}

fn order(credential: &str) -> Request<Body> {
    with("/compute/provision", ORDER, credential)
}

#[tokio::test]
async fn the_network_is_asked_so_often_for_an_address_and_for_a_wallet() {
    let (shop, tempo) = open(limits(|it| it.checks_per_minute = few(2)), Modes::Pull).await;
    let paid = sign(&shop, &TempoBuyer::new(9)).await;
    assert_eq!(
        send_from(&shop, "203.0.113.9", order(&paid)).await.status,
        200
    );
    tempo.refuse_checks(Some("simulation_failed"));
    let asked = tempo.check_calls();
    // An address, with a wallet for each try.
    for number in 1..=2 {
        let credential = sign(&shop, &TempoBuyer::new(number)).await;
        let poor = send_from(&shop, HERE, order(&credential)).await;
        poor.expect_problem(402, "verification_failed");
    }
    let third = sign(&shop, &TempoBuyer::new(3)).await;
    let shed = send_from(&shop, HERE, order(&third)).await;
    shed.expect_problem(429, "rate_limited");
    let wait: u32 = shed.header("retry-after").unwrap().parse().unwrap();
    assert!(shed.header("www-authenticate").is_none(), "{shed:?}");
    assert_eq!(tempo.check_calls(), asked + 2);
    // A wallet, from an address for each try.
    let buyer = TempoBuyer::new(4);
    for (address, is_shed) in [
        ("203.0.113.1", false),
        ("203.0.113.2", false),
        (THERE, true),
    ] {
        let credential = sign(&shop, &buyer).await;
        let answer = send_from(&shop, address, order(&credential)).await;
        let status = if is_shed { 429 } else { 402 };
        assert_eq!(answer.status, status, "{address}: {answer:?}");
    }
    assert_eq!(tempo.check_calls(), asked + 4);
    // What does not hold together asks nobody anything.
    let mut forged = document(&third);
    forged["challenge"]["id"] = "A".repeat(43).into();
    for _ in 0..3 {
        let answer = send_from(&shop, THERE, order(&field(&forged))).await;
        answer.expect_problem(402, "invalid_challenge");
    }
    // A repeat is never shed, and later everybody may try again.
    for _ in 0..3 {
        let again = send_from(&shop, HERE, order(&paid)).await;
        assert_eq!(
            again.header("idempotent-replayed"),
            Some("true"),
            "{again:?}"
        );
    }
    assert_eq!(tempo.check_calls(), asked + 4);
    tempo.refuse_checks(None);
    shop.clock.advance(Span::from_secs(wait));
    let third = sign(&shop, &TempoBuyer::new(3)).await;
    assert_eq!(send_from(&shop, HERE, order(&third)).await.status, 200);
}

#[tokio::test]
async fn copies_of_one_payment_are_one_question() {
    let (shop, tempo) = open(limits(|it| it.checks_per_minute = few(1)), Modes::Pull).await;
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    let copies = (0..32).map(|_| shop.send(order(&credential)));
    let answers = shop.patiently(join_all(copies)).await;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!((tempo.check_calls(), tempo.settled()), (1, 1));
}

/// Anybody can name an account, and a hash of the chain.
#[tokio::test]
async fn nobody_uses_up_the_budget_of_a_wallet_by_naming_it() {
    let settings = limits(|it| it.checks_per_minute = few(2));
    let (shop, tempo) = open(settings, Modes::PullAndPush).await;
    let victim = TempoBuyer::new(1);
    tempo.refuse_checks(Some("transaction_not_found"));
    for letter in ["a", "b", "c"] {
        let asked = challenge(&shop.ask(ORDER).await, "tempo");
        let hash = json!({ "type": "hash", "hash": format!("0x{}", letter.repeat(64)) });
        let mut shown = answering(&asked, hash);
        shown["source"] = victim.source().to_string().into();
        let answer = send_from(&shop, HERE, order(&field(&shown))).await;
        let status = if letter == "c" { 429 } else { 402 };
        assert_eq!(answer.status, status, "{letter}: {answer:?}");
    }
    tempo.refuse_checks(None);
    let credential = sign(&shop, &victim).await;
    assert_eq!(
        send_from(&shop, THERE, order(&credential)).await.status,
        200
    );
}

#[tokio::test]
async fn which_payments_are_used_is_not_asked_for_ever() {
    let settings = limits(|it| it.unauthenticated_per_minute = few(4));
    let (shop, _) = open(settings, Modes::Pull).await;
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    assert_eq!(send(&shop, &credential).await.status, 200);
    let mut probe = document(&credential);
    probe["challenge"]["id"] = "A".repeat(43).into();
    let probe = field(&probe);
    // One was the question for the price.
    for _ in 0..3 {
        send(&shop, &probe)
            .await
            .expect_problem(409, "payment_already_used");
    }
    send(&shop, &probe)
        .await
        .expect_problem(429, "rate_limited");
    let elsewhere = send_from(&shop, THERE, order(&probe)).await;
    elsewhere.expect_problem(409, "payment_already_used");
    for _ in 0..5 {
        assert_eq!(send(&shop, &credential).await.status, 200);
    }
}

#[tokio::test]
async fn cards_are_limited_by_address() {
    let settings = limits(|it| it.purchases_per_minute = few(1));
    let (shop, _) = open(settings, Modes::Pull).await;
    let body = ORDER.replace(":24}", ":720}");
    let pay = async |token: &str, address: &str| {
        let offer = challenge(&shop.ask(&body).await, "stripe");
        let credential = field(&answering(&offer, json!({ "spt": token })));
        let request = with("/compute/provision", &body, &credential);
        (send_from(&shop, address, request).await, credential)
    };
    let (first, credential) = pay("spt_1", HERE).await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(pay("spt_2", HERE).await.0.status, 200);
    let (third, _) = pay("spt_3", HERE).await;
    third.expect_problem(429, "rate_limited");
    assert!(third.header("retry-after").is_some());
    assert_eq!(pay("spt_4", THERE).await.0.status, 200);
    let again = with("/compute/provision", &body, &credential);
    let again = send_from(&shop, HERE, again).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn a_wallet_buys_so_often_and_finds_what_it_named() {
    let settings = limits(|it| it.purchases_per_minute = few(1));
    let (shop, tempo) = open(settings, Modes::Pull).await;
    let buyer = TempoBuyer::new(1);
    let buy = async |name: &str| {
        let credential = sign(&shop, &buyer).await;
        send_from(&shop, HERE, named(order(&credential), name)).await
    };
    for name in ["order-0001", "order-0002"] {
        assert_eq!(buy(name).await.status, 200, "{name}");
    }
    let asked = tempo.check_calls();
    buy("order-0003").await.expect_problem(429, "rate_limited");
    for name in ["order-0001", "order-0002"] {
        let again = buy(name).await;
        assert_eq!(
            again.header("idempotent-replayed"),
            Some("true"),
            "{again:?}"
        );
        assert!(again.json().get("management_api_key").is_none());
    }
    assert_eq!((tempo.check_calls(), tempo.settled()), (asked, 2));
}
