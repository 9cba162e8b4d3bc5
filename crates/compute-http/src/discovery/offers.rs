//! How the paid operations are paid, in every form that registries read: the offers of the Payment
//! scheme's discovery, and protocols with a price.

use serde_json::{Value, json};

use super::facts::Facts;

/// The extension `x-payment-info` of a paid operation. It informs; a 402 binds.
pub(super) fn payment_info(operation: &str, facts: &Facts) -> Value {
    let is_topup = operation == "topup";
    let mut protocols: Vec<Value> = Vec::new();
    if !facts.networks.is_empty() {
        let networks: Vec<&str> = facts.networks.iter().map(|it| it.caip2.as_str()).collect();
        protocols.push(json!({ "x402": { "scheme": "exact", "networks": networks } }));
    }
    // Credits are bought by x402 only.
    let charges = facts.charges.iter().filter(|_| !is_topup);
    let mut offers: Vec<Value> = Vec::new();
    for charge in charges {
        let (method, currency) = (&charge.method, &charge.currency);
        protocols
            .push(json!({ "mpp": { "method": method, "intent": "charge", "currency": currency } }));
        offers.push(json!({
            "intent": "charge", "method": method, "amount": null, "currency": currency,
            "description": "By the hour, 24 to 4320 hours; the 402 says the amount.",
        }));
    }
    let range = if is_topup {
        Some(facts.topup)
    } else {
        facts.prices
    };
    let mut info = json!({ "protocols": protocols, "pricingMode": "quote" });
    let mut price = json!({ "mode": "dynamic", "currency": "USD" });
    if let Some((least, most)) = range {
        let (least, most) = (least.to_string(), most.to_string());
        price["min"] = json!(least);
        price["max"] = json!(most);
        info["pricingMode"] = json!("range");
        info["minPrice"] = json!(least);
        info["maxPrice"] = json!(most);
    }
    info["price"] = price;
    if !offers.is_empty() {
        info["offers"] = json!(offers);
    }
    info
}

/// The extension `x-service-info`.
pub(super) fn service_info(facts: &Facts) -> Value {
    json!({
        "categories": ["compute"],
        "docs": {
            "homepage": facts.at("/"), "apiReference": facts.at("/docs"), "llms": facts.at("/llms.txt"),
        },
    })
}

/// The document `/.well-known/x402`: which resources answer 402 to a bare request, and what a reader
/// without the API's description needs beside them.
pub(super) fn well_known(facts: &Facts) -> Value {
    let networks: Vec<Value> = facts
        .networks
        .iter()
        .map(|it| {
            json!({ "network": it.caip2, "name": it.label, "scheme": "exact", "asset": it.asset,
                    "payTo": it.pay_to, "decimals": it.decimals })
        })
        .collect();
    let operation = |method: &str, path: &str, what: &str| json!({ "method": method, "path": path, "description": what });
    json!({
        "version": 1,
        "x402Version": 2,
        "name": "x402Compute",
        "description": "Cloud machines by the hour for software agents.",
        "resources": [facts.at("/compute/provision")],
        "instructions": "POST without a body for a 402 at the price of a day of the cheapest machine; \
                         openapi says how to ask for another one.",
        "operations": [
            operation("POST", "/compute/provision", "A machine for 24 to 4320 hours."),
            operation("POST", "/compute/instances/{id}/extend", "More time for a machine; its owner pays."),
            operation("POST", "/compute/credits/topup", "Credits; who calls must be known."),
        ],
        "networks": networks,
        "openapi": facts.at("/openapi.json"),
        "docs": facts.at("/docs"),
        "llms": facts.at("/llms.txt"),
        "skill": facts.at("/skill.md"),
    })
}
