//! x402 beside credentials: what one protocol's clients see of the other.

use compute_testkit::scripted_charge::TempoBuyer;

use super::payer::{open, send, sign, with};
use crate::credits::by_credits;
use crate::shop::{ORDER, Shop, post};
use crate::visitor::{Visitor, paid};

const JUNK: &str = "Payment dGhpcyBpcyBqdW5r";

/// As before there was the scheme.
#[tokio::test]
async fn a_shop_without_challenges_ignores_credentials() {
    let shop = Shop::open().await;
    let credential = {
        let (other, ..) = open().await;
        sign(&other, &TempoBuyer::new(1)).await
    };
    let (visitor, other) = (Visitor::new(1), Visitor::new(2));
    let long = format!("Payment {}", "a".repeat(65 * 1_024));
    for text in [JUNK, "Payment a, Payment b", "Payment", &credential, &long] {
        let asked = send(&shop, text).await;
        asked.expect_problem(402, "payment_required");
        assert!(asked.header("www-authenticate").is_none(), "{asked:?}");
        let probe = with("/compute/provision", "", text);
        let probe = shop.send(probe).await;
        probe.expect_problem(402, "payment_required");
    }
    // What cannot be looked at stands in the way of no payment of x402.
    let mut beside = paid(&visitor.payment(&shop).await, ORDER);
    beside
        .headers_mut()
        .insert("authorization", long.parse().unwrap());
    let bought = shop.patiently(shop.send(beside)).await;
    assert_eq!(bought.status, 200, "{bought:?}");
    let body = by_credits("");
    let request = other
        .signed(&shop, "POST", "/compute/provision", &body)
        .header("content-type", "application/json")
        .header("authorization", &credential)
        .body(body.clone().into())
        .unwrap();
    let poor = shop.send(request).await;
    poor.expect_problem(402, "insufficient_credits");
    assert_eq!(shop.rail.settle_calls(), 1);
}

#[tokio::test]
async fn a_field_that_is_too_large_is_no_second_payment() {
    let (shop, ..) = open().await;
    let large = format!("Bearer {}", "a".repeat(65 * 1_024));
    let payment = Visitor::new(1).payment(&shop).await;
    let mut beside = paid(&payment, ORDER);
    beside
        .headers_mut()
        .insert("authorization", large.parse().unwrap());
    let answer = shop.send(beside).await;
    answer.expect_problem(431, "headers_too_large");
    assert_eq!(shop.rail.settle_calls(), 0);
    let alone = send(&shop, &large).await;
    alone.expect_problem(402, "malformed_credential");
    let listed = format!("Bearer a{}", ", Basic b".repeat(300));
    let alone = send(&shop, &listed).await;
    alone.expect_problem(402, "malformed_credential");
    assert!(alone.header("www-authenticate").is_some(), "{alone:?}");
}

/// The types of the scheme are for its own clients.
#[tokio::test]
async fn problems_of_x402_have_no_type() {
    let (shop, tempo, _) = open().await;
    let visitor = Visitor::new(1);
    let payment = visitor.payment(&shop).await;
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    assert_eq!(
        shop.patiently(shop.send(paid(&payment, ORDER)))
            .await
            .status,
        200
    );
    assert_eq!(send(&shop, &credential).await.status, 200);
    let other = ORDER.replace("agent", "other");
    let x402 = shop.send(paid(&payment, &other)).await;
    let mpp = shop
        .send(with("/compute/provision", &other, &credential))
        .await;
    let fresh = visitor.payment(&shop).await;
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    shop.rail.set_down(true);
    tempo.set_down(true);
    let x402_down = shop.send(paid(&fresh, ORDER)).await;
    let mpp_down = send(&shop, &credential).await;
    const ROOT: &str = "https://paymentauth.org/problems";
    for (answer, status, code, kind) in [
        (x402, 409, "payment_already_used", "about:blank".to_owned()),
        (
            mpp,
            409,
            "payment_already_used",
            format!("{ROOT}/verification-failed"),
        ),
        (
            x402_down,
            503,
            "payment_network_unavailable",
            "about:blank".to_owned(),
        ),
        (
            mpp_down,
            503,
            "payment_network_unavailable",
            format!("{ROOT}/internal-payment-error"),
        ),
    ] {
        answer.expect_problem(status, code);
        assert_eq!(answer.text("type"), kind, "{answer:?}");
    }
    // Nor without any payment.
    let body = ORDER.replace("vc2-1c-1gb", "vc2-9c-9gb");
    let request = post("/compute/provision", &body).body(body.into()).unwrap();
    assert_eq!(shop.send(request).await.text("type"), "about:blank");
}
