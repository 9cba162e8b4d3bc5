//! The protection space that challenges are issued for.

use std::fmt;

/// The name of a service as its challenges give it, usually its public host name.
///
/// Configured, never taken from a request: clients bind their payments to it, so it has to be the
/// same when a challenge is issued and when it comes back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Realm(String);

/// Why a text is no [`Realm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RealmError {
    /// Empty, or longer than [`Realm::MAX_BYTES`].
    #[error("a realm has 1 to {} characters", Realm::MAX_BYTES)]
    Length,
    /// Not printable ASCII, a blank at an end, a quote, a backslash, or the bar that separates what
    /// a challenge id binds.
    #[error("a realm is printable ASCII without quotes, backslashes, bars and outer blanks")]
    Character,
}

impl Realm {
    /// The most characters of a realm.
    pub const MAX_BYTES: usize = 255;

    /// Takes a realm that every published client reads alike.
    ///
    /// # Errors
    /// When the text breaks a rule of [`RealmError`].
    pub fn parse(text: &str) -> Result<Self, RealmError> {
        if text.is_empty() || text.len() > Self::MAX_BYTES {
            return Err(RealmError::Length);
        }
        let is_allowed =
            |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'|');
        if !text.bytes().all(is_allowed) || text.trim_ascii().len() != text.len() {
            return Err(RealmError::Character);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text of the realm.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_realms() {
        for text in ["compute.example", "127.0.0.1:8402", "a b", "x"] {
            assert_eq!(Realm::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_clients_read_differently_is_refused() {
        for text in ["a|b", "a\"b", "a\\b", "a\nb", "a\u{7f}", "ä", " a", "a "] {
            assert_eq!(Realm::parse(text), Err(RealmError::Character), "{text:?}");
        }
        for text in [String::new(), "a".repeat(256)] {
            assert_eq!(Realm::parse(&text), Err(RealmError::Length));
        }
    }
}
