//! Method `stripe`: cards, through Shared Payment Tokens. What is asked and what is presented; the
//! call that takes the money is the caller's.

use std::fmt;

use serde_json::{Map, Value};

use crate::charge::{Amount, ChargeRequest};
use crate::problem::ProblemType;

/// What `methodDetails` of a request says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StripeDetails {
    /// The seller's business profile at Stripe.
    pub network_id: String,
    /// Such as `card` and `link`.
    pub payment_method_types: Vec<String>,
    /// What the payment is to carry along: flat texts. `externalId` is reserved.
    pub metadata: Vec<(String, String)>,
}

impl StripeDetails {
    /// A request for `amount` of the smallest unit of `currency` (ISO 4217, lower case).
    #[must_use]
    pub fn request(&self, amount: Amount, currency: &str) -> ChargeRequest {
        let mut details = Map::new();
        details.insert("networkId".to_owned(), self.network_id.clone().into());
        details.insert(
            "paymentMethodTypes".to_owned(),
            self.payment_method_types.clone().into(),
        );
        if !self.metadata.is_empty() {
            let texts = self.metadata.iter().cloned();
            let metadata = texts.map(|(name, value)| (name, Value::from(value)));
            details.insert("metadata".to_owned(), metadata.collect());
        }
        ChargeRequest {
            method_details: details,
            ..ChargeRequest::new(amount, currency)
        }
    }
}

/// The least that Stripe charges in a currency, in its smallest unit. `None` where this crate knows
/// of no minimum: do not offer what may be refused after the buyer has agreed.
#[must_use]
pub fn minimum(currency: &str) -> Option<Amount> {
    let units = match currency {
        "usd" | "eur" | "cad" | "aud" | "chf" | "jpy" => 50,
        "gbp" => 30,
        "nok" | "sek" => 300,
        "dkk" => 250,
        "pln" => 200,
        "czk" => 1_500,
        "huf" => 17_500,
        "mxn" | "thb" => 1_000,
        "hkd" => 400,
        _ => return None,
    };
    Some(Amount::new(units))
}

/// A token with which Stripe takes a buyer's money, once. Worth money until then: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedPaymentToken(String);

/// Why a payload is no payment of this method for its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// `spt` is missing or no token.
    #[error("the payload has no Shared Payment Token")]
    Token,
    /// `externalId` has the wrong type, or is not what the request says.
    #[error("the payload does not repeat the request's externalId")]
    ExternalId,
}

impl PayloadError {
    /// The problem to answer with.
    #[must_use]
    pub const fn problem_type(&self) -> ProblemType {
        match self {
            Self::Token => ProblemType::InvalidPayload,
            Self::ExternalId => ProblemType::InvalidChallenge,
        }
    }
}

impl From<PayloadError> for ProblemType {
    fn from(error: PayloadError) -> Self {
        error.problem_type()
    }
}

impl SharedPaymentToken {
    const PREFIX: &str = "spt_";
    const MAX_REST_BYTES: usize = 255;

    /// Takes `spt_` with 1 to 255 letters, digits and underscores behind it: nothing that could
    /// mean something in a URL or a form.
    ///
    /// # Errors
    /// When the text is something else.
    pub fn parse(text: &str) -> Result<Self, PayloadError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let rest = text.strip_prefix(Self::PREFIX).ok_or(PayloadError::Token)?;
        let is_length = (1..=Self::MAX_REST_BYTES).contains(&rest.len());
        if is_length && rest.bytes().all(is_allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(PayloadError::Token)
        }
    }

    /// Reads the payload of a credential. When the request has an `externalId`, the payload has to
    /// repeat it.
    ///
    /// # Errors
    /// When the payload is no payment of this method for this request.
    pub fn from_payload(
        payload: &Map<String, Value>,
        request: &ChargeRequest,
    ) -> Result<Self, PayloadError> {
        let token = payload.get("spt").and_then(Value::as_str);
        let token = Self::parse(token.ok_or(PayloadError::Token)?)?;
        let echoed = match payload.get("externalId") {
            None => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => return Err(PayloadError::ExternalId),
        };
        // One that nobody asked for means nothing.
        if request.external_id.is_some() && echoed != request.external_id.as_ref() {
            return Err(PayloadError::ExternalId);
        }
        Ok(token)
    }

    /// The payload that presents this token for a request.
    #[must_use]
    pub fn payload(&self, request: &ChargeRequest) -> Map<String, Value> {
        let mut payload = Map::new();
        payload.insert("spt".to_owned(), self.0.clone().into());
        if let Some(external_id) = &request.external_id {
            payload.insert("externalId".to_owned(), external_id.clone().into());
        }
        payload
    }

    /// The token itself, for the call to Stripe.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SharedPaymentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedPaymentToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn details() -> StripeDetails {
        StripeDetails {
            network_id: "profile_test_1".to_owned(),
            payment_method_types: vec!["card".to_owned(), "link".to_owned()],
            metadata: vec![],
        }
    }

    #[test]
    fn the_request_is_the_one_of_published_servers() {
        let request = details().request(Amount::new(500), "usd");
        let expected = "eyJhbW91bnQiOiI1MDAiLCJjdXJyZW5jeSI6InVzZCIsIm1ldGhvZERldGFpbHMiOnsibmV0d29ya0lkIjoicHJvZmlsZV90ZXN0XzEiLCJwYXltZW50TWV0aG9kVHlwZXMiOlsiY2FyZCIsImxpbmsiXX19";
        assert_eq!(request.encode().unwrap().as_str(), expected);
        let metadata = vec![("plan".to_owned(), "small".to_owned())];
        let with_metadata = StripeDetails {
            metadata,
            ..details()
        };
        let request = with_metadata.request(Amount::new(500), "usd");
        assert_eq!(
            request.method_details["metadata"],
            json!({ "plan": "small" })
        );
    }

    #[test]
    fn only_tokens_are_tokens() {
        let long = format!("spt_{}", "a".repeat(255));
        for text in ["spt_1TestToken", "spt_a", long.as_str()] {
            assert_eq!(SharedPaymentToken::parse(text).unwrap().expose(), text);
        }
        let longer = format!("{long}a");
        for text in [
            "",
            "spt_",
            "spt-1",
            "SPT_1",
            "spt_a&amount=1",
            "spt_a\r\n",
            "spt_a/../b",
            "spt_ä",
            " spt_a",
            longer.as_str(),
        ] {
            assert_eq!(
                SharedPaymentToken::parse(text),
                Err(PayloadError::Token),
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_external_id_is_repeated() {
        let mut request = details().request(Amount::new(500), "usd");
        let read = |payload: Value, request: &ChargeRequest| {
            SharedPaymentToken::from_payload(payload.as_object().unwrap(), request)
        };
        let plain = json!({ "spt": "spt_a" });
        let other = json!({ "spt": "spt_a", "externalId": "order-8" });
        assert!(read(plain.clone(), &request).is_ok());
        assert!(read(other.clone(), &request).is_ok());
        request.external_id = Some("order-7".to_owned());
        for payload in [plain, other, json!({ "spt": "spt_a", "externalId": 7 })] {
            assert_eq!(read(payload, &request), Err(PayloadError::ExternalId));
        }
        let token = SharedPaymentToken::parse("spt_a").unwrap();
        let payload = token.payload(&request);
        assert_eq!(
            SharedPaymentToken::from_payload(&payload, &request),
            Ok(token)
        );
        for spt in [json!(7), json!(["spt_a"]), json!(null), json!("")] {
            let result = read(json!({ "spt": spt, "externalId": "order-7" }), &request);
            assert_eq!(result, Err(PayloadError::Token));
        }
    }

    #[test]
    fn no_token_is_shown() {
        let token = SharedPaymentToken::parse("spt_secret").unwrap();
        assert_eq!(format!("{token:?}"), "SharedPaymentToken(..)");
    }

    #[test]
    fn currencies_have_minimums() {
        assert_eq!(minimum("usd"), Some(Amount::new(50)));
        assert_eq!(minimum("huf"), Some(Amount::new(17_500)));
        assert_eq!(minimum("USD"), None);
    }
}
