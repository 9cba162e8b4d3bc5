//! Encryption at rest for one-time secrets: XChaCha20-Poly1305 with the row as associated data.
//!
//! A sealed value is `key id (1 byte) ‖ nonce (24 bytes) ‖ ciphertext and tag`.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use compute_domain::time::Entropy;
use secrecy::{ExposeSecret, SecretBox};

const NONCE_BYTES: usize = 24;

/// A sealed value does not open: another key, another row, or a damaged value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value does not open")]
pub struct SealError;

/// A key for secrets at rest, with the id that sealed values carry.
#[derive(Debug)]
pub struct SealingKey {
    /// Stays with the key for ever.
    pub id: u8,
    /// The key.
    pub key: SecretBox<[u8; 32]>,
}

/// Seals with the first key, opens with any: put a new key first to rotate.
#[derive(Debug)]
pub struct Sealer {
    first: SealingKey,
    older: Vec<SealingKey>,
}

impl Sealer {
    /// A sealer that seals with `first` and also opens what `older` sealed.
    pub const fn new(first: SealingKey, older: Vec<SealingKey>) -> Self {
        Self { first, older }
    }

    /// Seals a secret for the row that `context` names.
    ///
    /// # Errors
    /// When the secret is longer than the cipher allows.
    pub fn seal(
        &self,
        secret: &[u8],
        context: &str,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0_u8; NONCE_BYTES];
        entropy.fill(&mut nonce);
        let payload = Payload {
            msg: secret,
            aad: context.as_bytes(),
        };
        let ciphertext = cipher(&self.first)
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SealError)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + ciphertext.len());
        sealed.push(self.first.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        Ok(sealed)
    }

    /// Opens a secret sealed for the row that `context` names.
    ///
    /// # Errors
    /// When its key is not known, the row is another, or the value was changed.
    pub fn open(&self, sealed: &[u8], context: &str) -> Result<Vec<u8>, SealError> {
        let (id, rest) = sealed.split_first().ok_or(SealError)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(SealError)?;
        let key = core::iter::once(&self.first)
            .chain(&self.older)
            .find(|key| key.id == *id)
            .ok_or(SealError)?;
        let payload = Payload {
            msg: ciphertext,
            aad: context.as_bytes(),
        };
        cipher(key)
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| SealError)
    }
}

fn cipher(key: &SealingKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(*key.key.expose_secret()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Counting(std::sync::atomic::AtomicU8);
    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        }
    }

    fn key(id: u8) -> SealingKey {
        SealingKey {
            id,
            key: SecretBox::new(Box::new([id; 32])),
        }
    }

    #[test]
    fn only_the_same_row_and_key_open_it() {
        let entropy = Counting(0.into());
        let sealer = Sealer::new(key(1), vec![]);
        let sealed = sealer
            .seal(b"secret", "root_passwords/7", &entropy)
            .unwrap();
        assert_eq!(sealer.open(&sealed, "root_passwords/7").unwrap(), b"secret");
        assert_eq!(sealer.open(&sealed, "root_passwords/8"), Err(SealError));
        assert_eq!(
            Sealer::new(key(2), vec![]).open(&sealed, "root_passwords/7"),
            Err(SealError)
        );
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
    }

    #[test]
    fn rotation_keeps_old_values_readable_and_seals_anew() {
        let entropy = Counting(0.into());
        let old = Sealer::new(key(1), vec![])
            .seal(b"x", "row", &entropy)
            .unwrap();
        let rotated = Sealer::new(key(2), vec![key(1)]);
        assert_eq!(rotated.open(&old, "row").unwrap(), b"x");
        assert_eq!(
            rotated.seal(b"x", "row", &entropy).unwrap().first(),
            Some(&2)
        );
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        let sealer = Sealer::new(key(1), vec![]);
        let sealed = sealer.seal(b"secret", "row", &Counting(0.into())).unwrap();
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert_eq!(sealer.open(&changed, "row"), Err(SealError), "byte {index}");
        }
        assert_eq!(sealer.open(&[], "row"), Err(SealError));
        assert_eq!(sealer.open(&[1; 10], "row"), Err(SealError));
    }
}
