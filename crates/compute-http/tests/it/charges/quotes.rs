//! What a shop that takes challenges says of them beforehand.

use serde_json::Value;

use super::payer::open;
use crate::shop::{Answer, ORDER};
use crate::visitor::Visitor;

const QUOTE: &str = "/compute/quote";

/// The networks of the ways to pay by challenge.
fn charges(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let reply = answer.json();
    let ways = reply["pay"].as_array().unwrap().iter();
    ways.filter(|way| way["protocol"] == "mpp")
        .map(|way| way["method"].clone())
        .collect()
}

#[tokio::test]
async fn a_quote_names_the_challenges_that_its_purchase_has() {
    let (shop, ..) = open().await;
    let day = shop.ask_at(QUOTE, ORDER).await;
    // A day costs less than Stripe's minimum.
    assert_eq!(charges(&day), ["tempo"]);
    assert_eq!(day.header("www-authenticate"), None);
    let reply = day.json();
    let way = &reply["pay"][1];
    for member in ["network", "caip2", "asset", "pay_to", "amount"] {
        assert!(way[member].is_string(), "{member}: {way}");
    }
    assert_eq!(way["amount"], "168000");
    let month = shop.ask_at(QUOTE, &ORDER.replace(":24}", ":720}")).await;
    assert_eq!(charges(&month), ["tempo", "stripe"]);
    let reply = month.json();
    let card = &reply["pay"][2];
    assert_eq!(
        (&card["currency"], &card["amount"]),
        (&"usd".into(), &"504".into())
    );
}

#[tokio::test]
async fn more_time_is_charged_to_somebody_who_is_known() {
    let (shop, ..) = open().await;
    let owner = Visitor::new(1);
    let id = owner.machine(&shop).await;
    let body = format!("{{\"instance_id\":\"{id}\"}}");
    assert!(charges(&shop.ask_at(QUOTE, &body).await).is_empty());
    assert_eq!(charges(&owner.post(&shop, QUOTE, &body).await), ["tempo"]);
}
