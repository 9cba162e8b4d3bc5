//! What a seller hands out when it was paid.

use serde_json::{Map, Value};

use crate::method::{Method, is_name};
use crate::strict_json::parse_object;
use crate::{base64url, timestamp};

/// The field that carries a receipt, on successful answers alone.
pub const FIELD: &str = "Payment-Receipt";

/// The longest receipt that is read, in characters of base64url.
const MAX_RECEIPT_BYTES: usize = 16 * 1024;

/// Proof that a challenge was paid. The only status of a receipt is success.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    method: String,
    reference: String,
    timestamp: String,
    external_id: Option<String>,
    others: Map<String, Value>,
}

/// Why a text is no receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not base64url of one JSON object, or longer than 16 KiB.
    #[error("the receipt is not base64url of a JSON object")]
    Encoding,
    /// A member is missing or malformed.
    #[error("the receipt's member {0} is missing or malformed")]
    Member(&'static str),
}

impl Receipt {
    /// A receipt for what was settled at `settled_s` (unix seconds). `reference` is the method's
    /// name of the payment: the hash of a transaction, the id of a PaymentIntent.
    #[must_use]
    pub fn new(method: &Method, reference: impl Into<String>, settled_s: u64) -> Self {
        Self {
            method: method.as_str().to_owned(),
            reference: reference.into(),
            timestamp: timestamp::write(settled_s),
            external_id: None,
            others: Map::new(),
        }
    }

    /// The same with what the seller called the payment in its request.
    #[must_use]
    pub fn with_external_id(mut self, external_id: Option<impl Into<String>>) -> Self {
        self.external_id = external_id.map(Into::into);
        self
    }

    /// The value of the field.
    #[must_use]
    pub fn encode(&self) -> String {
        base64url::encode(self.to_json().to_string().as_bytes())
    }

    /// The document.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut members = self.others.clone();
        let mut insert = |name: &str, text: &str| members.insert(name.to_owned(), text.into());
        insert("method", &self.method);
        insert("reference", &self.reference);
        insert("status", "success");
        insert("timestamp", &self.timestamp);
        if let Some(external_id) = &self.external_id {
            insert("externalId", external_id);
        }
        Value::Object(members)
    }

    /// Reads the value of the field. Unknown members survive.
    ///
    /// # Errors
    /// When the text is no receipt of a success.
    pub fn decode(text: &str) -> Result<Self, ReceiptError> {
        if text.len() > MAX_RECEIPT_BYTES {
            return Err(ReceiptError::Encoding);
        }
        let json = base64url::decode(text.trim_ascii().as_bytes()).ok_or(ReceiptError::Encoding)?;
        let mut members = parse_object(&json).map_err(|_| ReceiptError::Encoding)?;
        let mut text = |name| match members.remove(name) {
            Some(Value::String(text)) => Ok(Some(text)),
            None => Ok(None),
            Some(_) => Err(ReceiptError::Member(name)),
        };
        let mut required = |name, is_right: fn(&str) -> bool| {
            text(name)?
                .filter(|text| is_right(text))
                .ok_or(ReceiptError::Member(name))
        };
        required("status", |status| status == "success")?;
        Ok(Self {
            method: required("method", is_name)?,
            reference: required("reference", |reference| !reference.is_empty())?,
            timestamp: required("timestamp", |at| timestamp::parse(at).is_some())?,
            external_id: text("externalId")?,
            others: members,
        })
    }

    /// The name of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The method's name of the payment.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// When it was settled (RFC 3339).
    #[must_use]
    pub fn timestamp(&self) -> &str {
        &self.timestamp
    }

    /// What the seller called the payment.
    #[must_use]
    pub fn external_id(&self) -> Option<&str> {
        self.external_id.as_deref()
    }
}
