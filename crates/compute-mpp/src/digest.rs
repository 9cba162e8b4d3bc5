//! What ties a challenge to the body of the request that it answers.

use base64_simd::STANDARD;
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a request body, written `sha-256=<base64 with padding>`.
///
/// A challenge that binds one cannot be paid with another body: it stops whoever pays for the small
/// plan and asks for the large one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyDigest(String);

impl BodyDigest {
    pub(crate) const PREFIX: &str = "sha-256=";

    /// The digest of the exact bytes of a body, before anything parses them. An empty body has none.
    #[must_use]
    pub fn of(body: &[u8]) -> Option<Self> {
        if body.is_empty() {
            return None;
        }
        let mut text = String::with_capacity(Self::PREFIX.len() + 44);
        text.push_str(Self::PREFIX);
        STANDARD.encode_append(Sha256::digest(body), &mut text);
        Some(Self(text))
    }

    /// The text as challenges have it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_body_has_no_digest() {
        assert_eq!(BodyDigest::of(b""), None);
    }

    #[test]
    fn one_blank_more_is_another_body() {
        assert_ne!(BodyDigest::of(b"{}"), BodyDigest::of(b"{} "));
    }
}
