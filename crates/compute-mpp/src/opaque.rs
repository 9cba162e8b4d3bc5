//! What a seller binds into a challenge for itself.

use std::collections::BTreeMap;

use crate::charge::decode_object;
use crate::{base64url, jcs};

/// A flat map of texts that a client returns as it came.
///
/// A challenge id is a function of the challenge, so two equal offers in one millisecond would share
/// theirs and one payment would pay both. A nonce keeps them apart; the name of the operation keeps
/// the challenge of one route from being paid on another with the same price.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opaque(BTreeMap<String, String>);

/// The member that makes a challenge unique.
const NONCE: &str = "n";
/// The member that says what is paid for.
const OPERATION: &str = "op";

impl Opaque {
    /// A map with a nonce of 16 random bytes and the operation that is paid for, such as `provision`
    /// or `extend:<id>`.
    #[must_use]
    pub fn new(nonce: &[u8; 16], operation: &str) -> Self {
        Self::default()
            .with(NONCE, base64url::encode(nonce))
            .with(OPERATION, operation)
    }

    /// The map with one member more.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The value of a member.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// What is paid for.
    #[must_use]
    pub fn operation(&self) -> Option<&str> {
        self.get(OPERATION)
    }

    /// Base64url of the canonical JSON, without padding.
    #[must_use]
    pub fn encode(&self) -> String {
        // A map of texts is always JSON.
        jcs::encode(&self.0).unwrap_or_default()
    }

    /// Reads the text of a challenge: `None` when it is no flat map of texts.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let members = decode_object(text)?.into_iter();
        let members = members.map(|(name, value)| match value {
            serde_json::Value::String(value) => Some((name, value)),
            _ => None,
        });
        members.collect::<Option<_>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let opaque = Opaque::new(&[7; 16], "extend:ä").with("quote", "q_1");
        assert_eq!(Opaque::decode(&opaque.encode()), Some(opaque.clone()));
        assert_eq!(opaque.operation(), Some("extend:ä"));
        assert_eq!(opaque.get("n").map(str::len), Some(22));
    }

    #[test]
    fn only_flat_maps_of_texts_are_read() {
        for json in [
            r#"{"n":1}"#,
            r#"{"n":{}}"#,
            "[]",
            "x",
            r#"{"n":"1","n":"2"}"#,
        ] {
            let text = base64url::encode(json.as_bytes());
            assert_eq!(Opaque::decode(&text), None, "{json}");
        }
    }
}
