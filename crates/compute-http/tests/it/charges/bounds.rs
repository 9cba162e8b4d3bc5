//! How long, and how often, one wallet may hold back what it has not paid for.

use compute_testkit::scripted_charge::TempoBuyer;
use compute_testkit::scripted_rail::SettleFault;
use compute_wallet::Uint256;

use super::payer::{answering, challenge, field, now_s, open, payload, send, with};
use crate::shop::{Answer, ORDER, Shop};

/// The order for so many hours, paid by this buyer.
async fn buy(shop: &Shop, buyer: &TempoBuyer, hours: u32) -> Answer {
    let body = ORDER.replace(":24}", &format!(":{hours}}}"));
    let offer = challenge(&shop.ask(&body).await, "tempo");
    let credential = buyer.pay(&offer, now_s(shop));
    let request = with("/compute/provision", &body, &credential);
    shop.patiently(shop.send(request)).await
}

#[tokio::test]
async fn a_transaction_names_its_end() {
    let (shop, tempo, _) = open().await;
    let buyer = TempoBuyer::new(1);
    let offer = challenge(&shop.ask(ORDER).await, "tempo");
    let now_s = now_s(&shop);
    let in_lane = || TempoBuyer::transaction(&offer, now_s).lane(Uint256::from(7_u64), 0);
    // Zero is written as absent.
    let pay = |until_s: u64| {
        let signed = buyer.payload(in_lane().valid_before(until_s));
        field(&answering(&offer, payload(signed)))
    };
    let endless = send(&shop, &pay(0)).await;
    endless.expect_problem(402, "verification_failed");
    let expected = format!(
        "expected validBefore at {} or earlier, found none",
        now_s + 360
    );
    assert_eq!(endless.text("detail"), expected);
    let late = send(&shop, &pay(now_s + 361)).await;
    late.expect_problem(402, "verification_failed");
    assert_eq!(tempo.settle_calls(), 0);
    let bought = send(&shop, &pay(now_s + 360)).await;
    assert_eq!(bought.status, 200, "{bought:?}");
}

#[tokio::test]
async fn one_wallet_has_so_many_payments_under_way() {
    let (shop, tempo, _) = open().await;
    let buyer = TempoBuyer::new(1);
    tempo.misbehave((0..3).map(|_| SettleFault::LandsUnseen));
    tempo.set_blind(true);
    for hours in [24, 25, 26] {
        let pending = buy(&shop, &buyer, hours).await;
        assert_eq!(pending.json()["settlement"], "pending", "{pending:?}");
    }
    let crowd = buy(&shop, &buyer, 27).await;
    crowd.expect_problem(409, "operation_in_progress");
    assert!(crowd.header("www-authenticate").is_none());
    assert_eq!(tempo.settle_calls(), 3);
    // Others are served, and so is this one when the chain has spoken.
    let other = buy(&shop, &TempoBuyer::new(2), 27).await;
    assert_eq!(other.status, 200, "{other:?}");
    tempo.set_blind(false);
    shop.drive().await;
    let again = buy(&shop, &buyer, 28).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(tempo.settled(), 5);
}
