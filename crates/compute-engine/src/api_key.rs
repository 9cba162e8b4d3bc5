//! The text of an API key and its keyed hash.
//!
//! `x402c_` + 43 base62 characters (256 random bits) + 6 base62 characters of CRC-32, so that junk
//! and mistyped keys are refused without a look at the database.

use compute_domain::time::Entropy;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::Sha256;

const PREFIX: &str = "x402c_";
const BODY_CHARS: usize = 43;
const CHECK_CHARS: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A new key text and its last four characters.
pub(crate) fn generate(entropy: &dyn Entropy) -> (SecretString, String) {
    let mut body = String::with_capacity(BODY_CHARS);
    let mut pool = [0_u8; 64];
    while body.len() < BODY_CHARS {
        entropy.fill(&mut pool);
        // 248 = 4 × 62: dropping the rest keeps every character equally likely.
        let fair = pool.iter().filter(|byte| **byte < 248);
        for byte in fair.take(BODY_CHARS - body.len()) {
            body.push(base62(u32::from(*byte)));
        }
    }
    let text = format!("{PREFIX}{body}{}", checksum(&body));
    let last4 = text.get(text.len() - 4..).unwrap_or_default().to_owned();
    (SecretString::from(text), last4)
}

/// Whether the text has the form of a key and a matching checksum.
pub(crate) fn is_well_formed(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(PREFIX) else {
        return false;
    };
    if rest.len() != BODY_CHARS + CHECK_CHARS || !rest.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return false;
    }
    let (body, check) = rest.split_at(BODY_CHARS);
    checksum(body) == check
}

/// What is stored instead of the key: an HMAC-SHA-256 of its text.
pub(crate) fn keyed_hash(text: &str, pepper: &SecretBox<[u8; 32]>) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(pepper.expose_secret())
        .expect("an HMAC key may have any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut reversed = [0_u8; CHECK_CHARS];
    for slot in reversed.iter_mut().rev() {
        *slot = u8::try_from(rest % 62).unwrap_or(0);
        rest /= 62;
    }
    reversed
        .iter()
        .map(|digit| base62(u32::from(*digit)))
        .collect()
}

fn base62(value: u32) -> char {
    let index = usize::try_from(value % 62).unwrap_or(0);
    ALPHABET.get(index).map_or('0', |byte| char::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Counter(std::sync::atomic::AtomicU8);
    impl Entropy for Counter {
        fn fill(&self, bytes: &mut [u8]) {
            for byte in bytes {
                *byte = self.0.fetch_add(97, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn a_key_has_the_published_form_and_its_checksum() {
        let (text, last4) = generate(&Counter(5.into()));
        let text = text.expose_secret();
        assert_eq!(text.len(), 6 + 43 + 6);
        assert!(is_well_formed(text) && text.ends_with(&last4));
    }

    #[test]
    fn a_mistyped_key_is_junk() {
        let (text, _) = generate(&Counter(5.into()));
        let text = text.expose_secret();
        for index in 6..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[index] = if bytes[index] == b'a' { b'b' } else { b'a' };
            assert!(
                !is_well_formed(core::str::from_utf8(&bytes).unwrap()),
                "position {index}"
            );
        }
        for junk in [
            "",
            "x402c_",
            "x402c_short",
            &text[..54],
            &format!("{text}0"),
        ] {
            assert!(!is_well_formed(junk), "{junk}");
        }
    }

    #[test]
    fn the_hash_depends_on_the_pepper() {
        let pepper = |byte| SecretBox::new(Box::new([byte; 32]));
        assert_ne!(
            keyed_hash("x402c_a", &pepper(1)),
            keyed_hash("x402c_a", &pepper(2))
        );
        assert_eq!(
            keyed_hash("x402c_a", &pepper(1)),
            keyed_hash("x402c_a", &pepper(1))
        );
    }
}
