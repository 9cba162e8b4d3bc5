//! What a service says about its prices in its OpenAPI document. Informative: the 402 is binding.

use serde_json::{Value, json};

use crate::charge::Amount;
use crate::method::{CHARGE, Method};

/// The extension of a paid operation.
pub const PAYMENT_INFO: &str = "x-payment-info";
/// The extension of the whole document.
pub const SERVICE_INFO: &str = "x-service-info";

/// One way to pay for an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveryOffer<'a> {
    /// How it is paid.
    pub method: &'a Method,
    /// How much, in the smallest unit of `currency`; `None` when that depends on the request.
    pub amount: Option<Amount>,
    /// Of what, as the method writes it.
    pub currency: &'a str,
    /// For people.
    pub description: &'a str,
}

/// The value of [`PAYMENT_INFO`]. Such an operation also lists an answer 402, and a schema of its
/// body from which checkers make one.
#[must_use]
pub fn payment_info(offers: &[DiscoveryOffer<'_>]) -> Value {
    let offers = offers.iter().map(|offer| {
        json!({
            "intent": CHARGE,
            "method": offer.method.as_str(),
            "amount": offer.amount.map(|amount| amount.to_string()),
            "currency": offer.currency,
            "description": offer.description,
        })
    });
    json!({ "offers": offers.collect::<Vec<_>>() })
}

/// Where a service is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServiceInfo<'a> {
    /// Such as `compute`.
    pub categories: &'a [&'a str],
    /// The address of the service's page.
    pub homepage: Option<&'a str>,
    /// The address of its reference.
    pub api_reference: Option<&'a str>,
    /// The address of its description for language models.
    pub llms: Option<&'a str>,
}

/// The value of [`SERVICE_INFO`].
#[must_use]
pub fn service_info(info: ServiceInfo<'_>) -> Value {
    let docs = [
        ("homepage", info.homepage),
        ("apiReference", info.api_reference),
        ("llms", info.llms),
    ];
    let docs = docs
        .into_iter()
        .filter_map(|(name, address)| Some((name.to_owned(), Value::from(address?))));
    json!({ "categories": info.categories, "docs": docs.collect::<Value>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_that_depends_is_null() {
        let tempo = DiscoveryOffer {
            method: &Method::TEMPO,
            amount: Some(Amount::new(1_250_000)),
            currency: "0x20c0",
            description: "a day",
        };
        let stripe = DiscoveryOffer {
            method: &Method::STRIPE,
            amount: None,
            currency: "usd",
            ..tempo
        };
        let expected = json!({ "offers": [
            { "intent": "charge", "method": "tempo", "amount": "1250000", "currency": "0x20c0", "description": "a day" },
            { "intent": "charge", "method": "stripe", "amount": null, "currency": "usd", "description": "a day" },
        ] });
        assert_eq!(payment_info(&[tempo, stripe]), expected);
    }

    #[test]
    fn addresses_that_do_not_exist_are_left_out() {
        let info = ServiceInfo {
            categories: &["compute"],
            llms: Some("https://compute.example/llms.txt"),
            ..ServiceInfo::default()
        };
        let expected = json!({
            "categories": ["compute"],
            "docs": { "llms": "https://compute.example/llms.txt" },
        });
        assert_eq!(service_info(info), expected);
    }
}
