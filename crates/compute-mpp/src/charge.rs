//! What a challenge asks for: the request of intent `charge`.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::problem::ProblemType;
use crate::strict_json::parse_object;
use crate::{base64url, jcs};

/// The longest request that is read, in characters of base64url; published clients stop here too.
pub const MAX_REQUEST_BYTES: usize = 16 * 1024;

/// A whole number of the smallest unit of a currency, written in decimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u128);

impl Amount {
    /// So many smallest units.
    #[must_use]
    pub const fn new(units: u128) -> Self {
        Self(units)
    }

    /// Reads decimal digits without leading zeros; nothing above 2¹²⁸ − 1.
    ///
    /// # Errors
    /// When the text is something else.
    pub fn parse(text: &str) -> Result<Self, ChargeError> {
        let is_canonical = text == "0" || !text.starts_with(['0', '+']);
        let units = text.parse().ok().filter(|_| is_canonical);
        units.map(Self).ok_or(ChargeError::Member("amount"))
    }

    /// The number of smallest units.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A request of intent `charge`: the members that all methods share, and those of one method.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChargeRequest {
    /// How much.
    pub amount: Amount,
    /// Of what, as the method writes it: a token's address, a code of ISO 4217 in lower case.
    pub currency: String,
    /// Who is paid, as the method writes it. A method may know that by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// What the seller calls this payment; receipts repeat it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What the method adds.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub method_details: Map<String, Value>,
}

/// Why a request cannot be written, or is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChargeError {
    /// Not base64url of one JSON object, or longer than [`MAX_REQUEST_BYTES`].
    #[error("the request is not base64url of a JSON object")]
    Encoding,
    /// A member is missing, malformed, or holds an integer above 2⁵³, which implementations write
    /// differently.
    #[error("the request's member {0} is missing or malformed")]
    Member(&'static str),
}

/// A challenge whose request cannot be read is none of ours.
impl From<ChargeError> for ProblemType {
    fn from(_: ChargeError) -> Self {
        Self::InvalidChallenge
    }
}

impl ChargeRequest {
    /// A request with the members that every method needs.
    #[must_use]
    pub fn new(amount: Amount, currency: impl Into<String>) -> Self {
        Self {
            amount,
            currency: currency.into(),
            recipient: None,
            external_id: None,
            description: None,
            method_details: Map::new(),
        }
    }

    /// Writes the request as challenges carry it.
    ///
    /// # Errors
    /// When `currency` is empty, the method's members hold an integer above 2⁵³, or the whole is
    /// longer than [`MAX_REQUEST_BYTES`].
    pub fn encode(&self) -> Result<EncodedRequest, ChargeError> {
        if self.currency.is_empty() {
            return Err(ChargeError::Member("currency"));
        }
        if !self.method_details.values().all(jcs::is_portable) {
            return Err(ChargeError::Member("methodDetails"));
        }
        let text = jcs::encode(self).ok_or(ChargeError::Encoding)?;
        if text.len() > MAX_REQUEST_BYTES {
            return Err(ChargeError::Encoding);
        }
        Ok(EncodedRequest(text.into()))
    }

    /// Reads a request from a challenge. Members that this type does not know are ignored.
    ///
    /// # Errors
    /// When the text is no request, or a member has the wrong type.
    pub fn decode(text: &str) -> Result<Self, ChargeError> {
        let mut members = decode_object(text).ok_or(ChargeError::Encoding)?;
        let mut text = |name| match members.remove(name) {
            Some(Value::String(text)) => Ok(Some(text)),
            None => Ok(None),
            Some(_) => Err(ChargeError::Member(name)),
        };
        let amount = text("amount")?.ok_or(ChargeError::Member("amount"))?;
        let currency = text("currency")?.filter(|currency| !currency.is_empty());
        Ok(Self {
            amount: Amount::parse(&amount)?,
            currency: currency.ok_or(ChargeError::Member("currency"))?,
            recipient: text("recipient")?,
            external_id: text("externalId")?,
            description: text("description")?,
            method_details: match members.remove("methodDetails") {
                Some(Value::Object(details)) => details,
                None => Map::new(),
                Some(_) => return Err(ChargeError::Member("methodDetails")),
            },
        })
    }
}

/// A JSON object in base64url, of a length that a challenge may have.
pub(crate) fn decode_object(text: &str) -> Option<Map<String, Value>> {
    if text.len() > MAX_REQUEST_BYTES {
        return None;
    }
    parse_object(&base64url::decode(text.as_bytes())?).ok()
}

/// The text of a [`ChargeRequest`] in a challenge. Made once, cloned for a few nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EncodedRequest(Arc<str>);

impl EncodedRequest {
    /// Base64url of the canonical JSON, without padding.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(details: Value) -> ChargeRequest {
        let Value::Object(method_details) = details else {
            panic!("an object");
        };
        ChargeRequest {
            recipient: Some("0xaa".to_owned()),
            external_id: Some("order-7".to_owned()),
            method_details,
            ..ChargeRequest::new(Amount::new(1_250_000), "usd")
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let request = request(json!({ "chainId": 4217, "supportedModes": ["pull"] }));
        let encoded = request.encode().unwrap();
        assert_eq!(ChargeRequest::decode(encoded.as_str()), Ok(request));
    }

    #[test]
    fn an_integer_that_differs_between_implementations_is_not_written() {
        let exact = request(json!({ "a": [9_007_199_254_740_992_u64] }));
        assert!(exact.encode().is_ok());
        for integer in [json!(9_007_199_254_740_993_u64), json!(i64::MIN)] {
            let encoded = request(json!({ "a": [{ "b": integer }] })).encode();
            assert_eq!(encoded, Err(ChargeError::Member("methodDetails")));
        }
    }

    #[test]
    fn a_wrong_member_is_named() {
        for (member, wrong) in [
            ("amount", json!(5)),
            ("amount", json!("05")),
            ("amount", json!("+5")),
            ("amount", json!("-5")),
            ("amount", json!("")),
            ("amount", json!("1e3")),
            ("amount", json!(null)),
            ("currency", json!("")),
            ("recipient", json!(7)),
            ("externalId", json!(["x"])),
            ("description", json!({})),
            ("methodDetails", json!([])),
        ] {
            let mut json = serde_json::to_value(request(json!({}))).unwrap();
            json[member] = wrong;
            let text = base64url::encode(json.to_string().as_bytes());
            assert_eq!(
                ChargeRequest::decode(&text),
                Err(ChargeError::Member(member)),
                "{json}"
            );
        }
    }
}
