//! The secret that binds challenges to whoever issued them.

use std::fmt;

use hmac::{Hmac, KeyInit as _};
use sha2::Sha256;
use zeroize::ZeroizeOnDrop;

pub(crate) type HmacSha256 = Hmac<Sha256>;

/// A key of at least 32 bytes under which challenge ids are made.
///
/// Whoever knows it can forge challenges, that is, name any price. It is kept as the keyed state of
/// the hash, wiped when dropped, shown by nothing, and compared with nothing.
pub struct Secret(HmacSha256);

/// The key is too short to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a challenge secret has at least {} bytes", Secret::MIN_BYTES)]
pub struct SecretError;

impl Secret {
    /// The fewest bytes of a secret; published servers refuse shorter ones too.
    pub const MIN_BYTES: usize = 32;

    /// Takes the bytes of a key. For a text these are its UTF-8 bytes, as published servers have it.
    ///
    /// # Errors
    /// When there are fewer than [`Secret::MIN_BYTES`].
    pub fn new(bytes: &[u8]) -> Result<Self, SecretError> {
        if bytes.len() < Self::MIN_BYTES {
            return Err(SecretError);
        }
        HmacSha256::new_from_slice(bytes)
            .map(Self)
            .map_err(|_| SecretError)
    }

    /// A fresh computation under this key.
    pub(crate) fn mac(&self) -> HmacSha256 {
        self.0.clone()
    }
}

// The keyed state wipes itself: the feature `zeroize` of its crates.
impl ZeroizeOnDrop for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The secret that challenges are issued under, and the one before it.
///
/// Keep the previous one until the last challenge that it issued has expired: whoever was told a
/// price before a rotation can still pay it.
#[derive(Debug)]
pub struct Secrets {
    /// Issues, and is believed.
    pub current: Secret,
    /// Is believed.
    pub previous: Option<Secret>,
}

impl Secrets {
    /// One secret, with none before it.
    #[must_use]
    pub const fn new(current: Secret) -> Self {
        Self {
            current,
            previous: None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_secret_is_refused() {
        assert!(Secret::new(&[7; 31]).is_err());
        assert!(Secret::new(&[7; 32]).is_ok());
    }

    #[test]
    fn no_secret_is_shown() {
        let secrets = Secrets::new(Secret::new(&[b'S'; 40]).unwrap());
        assert_eq!(
            format!("{secrets:?}"),
            "Secrets { current: Secret(..), previous: None }"
        );
    }

    #[test]
    fn what_the_keyed_state_is_made_of_wipes_itself() {
        const fn wipes_itself<T: ZeroizeOnDrop>() {}
        // `Hmac` has no marker of its own; it is made of two states of its hash.
        wipes_itself::<Sha256>();
    }
}
