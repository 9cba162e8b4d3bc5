use compute_client::{BookError, Ending, Means, Outcome, PurchaseError, Usd, Wishes};

use crate::stub::{PRICE, Say, Town, made, order, wishes};
use serde_json::json;

const PATH: &str = "/compute/provision";

#[tokio::test]
async fn a_purchase_is_asked_for_paid_and_written_down() {
    let town = Town::open().await;
    town.says([made()]);
    let outcome = town.buyer().buy(PATH, &order(), &wishes()).await.unwrap();
    let Outcome::Paid(bought) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(bought.price, Usd::from_micros(PRICE));
    assert_eq!(bought.reply.text("/order/id"), "o-1");
    let seen = town.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].body, seen[1].body);
    assert_eq!(seen[1].path, PATH);
    assert_eq!(seen[1].header("idempotency-key"), Some(bought.id.as_str()));
    // Each signature of the wallet is good for one request.
    assert_ne!(
        seen[0].header("x-auth-nonce"),
        seen[1].header("x-auth-nonce")
    );
    let closed = town.book.closed().unwrap();
    assert_eq!(closed[0].ending, Ending::Paid);
    assert_eq!(closed[0].order, "o-1");
    let totals = town.book.totals().unwrap();
    assert_eq!(totals, (None, Usd::from_micros(PRICE), Usd::ZERO));
}

#[tokio::test]
async fn a_quote_sends_no_payment_and_writes_nothing() {
    let town = Town::open().await;
    let quote = town
        .buyer()
        .quote(PATH, &order(), Means::Any)
        .await
        .unwrap();
    assert_eq!(quote.offer.price(), Usd::from_micros(PRICE));
    assert!(!quote.offer.is_real() && quote.reply.is_dev());
    assert_eq!(town.paid().len(), 0);
    assert_eq!(town.book.open().unwrap(), []);
}

#[tokio::test]
async fn limits_hold_before_anything_is_signed() {
    let town = Town::open().await;
    let price = Usd::from_micros(PRICE);
    let below = Usd::from_micros(PRICE - 1);
    let dear = Wishes {
        max_price: Some(below),
        ..wishes()
    };
    let outcome = town.buyer().buy(PATH, &order(), &dear).await;
    assert!(matches!(outcome, Err(PurchaseError::TooDear { limit, .. }) if limit == below));
    town.book.set_cap(Some(below)).unwrap();
    let outcome = town.buyer().buy(PATH, &order(), &wishes()).await;
    let beyond =
        |error: &PurchaseError| matches!(error, PurchaseError::Book(BookError::BeyondCap { .. }));
    assert!(outcome.as_ref().is_err_and(beyond), "{outcome:?}");
    assert_eq!(town.paid().len(), 0);
    town.book.set_cap(Some(price)).unwrap();
    town.says([made()]);
    let outcome = town.buyer().buy(PATH, &order(), &wishes()).await;
    assert!(matches!(outcome, Ok(Outcome::Paid(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_token_that_is_no_known_dollar_is_never_paid() {
    let town = Town::open().await;
    town.asks_for("0x000000000000000000000000000000000000dEaD");
    let outcome = town.buyer().buy(PATH, &order(), &wishes()).await;
    assert!(
        matches!(outcome, Err(PurchaseError::Offer(_))),
        "{outcome:?}"
    );
    assert_eq!(town.paid().len(), 0);
}

#[tokio::test]
async fn what_is_refused_at_once_was_not_charged() {
    let town = Town::open().await;
    town.says([Say::Answer(
        400,
        json!({"code": "plan_not_in_region", "detail": "sold out"}),
    )]);
    let outcome = town.buyer().buy(PATH, &order(), &wishes()).await.unwrap();
    assert!(matches!(outcome, Outcome::Refused(problem) if problem.code == "plan_not_in_region"));
    assert_eq!(town.book.open().unwrap(), []);
    assert_eq!(town.book.totals().unwrap().1, Usd::ZERO);
}

#[tokio::test]
async fn what_could_not_be_delivered_was_spent_all_the_same() {
    let town = Town::open().await;
    let body = json!({"code": "no_capacity", "details": {"credited": 0.178584}, "order_id": "o-9"});
    town.says([Say::Answer(503, body)]);
    let outcome = town.buyer().buy(PATH, &order(), &wishes()).await.unwrap();
    assert!(
        matches!(outcome, Outcome::Credited { amount, .. } if amount == Usd::from_micros(PRICE))
    );
    let closed = town.book.closed().unwrap();
    assert_eq!(
        (closed[0].ending, closed[0].order.as_str()),
        (Ending::Credited, "o-9")
    );
    assert_eq!(town.book.totals().unwrap().1, Usd::from_micros(PRICE));
}

#[tokio::test]
async fn credits_are_spent_under_a_name_and_cost_nothing_more() {
    let town = Town::open().await;
    town.says([made()]);
    let by_credits = Wishes {
        means: Means::Credits,
        max_price: Some("0.5".parse().unwrap()),
        ..wishes()
    };
    let outcome = town.buyer().buy(PATH, &order(), &by_credits).await.unwrap();
    assert!(matches!(outcome, Outcome::Paid(bought) if bought.price == Usd::ZERO));
    let seen = town.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].body["use_credits"], true);
    assert_eq!(seen[0].body["max_total_usd"].to_string(), "0.5");
    assert!(seen[0].header("idempotency-key").is_some() && seen[0].payment().is_none());
}

#[tokio::test]
async fn the_same_under_one_name_is_bought_once() {
    let town = Town::open().await;
    town.says([Say::Nothing, made()]);
    let named = Wishes {
        name: Some("purchase-1".to_owned()),
        patience: std::time::Duration::ZERO,
        ..wishes()
    };
    // Its answer is lost, and it is asked for again.
    let outcome = town.buyer().buy(PATH, &order(), &named).await.unwrap();
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    let outcome = town.buyer().buy(PATH, &order(), &named).await.unwrap();
    assert!(matches!(outcome, Outcome::Paid(_)), "{outcome:?}");
    let paid = town.paid();
    assert_eq!(paid.len(), 2);
    assert_eq!(paid[0].payment(), paid[1].payment());
    assert_eq!(paid[0].header("idempotency-key"), Some("purchase-1"));

    // From then on it is known, and nothing is sent.
    let seen = town.seen().len();
    let outcome = town.buyer().buy(PATH, &order(), &named).await.unwrap();
    assert!(matches!(outcome, Outcome::Known(closed) if closed.order == "o-1"));
    let other = json!({"plan": "another"});
    let refused = town.buyer().buy(PATH, &other, &named).await;
    assert!(matches!(refused, Err(PurchaseError::OtherPurchase { .. })));
    assert_eq!(town.seen().len(), seen);
    let short = Wishes {
        name: Some("short".to_owned()),
        ..wishes()
    };
    let refused = town.buyer().buy(PATH, &order(), &short).await;
    assert!(matches!(refused, Err(PurchaseError::Name)), "{refused:?}");
}
