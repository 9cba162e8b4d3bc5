//! Who signed a transaction: the forms of sender signatures that the chain accepts.

use std::fmt;

use compute_wallet::{Digest32, EvmAddress, EvmSignature, keccak256, recover_digest};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::error::SignatureError;
use super::webauthn::WebAuthnSignature;

const P256: u8 = 0x01;
const WEBAUTHN: u8 = 0x02;
const KEYCHAIN_V1: u8 = 0x03;
const KEYCHAIN_V2: u8 = 0x04;
const MULTISIG: u8 = 0x05;

/// The signature of the sender of a transaction.
#[derive(Clone, PartialEq, Eq)]
pub enum SenderSignature {
    /// Made by the key of the account itself.
    Own(KeySignature),
    /// Made by an access key. Whether the account allowed it to spend is known to the chain only.
    Keychain {
        /// The account in whose name the key signs.
        root: EvmAddress,
        /// The signature of the access key.
        inner: KeySignature,
    },
}

/// A signature by one key.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySignature {
    /// The plain signature of EVM accounts.
    Secp256k1(EvmSignature),
    /// P-256, as hardware keys and web browsers make it.
    P256(P256Signature),
    /// A passkey.
    WebAuthn(WebAuthnSignature),
}

/// A P-256 signature with the public key that made it.
#[derive(Clone, PartialEq, Eq)]
pub struct P256Signature {
    pair: P256Pair,
    /// The key signed the SHA-256 of the digest instead of the digest.
    prehash: bool,
}

/// `r ‖ s ‖ x ‖ y`: values in range, low `s`, a point on the curve.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct P256Pair {
    signature: Signature,
    key: VerifyingKey,
}

impl SenderSignature {
    /// Reads the last item of a transaction.
    ///
    /// # Errors
    /// When the type is unknown or refused, or a value breaks a rule of its type.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        match bytes {
            [KEYCHAIN_V2, rest @ ..] if bytes.len() != 65 => {
                let (root, inner) = rest
                    .split_first_chunk::<20>()
                    .ok_or(SignatureError::Length { found: bytes.len() })?;
                let inner = match KeySignature::parse(inner) {
                    Err(SignatureError::KeychainV1) => Err(SignatureError::NestedKeychain),
                    other => other,
                }?;
                Ok(Self::Keychain {
                    root: EvmAddress::new(*root),
                    inner,
                })
            }
            _ => KeySignature::parse(bytes).map(Self::Own),
        }
    }

    /// The canonical bytes: the recovery value of a plain signature is 27 or 28, also inside a keychain.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Own(signature) => signature.to_bytes(),
            Self::Keychain { root, inner } => {
                let mut bytes = vec![KEYCHAIN_V2];
                bytes.extend_from_slice(root.as_bytes());
                bytes.extend(inner.to_bytes());
                bytes
            }
        }
    }

    /// The account that sends a transaction with this sender hash.
    ///
    /// # Errors
    /// When the signature was made over something else.
    pub fn sender(&self, hash: &Digest32) -> Result<EvmAddress, SignatureError> {
        match self {
            Self::Own(signature) => signature.signer(hash),
            Self::Keychain { root, inner } => {
                inner.signer(&keychain_digest(hash, root))?;
                Ok(*root)
            }
        }
    }
}

impl KeySignature {
    fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        if let Ok(plain) = <&[u8; 65]>::try_from(bytes) {
            return EvmSignature::from_bytes(plain)
                .map(Self::Secp256k1)
                .map_err(SignatureError::Secp256k1);
        }
        match bytes {
            [P256, rest @ ..] => P256Signature::parse(rest).map(Self::P256),
            [WEBAUTHN, rest @ ..] => WebAuthnSignature::parse(rest).map(Self::WebAuthn),
            [KEYCHAIN_V1, ..] => Err(SignatureError::KeychainV1),
            // Only reached inside a keychain.
            [KEYCHAIN_V2, ..] => Err(SignatureError::NestedKeychain),
            [MULTISIG, ..] => Err(SignatureError::Multisig),
            _ => Err(SignatureError::UnknownType),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Secp256k1(signature) => signature.to_bytes().to_vec(),
            Self::P256(signature) => {
                let mut bytes = vec![P256];
                bytes.extend(signature.pair.to_bytes());
                bytes.push(u8::from(signature.prehash));
                bytes
            }
            Self::WebAuthn(signature) => {
                let mut bytes = vec![WEBAUTHN];
                bytes.extend(signature.to_bytes());
                bytes
            }
        }
    }

    fn signer(&self, digest: &Digest32) -> Result<EvmAddress, SignatureError> {
        match self {
            Self::Secp256k1(signature) => {
                recover_digest(digest, signature).map_err(SignatureError::Secp256k1)
            }
            Self::P256(signature) if signature.prehash => {
                signature.pair.signer(&Sha256::digest(digest).into())
            }
            Self::P256(signature) => signature.pair.signer(digest),
            Self::WebAuthn(signature) => signature.signer(digest),
        }
    }
}

impl P256Signature {
    /// Puts together what a key made over the sender hash, or over its SHA-256 when `prehash` is set.
    /// A high `s` is replaced by its low twin, which is as good.
    #[must_use]
    pub fn new(signature: Signature, key: VerifyingKey, prehash: bool) -> Self {
        let signature = signature.normalize_s().unwrap_or(signature);
        Self {
            pair: P256Pair { signature, key },
            prehash,
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        let Some((pair, [flag])) = bytes.split_first_chunk::<128>() else {
            return Err(SignatureError::Length {
                found: bytes.len().saturating_add(1),
            });
        };
        let prehash = match flag {
            0 => false,
            1 => true,
            _ => return Err(SignatureError::PrehashFlag),
        };
        Ok(Self {
            pair: P256Pair::parse(pair)?,
            prehash,
        })
    }
}

impl P256Pair {
    pub(super) fn parse(bytes: &[u8; 128]) -> Result<Self, SignatureError> {
        let (signature, point) = bytes.split_at(64);
        let signature = Signature::from_slice(signature).map_err(|_| SignatureError::OutOfRange)?;
        if signature.normalize_s().is_some() {
            return Err(SignatureError::HighS);
        }
        // 0x04 says that both coordinates follow.
        let mut sec1 = vec![0x04];
        sec1.extend_from_slice(point);
        let key = VerifyingKey::from_sec1_bytes(&sec1).map_err(|_| SignatureError::NotOnCurve)?;
        Ok(Self { signature, key })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.signature.to_bytes().to_vec();
        bytes.extend(self.point());
        bytes
    }

    /// The account of the key, when the key signed this digest.
    pub(super) fn signer(&self, digest: &Digest32) -> Result<EvmAddress, SignatureError> {
        self.key
            .verify_prehash(digest, &self.signature)
            .map_err(|_| SignatureError::NotSigner)?;
        let hash = keccak256(&self.point());
        let mut address = [0_u8; 20];
        for (slot, byte) in address.iter_mut().zip(hash.into_iter().skip(12)) {
            *slot = byte;
        }
        Ok(EvmAddress::new(address))
    }

    /// `x ‖ y`.
    fn point(&self) -> Vec<u8> {
        let sec1 = self.key.to_encoded_point(false);
        sec1.as_bytes().get(1..).unwrap_or_default().to_vec()
    }
}

/// What an access key signs for a transaction of its root account.
fn keychain_digest(hash: &Digest32, root: &EvmAddress) -> Digest32 {
    let mut bytes = vec![KEYCHAIN_V2];
    bytes.extend_from_slice(hash);
    bytes.extend_from_slice(root.as_bytes());
    keccak256(&bytes)
}

/// A signed payment is a bearer instrument, so logs never see what makes it one.
macro_rules! hidden {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}
hidden!(SenderSignature, KeySignature, P256Signature);
