//! Peers that repeat our own credentials in what they answer.
//!
//! The text of a refusal goes into logs and into the history of an operation. Some peers put the key that they refuse
//! into it, so the key is taken out of every answer before anybody reads it.

use std::fmt;

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

/// Shorter texts are no keys, and may well stand in an answer for another reason.
const SHORTEST_KEY: usize = 12;

/// Names of paths are shorter.
const SHORTEST_KEY_IN_PATH: usize = 20;

/// Stands in the place of every byte of a credential, so that JSON stays JSON.
const BLANK: u8 = b'*';

/// What an answer must not hold.
#[derive(Clone, Default)]
pub(crate) struct Mask {
    secrets: Vec<SecretString>,
}

impl Mask {
    /// The keys that node providers have their customers write into the URL.
    pub(crate) fn of_url(url: &Url) -> Self {
        let mut mask = Self::default();
        let segments = url.path_segments().into_iter().flatten();
        for segment in segments.filter(|segment| segment.len() >= SHORTEST_KEY_IN_PATH) {
            mask.add(segment);
        }
        for (_, value) in url.query_pairs() {
            mask.add(&value);
        }
        mask
    }

    /// Takes one more text for a credential.
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.len() >= SHORTEST_KEY {
            self.secrets.push(secret.into());
        }
    }

    /// The text without any of them.
    pub(crate) fn apply(&self, body: Bytes) -> Bytes {
        let mut places = Vec::new();
        for secret in &self.secrets {
            let needle = secret.expose_secret().as_bytes();
            let found = memmem::find_iter(&body, needle);
            places.extend(found.map(|start| start..start.saturating_add(needle.len())));
        }
        if places.is_empty() {
            return body;
        }
        let mut blanked = BytesMut::from(body);
        for place in places {
            if let Some(bytes) = blanked.get_mut(place) {
                bytes.fill(BLANK);
            }
        }
        blanked.freeze()
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({})", self.secrets.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(url: &str) -> Mask {
        Mask::of_url(&url.parse().unwrap())
    }

    fn check(mask: &Mask, body: &'static str, expected: &str) {
        assert_eq!(mask.apply(Bytes::from(body)), expected);
    }

    #[test]
    fn keys_of_a_url_are_known() {
        let node = mask("https://node.example/v3/0123456789abcdef0123?api=abcdef0123456789&page=2");
        assert_eq!(node.secrets.len(), 2);
        check(
            &node,
            r#"{"error":"0123456789abcdef0123 or abcdef0123456789, page 2"}"#,
            r#"{"error":"******************** or ****************, page 2"}"#,
        );
    }

    #[test]
    fn what_holds_no_credential_is_left_as_it_is() {
        let mut mask = mask("https://api.example/platform/v2?version=2");
        mask.add("short");
        assert!(mask.secrets.is_empty());
        mask.add("a-long-token-of-a-vendor");
        check(&mask, "a-long-token-of-a-vendo", "a-long-token-of-a-vendo");
        check(&mask, "", "");
    }

    #[test]
    fn every_place_is_blanked_and_nothing_is_shown() {
        let mut mask = Mask::default();
        mask.add("ababababab-ab");
        mask.add("ab-ababababab");
        check(&mask, "ababababab-ababababab", "*********************");
        check(
            &mask,
            "ababababab-ab, ababababab-ab",
            "*************, *************",
        );
        assert_eq!(format!("{mask:?}"), "Mask(2)");
    }
}
