//! Buying with credits.

use compute_testkit::scripted_provider::CreateFault;
use futures::future::join_all;
use serde_json::json;

use crate::shop::{ORDER, Shop, extend_path};
use crate::visitor::{Visitor, paid_at};

pub(crate) const BALANCE: &str = "/compute/credits/balance";

/// The ordinary purchase, out of credits.
pub(crate) fn by_credits(extra: &str) -> String {
    ORDER.replace("24}", &format!("24,\"use_credits\":true{extra}}}"))
}

#[tokio::test]
async fn a_machine_is_bought_with_credits() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    buyer.top_up(&shop, "1").await;
    let answer = buyer
        .post(&shop, "/compute/provision", &by_credits(""))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let reply = answer.json();
    assert_eq!(reply["success"], true);
    assert_eq!(reply["settlement"], "credits");
    assert_eq!(reply["charged"], "0.168");
    assert_eq!(reply["new_balance"], "0.832");
    for member in ["tx_hash", "note", "error", "detail"] {
        assert!(reply.get(member).is_none(), "{member}: {reply}");
    }
    assert_eq!(answer.header("payment-response"), None);
    shop.settle_down().await;
    assert_eq!(shop.provider.alive().len(), 1);
}

#[tokio::test]
async fn too_few_credits_are_a_402_that_no_wrapper_pays() {
    let shop = Shop::open().await;
    let (rich, poor) = (Visitor::new(1), Visitor::new(2));
    rich.top_up(&shop, "5").await;
    let refused = poor
        .post(&shop, "/compute/provision", &by_credits(""))
        .await;
    refused.expect_problem(402, "insufficient_credits");
    for header in ["payment-required", "www-authenticate", "payment-response"] {
        assert_eq!(refused.header(header), None, "{header}");
    }
    let mut problem = refused.json();
    assert!(problem.get("accepts").is_none() && problem.get("x402Version").is_none());
    problem["request_id"] = json!("[id]");
    insta::assert_json_snapshot!("too_few_credits", problem);
    // What it says is enough is enough.
    let amount = problem["topup"]["amount"].to_string();
    poor.top_up(&shop, &amount).await;
    let bought = poor
        .post(&shop, "/compute/provision", &by_credits(""))
        .await;
    assert_eq!(bought.status, 200, "{bought:?}");
    assert_eq!(rich.balance(&shop).await, "5.00");
}

#[tokio::test]
async fn nobody_in_particular_has_no_credits() {
    let shop = Shop::open().await;
    let id = Visitor::new(1).machine(&shop).await;
    let paths = ["/compute/provision".to_owned(), extend_path(&id)];
    for (path, body) in paths
        .iter()
        .zip([&by_credits(""), "{\"use_credits\":true}"])
    {
        shop.ask_at(path, body)
            .await
            .expect_problem(401, "auth_required");
    }
}

#[tokio::test]
async fn the_credits_of_another_wallet_are_out_of_reach() {
    let shop = Shop::open().await;
    let (rich, thief) = (Visitor::new(1), Visitor::new(2));
    rich.top_up(&shop, "5").await;
    let id = rich.machine(&shop).await;
    let stolen = thief
        .post(&shop, &extend_path(&id), "{\"use_credits\":true}")
        .await;
    stolen.expect_problem(404, "not_found");
    let query = format!("{BALANCE}?wallet={}", rich_wallet(&shop, &rich).await);
    let balance = thief.send(&shop, "GET", &query).await.json();
    assert_eq!(balance["balance"], "0.00");
    assert_eq!(rich.balance(&shop).await, "5.00");
}

async fn rich_wallet(shop: &Shop, visitor: &Visitor) -> String {
    visitor.send(shop, "GET", BALANCE).await.text("wallet")
}

#[tokio::test]
async fn one_way_to_pay_at_a_time() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    buyer.top_up(&shop, "5").await;
    let id = buyer.machine(&shop).await;
    let settled = shop.rail.settle_calls();
    let payment = buyer.payment(&shop).await;
    for (path, body) in [
        ("/compute/provision".to_owned(), by_credits("")),
        (extend_path(&id), "{\"use_credits\":true}".to_owned()),
    ] {
        let request = buyer.signed_payment(&shop, &path, &body, &payment);
        let refused = shop.send(request).await;
        refused.expect_problem(400, "invalid_request");
        assert_eq!(refused.json()["field"], "use_credits");
    }
    assert_eq!(shop.rail.settle_calls(), settled);
    assert_eq!(buyer.balance(&shop).await, "5.00");
}

#[tokio::test]
async fn a_refused_machine_gives_the_credits_back() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    buyer.top_up(&shop, "1").await;
    shop.provider
        .misbehave(std::iter::repeat_n(CreateFault::Rejects, 50));
    let body = by_credits("");
    let answer = buyer.post(&shop, "/compute/provision", &body).await;
    answer.expect_problem(502, "provider_rejected");
    assert_eq!(answer.json()["details"]["credited"].as_f64(), Some(0.168));
    assert_eq!(answer.header("payment-response"), None);
    assert_eq!(buyer.balance(&shop).await, "1.00");
    let account = buyer.send(&shop, "GET", BALANCE).await.json();
    assert_eq!(account["total_spent"], "0.00", "{account}");
}

#[tokio::test]
async fn the_same_credit_is_spent_once_however_many_try() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    buyer.top_up(&shop, "1").await;
    // One machine costs 0.168: five of them fit into one dollar, and into the owner's limit.
    let body = by_credits("");
    let buy = || buyer.post(&shop, "/compute/provision", &body);
    let answers = join_all((0..64).map(|_| buy())).await;
    let count = |status: u16| answers.iter().filter(|a| a.status == status).count();
    assert_eq!(count(200), 5, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        let codes = ["insufficient_credits", "limit_reached"];
        let code = answer.text("code");
        assert!(codes.contains(&code.as_str()), "{answer:?}");
    }
    assert_eq!(buyer.balance(&shop).await, "0.16");
}

#[tokio::test]
async fn a_price_above_the_maximum_is_refused_before_any_payment() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    buyer.top_up(&shop, "5").await;
    let id = buyer.machine(&shop).await;
    let calls = shop.rail.settle_calls();
    let low = ORDER.replace("24}", "24,\"max_total_usd\":0.167999}");
    let exact = ORDER.replace("24}", "24,\"max_total_usd\":\"0.168\"}");
    let unpaid = shop.ask(&low).await;
    unpaid.expect_problem(409, "price_above_maximum");
    let payment = buyer.payment(&shop).await;
    let paid = shop
        .send(paid_at("/compute/provision", &payment, &low))
        .await;
    let credits = by_credits(",\"max_total_usd\":0.1");
    let credits = buyer.post(&shop, "/compute/provision", &credits).await;
    let longer = shop
        .ask_at(&extend_path(&id), "{\"max_total_usd\":0.1}")
        .await;
    for (refused, maximum) in [
        (unpaid, "0.167999"),
        (paid, "0.167999"),
        (credits, "0.10"),
        (longer, "0.10"),
    ] {
        refused.expect_problem(409, "price_above_maximum");
        assert_eq!(refused.json()["price"], "0.168");
        assert_eq!(refused.json()["max_total_usd"], maximum);
    }
    assert_eq!(shop.rail.settle_calls(), calls, "nothing settled");
    assert_eq!(buyer.balance(&shop).await, "5.00");
    shop.ask(&exact)
        .await
        .expect_problem(402, "payment_required");
    assert_eq!(
        shop.send(paid_at("/compute/provision", &payment, &exact))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn an_owner_has_a_bounded_number_of_machines() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    buyer.top_up(&shop, "5").await;
    for _ in 0..5 {
        let bought = buyer
            .post(&shop, "/compute/provision", &by_credits(""))
            .await;
        assert_eq!(bought.status, 200, "{bought:?}");
    }
    let refused = buyer
        .post(&shop, "/compute/provision", &by_credits(""))
        .await;
    refused.expect_problem(409, "limit_reached");
    let calls = shop.rail.settle_calls();
    let paid = buyer.buy(&shop).await;
    paid.expect_problem(409, "limit_reached");
    assert_eq!(shop.rail.settle_calls(), calls, "nothing settled");
}
