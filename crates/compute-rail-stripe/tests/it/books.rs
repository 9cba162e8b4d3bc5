use compute_domain::id::ReserveId;
use compute_domain::reserve::DisputeState;
use compute_domain::time::Timestamp;
use compute_engine::ports::{CardDesk as _, Notice, Rail as _, RefundLook, RefundOrder};
use compute_payment_double::stripe::{
    ACCOUNT, Fault, OTHER_KEY, Refunded, SECRET_KEY, sign_webhook,
};
use compute_rail_stripe::StripeRail;
use uuid::Uuid;

use crate::{NOW_S, PRICE, Town, good, rail_with};

const REFUND: &str = "POST refunds";
const REFUNDS: &str = "GET refunds";

fn order(number: u128, payment: &str, atomic: u64) -> RefundOrder<'_> {
    RefundOrder {
        id: ReserveId::from_uuid(Uuid::from_u128(number)),
        payment,
        atomic: atomic.into(),
    }
}

/// As the engine does it.
async fn refund(rail: &StripeRail, order: RefundOrder<'_>) -> RefundLook {
    match rail.look_for_refund(&order).await {
        Ok(RefundLook::Unmade) => rail.send_refund(&order).await,
        Ok(look) => look,
        Err(error) => RefundLook::UnderWay {
            reason: error.reason,
        },
    }
}

fn done(reference: &str) -> RefundLook {
    RefundLook::Done {
        reference: reference.to_owned(),
    }
}

#[track_caller]
fn assert_under_way(look: &RefundLook) {
    assert!(matches!(look, RefundLook::UnderWay { .. }), "{look:?}");
}

async fn sold() -> (Town, String) {
    let town = Town::open().await;
    let _ = town.rail.settle(&town.pay(1, good())).await;
    let paid = town.evidence().reference;
    (town, paid)
}

fn refunded(town: &Town) -> Vec<u64> {
    let refunded = town.stripe.refunded().into_iter();
    refunded
        .map(
            |Refunded {
                 payment_intent,
                 amount,
             }| {
                assert_eq!(payment_intent, "pi_0");
                amount
            },
        )
        .collect()
}

/// Whatever happens to the answers, and however long it takes.
#[tokio::test]
async fn a_refund_is_made_once() {
    for fault in [
        Fault::DropBefore,
        Fault::DropAfter,
        Fault::StatusBefore(500),
        Fault::StatusBefore(429),
        Fault::StatusAfter(503),
        Fault::GarbageAfter,
        Fault::Altered("amount", ""),
        Fault::Altered("metadata", ""),
    ] {
        for later in [0, 90_000] {
            let (town, paid) = sold().await;
            let order = order(7, &paid, 200);
            town.stripe.disturb(REFUND, fault.clone());
            assert_under_way(&refund(&town.rail, order).await);
            // Beyond the life of an idempotency key, too.
            town.advance(later);
            assert_eq!(
                refund(&town.replica(), order).await,
                done("re_0"),
                "{fault:?}"
            );
            assert_eq!(refund(&town.rail, order).await, done("re_0"));
            assert_eq!(refunded(&town), [200], "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_part_and_then_the_rest_go_back_and_no_more() {
    let (town, paid) = sold().await;
    assert_eq!(refund(&town.rail, order(1, &paid, 200)).await, done("re_0"));
    let too_much = refund(&town.rail, order(2, &paid, PRICE)).await;
    let code = "amount_too_large".to_owned();
    assert_eq!(too_much, RefundLook::Refused { code });
    let rest = order(3, &paid, PRICE - 200);
    assert_eq!(refund(&town.rail, rest).await, done("re_1"));
    let code = "charge_already_refunded".to_owned();
    let again = refund(&town.rail, order(4, &paid, 1)).await;
    assert_eq!(again, RefundLook::Refused { code });
    assert_eq!(refunded(&town), [200, PRICE - 200]);
}

#[tokio::test]
async fn what_the_bank_has_not_decided_is_under_way() {
    for (status, end) in [
        ("succeeded", done("re_0")),
        (
            "failed",
            RefundLook::Refused {
                code: "refund_failed".to_owned(),
            },
        ),
    ] {
        let (town, paid) = sold().await;
        town.stripe.begin_refunds_as("pending");
        let order = order(1, &paid, 100);
        assert_under_way(&refund(&town.rail, order).await);
        assert_under_way(&refund(&town.rail, order).await);
        town.stripe.set_refund("re_0", status);
        assert_eq!(refund(&town.rail, order).await, end);
    }
}

#[tokio::test]
async fn nothing_is_refunded_without_knowing_what_there_is() {
    let (town, paid) = sold().await;
    let order = order(1, &paid, 100);
    for fault in [
        Fault::DropBefore,
        Fault::StatusBefore(500),
        Fault::GarbageAfter,
    ] {
        town.stripe.disturb(REFUNDS, fault);
        assert!(town.rail.look_for_refund(&order).await.is_err());
    }
    let stranger = rail_with(&town.clock, town.stripe.url(), OTHER_KEY);
    let look = stranger.look_for_refund(&order).await;
    assert_eq!(look, Ok(RefundLook::Stranger));
    assert_under_way(&stranger.send_refund(&order).await);
    assert!(refunded(&town).is_empty());
    assert_eq!(town.rail.own_account().await.unwrap(), ACCOUNT);
}

#[tokio::test]
async fn a_disputed_payment_is_not_refunded() {
    let (town, paid) = sold().await;
    town.stripe.dispute(&paid);
    let code = "charge_disputed".to_owned();
    let refused = refund(&town.rail, order(1, &paid, 100)).await;
    assert_eq!(refused, RefundLook::Refused { code });
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
    assert!(new.iter().all(|it| it.payment == "pi_new"));
    assert_eq!(new[0].opened_at, Timestamp::from_secs(NOW_S + 100));
    assert_eq!(
        since(NOW_S).await.unwrap().last().unwrap().reference,
        "dp_0"
    );
}

#[tokio::test]
async fn each_word_for_a_dispute_has_a_meaning() {
    use DisputeState::{Lost, Open, Won};
    let (town, paid) = sold().await;
    let id = town.stripe.dispute(&paid);
    for (word, state) in [
        ("needs_response", Open),
        ("under_review", Open),
        ("warning_needs_response", Open),
        ("a new word", Open),
        ("won", Won),
        ("warning_closed", Won),
        ("lost", Lost),
    ] {
        town.stripe.set_dispute(&id, word);
        let seen = town.rail.dispute(&id).await.unwrap();
        assert_eq!((seen.state, seen.status.as_str()), (state, word));
        assert_eq!(seen.payment, paid);
        assert_eq!((seen.asset.atomic, seen.asset.decimals), (PRICE.into(), 2));
    }
    assert!(town.rail.dispute("dp_9").await.is_err());
}

#[tokio::test]
async fn a_webhook_is_judged_by_its_signature_and_our_clock() {
    let town = Town::open().await;
    let body = r#"{"type":"charge.dispute.created"}"#;
    let header = sign_webhook("whsec_1", NOW_S, body);
    assert_eq!(town.rail.hear(body.as_bytes(), &header), None);
    let mut config = crate::config(town.stripe.url(), SECRET_KEY);
    config.webhook_secret = Some("whsec_1".into());
    let rail = crate::rail_of(&town.clock, &config);
    assert_eq!(rail.hear(body.as_bytes(), &header), Some(Notice::News));
    assert_eq!(rail.hear(b"{}", &header), Some(Notice::Forged));
    town.advance(301);
    assert_eq!(rail.hear(body.as_bytes(), &header), Some(Notice::Forged));
}
