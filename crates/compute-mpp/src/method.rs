//! Names of payment methods, and the intent.

use std::borrow::Cow;
use std::fmt;

/// The one intent of this crate: a payment that is made once.
pub const CHARGE: &str = "charge";

/// The name of a way to pay: a lower-case letter, then lower-case letters, digits, `:`, `_` and `-`.
///
/// The specification has letters only; published implementations take the rest as well.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Method(Cow<'static, str>);

/// A text is no name of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a method is a lower-case letter, then at most 63 of a-z, 0-9, ':', '_' and '-'")]
pub struct MethodError;

impl Method {
    /// A transfer of a stablecoin on the Tempo chain.
    pub const TEMPO: Self = Self(Cow::Borrowed("tempo"));
    /// A card, through a Shared Payment Token.
    pub const STRIPE: Self = Self(Cow::Borrowed("stripe"));

    /// The most characters of a name.
    pub const MAX_BYTES: usize = 64;

    /// Takes a name.
    ///
    /// # Errors
    /// When the text is none.
    pub fn parse(text: &str) -> Result<Self, MethodError> {
        if is_name(text) {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(MethodError)
        }
    }

    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Methods and intents have one grammar.
pub(crate) fn is_name(text: &str) -> bool {
    let is_rest = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b':' | b'_' | b'-');
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.len() <= Method::MAX_BYTES
        && text.bytes().all(is_rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_methods() {
        assert_eq!(Method::parse("tempo"), Ok(Method::TEMPO));
        for text in ["a", "evm:8453", "card_present", "x-1"] {
            assert_eq!(Method::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "Tempo", "1a", "-a", "a|b", "a b", "ä", &"a".repeat(65)] {
            assert_eq!(Method::parse(text), Err(MethodError), "{text:?}");
        }
    }
}
