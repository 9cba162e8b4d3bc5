//! Tokens, payments, refunds and disputes, and who had money taken.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// What the card behind a token does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
    /// It pays.
    Pays,
    /// The bank declines, with this `decline_code`.
    Declines(&'static str),
    /// The bank wants to see its holder.
    WantsAction,
    /// The outcome comes later.
    Processes,
}

/// Why a token is no good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Its time is over.
    Expired,
    /// The buyer took it back.
    Revoked,
    /// It has paid before.
    Consumed,
    /// It was granted to another seller.
    OtherSeller,
}

/// What a buyer granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The most that may be taken, in the smallest unit.
    pub max_amount: u64,
    /// Lower case.
    pub currency: &'static str,
    /// The card behind it.
    pub card: Card,
    /// What is wrong with it.
    pub flaw: Option<Flaw>,
}

/// Money that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The PaymentIntent.
    pub payment_intent: String,
    /// The token.
    pub token: String,
    /// In the smallest unit.
    pub amount: u64,
    /// Lower case.
    pub currency: String,
    /// `mpp_challenge_id` of its metadata.
    pub challenge_id: String,
}

/// Money that was given back, or is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refunded {
    /// The PaymentIntent.
    pub payment_intent: String,
    /// In the smallest unit.
    pub amount: u64,
}

/// A status and a body.
pub(super) type Reply = (u16, Value);

pub(super) type Form = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) tokens: BTreeMap<String, Token>,
    /// Oldest first.
    pub(super) intents: Vec<Map<String, Value>>,
    pub(super) disputes: Vec<Map<String, Value>>,
    pub(super) taken: Vec<Taken>,
    /// Oldest first.
    pub(super) refunds: Vec<Map<String, Value>>,
    /// As what a refund begins; succeeded when empty.
    pub(super) refunds_begin: String,
}

pub(super) fn error(status: u16, kind: &str, code: &str, param: Option<&str>) -> Reply {
    let error = json!({"type": kind, "code": code, "param": param, "message": "in words"});
    (status, json!({ "error": error }))
}

pub(super) fn invalid(code: &str, param: &str) -> Reply {
    error(400, "invalid_request_error", code, Some(param))
}

impl Books {
    pub(super) fn pay(&mut self, form: &Form, now_s: u64) -> Reply {
        const TOKEN: &str = "shared_payment_granted_token";
        let text = |name: &str| form.get(name).cloned().unwrap_or_default();
        let Ok(amount) = text("amount").parse::<u64>() else {
            return invalid("parameter_invalid_integer", "amount");
        };
        let (currency, name) = (text("currency"), text(TOKEN));
        if text("confirm") != "true"
            || text("automatic_payment_methods[enabled]") != "true"
            || text("automatic_payment_methods[allow_redirects]") != "never"
        {
            return invalid("parameter_missing", "confirm");
        }
        let Some(token) = self.tokens.get_mut(&name) else {
            return invalid("resource_missing", TOKEN);
        };
        match token.flaw {
            Some(Flaw::OtherSeller) => {
                return error(403, "invalid_request_error", "not_permitted", Some(TOKEN));
            }
            Some(_) => return invalid("shared_payment_granted_token_deactivated", TOKEN),
            None if token.max_amount < amount || token.currency != currency => {
                return invalid("shared_payment_granted_token_limit", TOKEN);
            }
            None => {}
        }
        let card = token.card;
        if card == Card::Pays {
            token.flaw = Some(Flaw::Consumed);
        }
        let metadata = metadata_of(form);
        let intent = json!({
            "id": format!("pi_{}", self.intents.len()), "object": "payment_intent",
            "amount": amount, "amount_received": 0, "currency": currency, "created": now_s,
            "status": "requires_payment_method", "metadata": metadata, "token": name,
        });
        let Value::Object(intent) = intent else {
            return error(500, "api_error", "", None);
        };
        let id = intent
            .get("id")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        self.intents.push(intent);
        match card {
            Card::Pays => self.set_status(&id, "succeeded"),
            Card::WantsAction => self.set_status(&id, "requires_action"),
            Card::Processes => self.set_status(&id, "processing"),
            Card::Declines(decline) => {
                let intent = self.find(&id);
                let body = json!({"type": "card_error", "code": "card_declined",
                    "decline_code": decline, "message": "in words", "payment_intent": intent});
                return (402, json!({ "error": body }));
            }
        }
        (200, self.find(&id))
    }

    /// Moves a payment on; what succeeds takes the money.
    pub(super) fn set_status(&mut self, id: &str, status: &str) {
        let found = self
            .intents
            .iter_mut()
            .find(|it| it.get("id") == Some(&id.into()));
        let Some(intent) = found else { return };
        intent.insert("status".to_owned(), status.into());
        if status != "succeeded" {
            return;
        }
        let amount = intent.get("amount").cloned().unwrap_or_default();
        intent.insert("amount_received".to_owned(), amount.clone());
        let metadata = intent.get("metadata");
        self.taken.push(Taken {
            payment_intent: id.to_owned(),
            token: string(intent.get("token")),
            amount: amount.as_u64().unwrap_or_default(),
            currency: string(intent.get("currency")),
            challenge_id: string(metadata.and_then(|it| it.get("mpp_challenge_id"))),
        });
    }

    pub(super) fn find(&self, id: &str) -> Value {
        let mut all = self.intents.iter();
        let found = all.find(|it| it.get("id") == Some(&id.into()));
        found.map_or(Value::Null, |it| Value::Object(it.clone()))
    }

    pub(super) fn get(&self, id: &str) -> Reply {
        match self.find(id) {
            Value::Null => error(
                404,
                "invalid_request_error",
                "resource_missing",
                Some("intent"),
            ),
            intent => (200, intent),
        }
    }

    pub(super) fn cancel(&mut self, id: &str) -> Reply {
        let (status, intent) = self.get(id);
        let state = intent.get("status").and_then(Value::as_str);
        if state.is_some_and(|state| !state.starts_with("requires_")) {
            return error(
                400,
                "invalid_request_error",
                "payment_intent_unexpected_state",
                None,
            );
        }
        self.set_status(id, "canceled");
        if status == 200 {
            self.get(id)
        } else {
            (status, intent)
        }
    }

    pub(super) fn refund(&mut self, form: &Form, now_s: u64) -> Reply {
        let id = form.get("payment_intent").cloned().unwrap_or_default();
        let Some(taken) = self.taken.iter().find(|it| it.payment_intent == id) else {
            return invalid("resource_missing", "payment_intent");
        };
        let refunded: u64 = self
            .refunded()
            .iter()
            .filter(|it| it.payment_intent == id)
            .map(|it| it.amount)
            .sum();
        let left = taken.amount.saturating_sub(refunded);
        let amount = form.get("amount").map_or(Ok(left), |text| text.parse());
        let Ok(amount) = amount else {
            return invalid("parameter_invalid_integer", "amount");
        };
        if left == 0 {
            return invalid("charge_already_refunded", "payment_intent");
        }
        if amount == 0 || amount > left {
            return invalid("amount_too_large", "amount");
        }
        let is_open = |it: &&Map<String, Value>| {
            let status = it.get("status").and_then(Value::as_str).unwrap_or_default();
            it.get("payment_intent") == Some(&id.as_str().into())
                && !matches!(status, "won" | "warning_closed")
        };
        if self.disputes.iter().any(|it| is_open(&it)) {
            return invalid("charge_disputed", "payment_intent");
        }
        let status = match self.refunds_begin.as_str() {
            "" => "succeeded",
            other => other,
        };
        let refund = json!({"id": format!("re_{}", self.refunds.len()), "object": "refund",
            "amount": amount, "currency": taken.currency, "status": status,
            "payment_intent": id, "metadata": metadata_of(form), "created": now_s});
        if let Value::Object(refund) = &refund {
            self.refunds.push(refund.clone());
        }
        (200, refund)
    }

    pub(super) fn refunds_of(&self, query: &Form) -> Reply {
        let id = query.get("payment_intent").cloned().unwrap_or_default();
        if self.find(&id).is_null() {
            return invalid("resource_missing", "payment_intent");
        }
        let own = self.refunds.iter();
        let own = own.filter(|it| it.get("payment_intent") == Some(&id.as_str().into()));
        page(&own.cloned().collect::<Vec<_>>(), query)
    }

    /// What was not given back in the end does not count.
    pub(super) fn refunded(&self) -> Vec<Refunded> {
        let counts = |it: &&Map<String, Value>| {
            let status = it.get("status").and_then(Value::as_str);
            !matches!(status, Some("failed" | "canceled"))
        };
        let refunds = self.refunds.iter().filter(counts).map(|it| Refunded {
            payment_intent: string(it.get("payment_intent")),
            amount: it.get("amount").and_then(Value::as_u64).unwrap_or_default(),
        });
        refunds.collect()
    }

    pub(super) fn get_dispute(&self, id: &str) -> Reply {
        let mut all = self.disputes.iter();
        match all.find(|it| it.get("id") == Some(&id.into())) {
            Some(dispute) => (200, Value::Object(dispute.clone())),
            None => error(404, "invalid_request_error", "resource_missing", None),
        }
    }
}

fn string(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn metadata_of(form: &Form) -> Map<String, Value> {
    let metadata = form.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("metadata[")?.strip_suffix(']')?;
        Some((name.to_owned(), Value::from(value.clone())))
    });
    metadata.collect()
}

/// A page of what was created in a time, newest first.
pub(super) fn page(all: &[Map<String, Value>], query: &Form) -> Reply {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
    let since = number("created[gte]").unwrap_or_default();
    let until = number("created[lte]").unwrap_or(u64::MAX);
    let limit = usize::try_from(number("limit").unwrap_or(10).clamp(1, 100)).unwrap_or(10);
    let created = |it: &Map<String, Value>| it.get("created").and_then(Value::as_u64);
    let is_within =
        |it: &&Map<String, Value>| (since..=until).contains(&created(it).unwrap_or_default());
    let mut rest: Vec<_> = all.iter().rev().filter(is_within).collect();
    if let Some(after) = query.get("starting_after") {
        let at = rest
            .iter()
            .position(|it| it.get("id") == Some(&after.as_str().into()));
        rest.drain(..at.map_or(0, |at| at.saturating_add(1)));
    }
    let has_more = rest.len() > limit;
    rest.truncate(limit);
    (
        200,
        json!({"object": "list", "data": rest, "has_more": has_more}),
    )
}
