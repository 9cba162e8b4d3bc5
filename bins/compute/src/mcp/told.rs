//! What a tool answers: always an object with `result`, as `--json` has it, and what to do next when it went wrong.

use std::error::Error;
use std::fmt;

use compute_client::{BookError, OfferError, Problem, PurchaseError, ShopError};
use rmcp::model::CallToolResult;
use serde_json::{Map, Value, json};

use crate::end::{self, End};

/// Members of a shop's answer that no tool gives, but `password` the first three.
const SECRETS: [&str; 6] = [
    "password",
    "root_password",
    "default_password",
    "management_api_key",
    "api_key",
    "secret",
];

/// Said of a limit that a model met.
pub(super) const HUMAN: &str = "no tool can change this limit: ask the human who runs this server to raise it with \
    `compute budget --set <dollars>` in a terminal, or to start the server with a higher --spend-cap, \
    COMPUTE_SPEND_CAP or --max-price; do not try again before";

/// Said when nobody knows what became of a purchase.
pub(super) const UNKNOWN: &str = "it may have been paid: do not buy it under another name; call recover, or the same \
    tool again with the same idempotency_key, which pays nothing twice";

/// A tool was called with what it does not take.
#[derive(Debug)]
pub(super) struct WrongArguments(pub(super) serde_json::Error);

impl fmt::Display for WrongArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the arguments do not fit the schema of this tool: {}",
            self.0
        )
    }
}

impl Error for WrongArguments {}

/// An answer.
#[derive(Debug)]
pub(super) struct Told {
    end: End,
    members: Map<String, Value>,
}

impl Told {
    /// It was done.
    pub(super) fn done(members: Value) -> Self {
        Self::new(End::Done, members)
    }

    /// It came to this end.
    pub(super) fn new(end: End, members: Value) -> Self {
        let mut told = Self {
            end,
            members: Map::from_iter([("result".to_owned(), end.word().into())]),
        };
        if let Value::Object(members) = members {
            told.members.extend(members);
        }
        told
    }

    /// A limit forbids it. Nothing was sent.
    pub(super) fn not_allowed(code: &str, error: &str) -> Self {
        Self::new(
            End::NotAllowed,
            json!({ "code": code, "error": error, "charged": false, "what_to_do": HUMAN }),
        )
    }

    /// The shop refused a purchase.
    pub(super) fn refused(problem: &Problem) -> Self {
        Self::new(
            End::Refused,
            json!({
                "code": problem.code, "error": problem.detail, "request_id": problem.request_id,
                "charged": false,
            }),
        )
    }

    /// Nobody knows yet.
    pub(super) fn unknown(id: &str, last: &str) -> Self {
        Self::new(
            End::Unknown,
            json!({ "code": "unknown", "id": id, "error": last, "what_to_do": UNKNOWN }),
        )
    }

    /// Something went wrong.
    pub(super) fn failed(error: &anyhow::Error) -> Self {
        let end = end::of(error);
        let mut told = Self::new(
            end,
            json!({ "code": code(error), "error": format!("{error:#}") }),
        );
        let mut add = |name: &str, value: Value| told.members.insert(name.to_owned(), value);
        if end == End::NotAllowed {
            add("charged", false.into());
        }
        match error.downcast_ref::<PurchaseError>() {
            Some(PurchaseError::Book(BookError::BeyondCap {
                price,
                cap,
                spent,
                open,
            })) => {
                add("price_usd", json!(price));
                add("cap_usd", json!(cap));
                add("spent_usd", json!(spent));
                add("open_usd", json!(open));
                add("what_to_do", HUMAN.into());
            }
            Some(PurchaseError::OtherPurchase { .. }) => {
                add(
                    "what_to_do",
                    "give each purchase an idempotency_key of its own".into(),
                );
            }
            _ => {}
        }
        if let Some(problem) = refusal(error) {
            add("request_id", problem.request_id.as_str().into());
        }
        told
    }

    pub(super) fn into_result(self) -> CallToolResult {
        let members = Value::Object(self.members);
        if self.end == End::Done {
            CallToolResult::structured(members)
        } else {
            CallToolResult::structured_error(members)
        }
    }
}

/// A stable word for it.
fn code(error: &anyhow::Error) -> String {
    if let Some(problem) = refusal(error) {
        return problem.code.clone();
    }
    let word = match error.downcast_ref::<PurchaseError>() {
        Some(PurchaseError::Book(BookError::BeyondCap { .. })) => "beyond_cap",
        Some(PurchaseError::Book(_)) => "book_unusable",
        Some(PurchaseError::TooDear { .. }) => "too_dear",
        Some(PurchaseError::RealMoney) => "real_money",
        Some(PurchaseError::NoWallet) => "no_wallet",
        Some(PurchaseError::Name) => "bad_idempotency_key",
        Some(PurchaseError::OtherPurchase { .. }) => "idempotency_key_used",
        Some(PurchaseError::Offer(OfferError::NoneKnown | OfferError::NotOffered)) => "not_offered",
        Some(_) if end::of(error) == End::NotAllowed => "cannot_pay",
        _ if end::of(error) == End::Unreachable => "unreachable",
        _ if error.is::<WrongArguments>() => "invalid_arguments",
        _ => "failed",
    };
    word.to_owned()
}

fn refusal(error: &anyhow::Error) -> Option<&Problem> {
    let shop = match error.downcast_ref::<PurchaseError>() {
        Some(PurchaseError::Shop(shop)) => shop,
        _ => error.downcast_ref::<ShopError>()?,
    };
    match shop {
        ShopError::Refused(problem) => Some(problem),
        _ => None,
    }
}

/// A shop's answer without passwords: they are given by one tool only.
pub(super) fn without_secrets(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            members.retain(|name, _| !SECRETS.contains(&name.as_str()));
            for member in members.values_mut() {
                *member = without_secrets(member.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = without_secrets(item.take());
            }
        }
        _ => {}
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_left_out_wherever_they_are() {
        let answer =
            json!({"access": {"password": "p", "username": "root"}, "all": [{"root_password": 1}]});
        let plain = json!({"access": {"username": "root"}, "all": [{}]});
        assert_eq!(without_secrets(answer), plain);
    }

    #[test]
    fn a_limit_is_an_error_that_says_who_can_lift_it() {
        let error = PurchaseError::Book(BookError::BeyondCap {
            price: "2".parse().unwrap(),
            cap: "1".parse().unwrap(),
            spent: "0.5".parse().unwrap(),
            open: "0".parse().unwrap(),
        });
        let result = Told::failed(&error.into()).into_result();
        assert_eq!(result.is_error, Some(true));
        let told = result.structured_content.unwrap();
        assert_eq!(told["code"], "beyond_cap");
        assert_eq!(told["charged"], false);
        assert_eq!(told["cap_usd"], "1.00");
        assert!(
            told["what_to_do"]
                .as_str()
                .unwrap()
                .contains("compute budget --set")
        );
    }
}
