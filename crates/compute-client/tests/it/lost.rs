//! Answers that get lost.

use std::time::Duration;

use compute_client::{Book, Buyer, Ending, Identity, Outcome, PurchaseError, Usd};
use serde_json::json;

use crate::stub::{PRICE, Say, Town, made, order, wishes};

const PATH: &str = "/compute/provision";

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_payment() {
    let town = Town::open().await;
    town.says([Say::Nothing, Say::Answer(502, json!({})), made()]);
    let outcome = town.buyer().buy(PATH, &order(), &wishes()).await.unwrap();
    assert!(matches!(outcome, Outcome::Paid(_)), "{outcome:?}");
    let paid = town.paid();
    assert_eq!(paid.len(), 3);
    for repeat in &paid {
        assert_eq!(repeat.payment(), paid[0].payment());
        assert_eq!(repeat.body, paid[0].body);
        assert_eq!(
            repeat.header("idempotency-key"),
            paid[0].header("idempotency-key")
        );
    }
    assert_eq!(town.book.totals().unwrap().1, Usd::from_micros(PRICE));
}

/// After an answer that was lost, a refusal of the request is no end: the payment may have been made.
#[tokio::test]
async fn a_refusal_after_a_lost_answer_proves_nothing() {
    let town = Town::open().await;
    let refusal = Say::Answer(401, json!({"code": "auth_failed", "detail": "no"}));
    town.says([Say::Nothing, refusal]);
    let outcome = town.buyer().buy(PATH, &order(), &wishes()).await.unwrap();
    let Outcome::Unknown { id, .. } = outcome else {
        panic!("{outcome:?}");
    };
    let open = town.book.open().unwrap();
    assert_eq!(open[0].id, id);
    assert_eq!(town.book.totals().unwrap().2, Usd::from_micros(PRICE));
}

#[tokio::test]
async fn what_the_shop_says_of_the_payment_itself_is_an_end_at_any_time() {
    let town = Town::open().await;
    let declined = json!({"code": "payment_declined", "charged": false, "detail": "no"});
    town.says([Say::Nothing, Say::Answer(402, declined)]);
    let outcome = town.buyer().buy(PATH, &order(), &wishes()).await.unwrap();
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    assert_eq!(town.book.open().unwrap(), []);
}

/// The process ends before it knows; another one takes the purchase up from the book alone.
#[tokio::test]
async fn another_process_takes_up_what_is_open() {
    let town = Town::open().await;
    town.says([Say::Answer(202, json!({"code": "settlement_pending"}))]);
    let outcome = town.buyer().buy(PATH, &order(), &wishes()).await.unwrap();
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    let first = town.paid().remove(0);

    let open = town.book.open().unwrap().remove(0);
    let nobody = Identity::Nobody;
    let stranger = Buyer {
        identity: &nobody,
        ..town.buyer()
    };
    let refused = stranger.take_up(&open, Duration::from_secs(1)).await;
    assert!(matches!(refused, Err(PurchaseError::OtherIdentity { .. })));

    town.says([made()]);
    let outcome = town
        .buyer()
        .take_up(&open, Duration::from_secs(2))
        .await
        .unwrap();
    assert!(matches!(outcome, Outcome::Paid(_)), "{outcome:?}");
    let last = town.paid().pop().unwrap();
    assert_eq!((last.payment(), &last.body), (first.payment(), &first.body));
    assert_eq!(town.book.open().unwrap(), []);
    assert_eq!(town.book.totals().unwrap().1, Usd::from_micros(PRICE));
}

#[tokio::test]
async fn a_shop_that_is_away_says_nothing_of_what_it_may_have_got() {
    let town = Town::open().await;
    // Asked where somebody is, and paid where nobody is.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let shop = compute_client::Shop::new(&nowhere).unwrap();
    let open = {
        town.says([Say::Answer(202, json!({}))]);
        town.buyer().buy(PATH, &order(), &wishes()).await.unwrap();
        town.book.open().unwrap().remove(0)
    };
    let buyer = Buyer {
        shop: &shop,
        ..town.buyer()
    };
    // Of what may have arrived before, silence proves nothing.
    let outcome = buyer
        .take_up(&open, Duration::from_millis(300))
        .await
        .unwrap();
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    assert_eq!(town.book.open().unwrap().len(), 1);
    // Of a shop that cannot be reached at all, not even a price is known.
    let fresh = tempfile::tempdir().unwrap();
    let book = Book::new(fresh.path());
    let buyer = Buyer {
        shop: &shop,
        book: &book,
        ..town.buyer()
    };
    assert!(buyer.buy(PATH, &order(), &wishes()).await.is_err());
    assert_eq!(book.open().unwrap(), []);
}

/// Only its name protects a purchase with credits, and names are forgotten.
#[tokio::test]
async fn an_old_purchase_with_credits_is_not_sent_again() {
    let town = Town::open().await;
    let mut old = {
        town.says([Say::Answer(202, json!({}))]);
        town.buyer().buy(PATH, &order(), &wishes()).await.unwrap();
        town.book.open().unwrap().remove(0)
    };
    let before = town.seen().len();
    (old.header, old.value) = (String::new(), String::new());
    old.at_s -= 3 * 86_400;
    let refused = town.buyer().take_up(&old, Duration::from_secs(1)).await;
    assert!(
        matches!(refused, Err(PurchaseError::TooOld { .. })),
        "{refused:?}"
    );
    assert_eq!(town.seen().len(), before);
}

/// Another process found out first: what this one is told is true all the same.
#[tokio::test]
async fn what_another_process_has_closed_was_bought() {
    let town = Town::open().await;
    town.says([Say::Answer(202, json!({}))]);
    town.buyer().buy(PATH, &order(), &wishes()).await.unwrap();
    let open = town.book.open().unwrap().remove(0);
    town.book.close(&open.id, Ending::Paid, "o-1", 1).unwrap();
    town.says([made()]);
    let outcome = town
        .buyer()
        .take_up(&open, Duration::from_secs(2))
        .await
        .unwrap();
    assert!(matches!(outcome, Outcome::Paid(bought) if bought.unwritten.is_none()));
}

/// A buyer by credential alone gets a key that acts for it; when the shop could not read it, the same is asked again.
#[tokio::test]
async fn a_key_that_could_not_be_read_is_asked_for_again() {
    let town = Town::open().await;
    let unread = json!({
        "success": true, "operation_id": "p-1", "settlement": "settled", "order": {"id": "o-1"},
        "management_note": "the key of this machine could not be read just now",
    });
    let mut read = unread.clone();
    read["management_api_key"] = "key".into();
    read["management_api_key_id"] = "k-1".into();
    town.says([
        Say::Answer(200, unread.clone()),
        Say::Answer(200, unread.clone()),
        Say::Answer(200, read.clone()),
    ]);
    let outcome = town.buyer().buy(PATH, &order(), &wishes()).await.unwrap();
    let Outcome::Paid(bought) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(bought.reply.text("/management_api_key"), "key");
    assert!(!bought.is_key_missing);
    let paid = town.paid();
    assert_eq!(paid.len(), 3);
    assert!(
        paid.iter()
            .all(|repeat| repeat.payment() == paid[0].payment())
    );
    assert_eq!(town.book.open().unwrap(), []);

    // It is never asked for without end; what is bought stays open, so that the key can be had later.
    town.says([Say::Answer(200, unread)]);
    let outcome = town.buyer().buy(PATH, &order(), &wishes()).await.unwrap();
    assert!(matches!(outcome, Outcome::Paid(bought) if bought.is_key_missing));
    let open = town.book.open().unwrap().remove(0);
    town.says([Say::Answer(200, read)]);
    let outcome = town.buyer().take_up(&open, Duration::from_secs(2)).await;
    assert!(matches!(outcome, Ok(Outcome::Paid(bought)) if !bought.is_key_missing));
    assert_eq!(town.book.open().unwrap(), []);
}
