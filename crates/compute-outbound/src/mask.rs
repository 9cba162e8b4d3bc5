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

/// The same of what stands in a URL without being called a key.
const SHORTEST_IN_URL: usize = 20;

/// What keys in a query are called, in small letters.
const NAMES: &[&str] = &["key", "token", "secret", "auth"];

/// Stands in the place of every byte of a credential, so that JSON stays JSON.
const BLANK: u8 = b'*';

/// What an answer must not hold.
#[derive(Clone, Default)]
pub(crate) struct Mask {
    secrets: Vec<SecretString>,
}

impl Mask {
    /// The keys that node providers have their customers write into the URL. What names a network or a product there
    /// may stand in every answer, and is left alone.
    pub(crate) fn of_url(url: &Url) -> Self {
        let mut mask = Self::default();
        let segments = url.path_segments().into_iter().flatten();
        for segment in segments.filter(|segment| looks_like_key(segment)) {
            mask.add(segment);
        }
        for (name, value) in url.query_pairs() {
            let name = name.to_ascii_lowercase();
            if NAMES.iter().any(|own| name.contains(own)) || looks_like_key(&value) {
                mask.add(&value);
            }
        }
        mask
    }

    /// Takes one more text for a credential.
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.len() < SHORTEST_KEY {
            return;
        }
        self.secrets.push(secret.into());
        // Some write a slash in JSON so.
        if secret.contains('/') {
            self.secrets.push(secret.replace('/', "\\/").into());
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

/// Long, with digits in it, and not made of words.
fn looks_like_key(text: &str) -> bool {
    let count = |is: fn(&u8) -> bool| text.bytes().filter(is).count();
    let is_one_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_id = text
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let is_mixed = count(u8::is_ascii_uppercase) > 0 && count(u8::is_ascii_lowercase) > 0;
    text.len() >= SHORTEST_IN_URL
        && count(u8::is_ascii_digit) >= 2
        && (is_one_word || is_id || is_mixed)
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
        let node =
            mask("https://node.example/v3/0123456789abcdef0123?apikey=abcdef0123456789&page=2");
        assert_eq!(node.secrets.len(), 2);
        check(
            &node,
            r#"{"error":"0123456789abcdef0123 or abcdef0123456789, page 2"}"#,
            r#"{"error":"******************** or ****************, page 2"}"#,
        );
    }

    #[test]
    fn a_key_is_known_by_its_name_or_by_its_looks() {
        for (url, keys) in [
            (
                "https://node.example/v3/0123456789abcdef0123456789abcdef",
                1,
            ),
            ("https://node.example/v2/aB3-_xYz9876543210qRsTuVw", 1),
            (
                "https://node.example/01a22d72-4f73-76fe-993f-22604f71a1de",
                1,
            ),
            ("https://node.example/?api-key=of-twelve-letters", 1),
            ("https://node.example/?access_token=of-twelve-letters", 1),
            ("https://node.example/x402-compute-marketplace-2/v2", 0),
            ("https://node.example/platform/v2/x402", 0),
            ("https://node.example/?network=base-sepolia", 0),
            ("https://node.example/?network=eip155:84532", 0),
            ("https://node.example/?key=short", 0),
        ] {
            assert_eq!(mask(url).secrets.len(), keys, "{url}");
        }
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
        mask.add("slashes/in/a/token");
        check(&mask, "ababababab-ababababab", "*********************");
        check(
            &mask,
            "ababababab-ab, ababababab-ab",
            "*************, *************",
        );
        check(
            &mask,
            r#""slashes\/in\/a\/token""#,
            r#""*********************""#,
        );
        assert_eq!(format!("{mask:?}"), "Mask(4)");
    }
}
