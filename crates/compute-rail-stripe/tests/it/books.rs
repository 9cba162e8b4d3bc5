use compute_domain::time::Timestamp;
use compute_engine::ports::Rail as _;
use compute_payment_double::stripe::{Fault, Refunded};
use compute_rail_stripe::{RefundState, StripeError};

use crate::{NOW_S, PRICE, Town, good};

#[tokio::test]
async fn a_refund_is_made_once() {
    let town = Town::open().await;
    let _ = town.rail.settle(&town.pay(1, good())).await;
    let paid = town.evidence().reference;
    town.stripe.disturb("POST refunds", Fault::DropAfter);
    let lost = town.rail.refund(&paid, "refund_1").await;
    assert!(matches!(lost, Err(StripeError::Unknown { .. })), "{lost:?}");
    let refund = town.rail.refund(&paid, "refund_1").await.unwrap();
    assert_eq!(
        (refund.amount, refund.state),
        (PRICE, RefundState::Succeeded)
    );
    assert_eq!(town.rail.refund(&paid, "refund_1").await, Ok(refund));
    let code = "charge_already_refunded".to_owned();
    let second = town.rail.refund(&paid, "refund_2").await;
    assert_eq!(second, Err(StripeError::Refused { code }));
    let amount = PRICE;
    let payment_intent = paid;
    let once = Refunded {
        payment_intent,
        amount,
    };
    assert_eq!(town.stripe.refunded(), [once]);
}

#[tokio::test]
async fn disputes_are_listed_from_a_moment_on() {
    let town = Town::open().await;
    town.stripe.dispute("pi_old");
    town.advance(100);
    for _ in 0..150 {
        town.stripe.dispute("pi_new");
    }
    let since = |second| town.rail.disputes_since(Timestamp::from_secs(second));
    let new = since(NOW_S + 100).await.unwrap();
    assert_eq!(new.len(), 150);
    assert!(
        new.iter()
            .all(|it| it.payment_intent.as_deref() == Some("pi_new"))
    );
    assert_eq!(new[0].created, NOW_S + 100);
    assert_eq!(
        since(NOW_S).await.unwrap().last().unwrap().reference,
        "dp_0"
    );
}
