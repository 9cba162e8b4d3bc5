//! The credentials of Coinbase's facilitator (x402 reference, "CDP authentication"): a token that
//! we sign for each single request, and that is good for this request only.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use compute_domain::time::{Entropy, Timestamp};
use compute_outbound::Method;
use ed25519_dalek::Signer as _;
use p256::pkcs8::DecodePrivateKey as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use zeroize::Zeroizing;

/// How long a token is good for: what the vendor's own libraries ask for.
const LIFE_S: u64 = 120;

/// Longest key id. Real ones have about 100 characters.
const MAX_ID_CHARS: usize = 512;

const SEC1_HEADER: &str = "-----BEGIN EC PRIVATE KEY-----";

/// A key of the Coinbase Developer Platform. It prints without its secret and is wiped when dropped.
#[derive(Clone)]
pub struct CdpKey {
    id: String,
    signer: Signer,
    audience: Vec<String>,
}

// Both kinds of key wipe themselves when they are dropped.
#[derive(Clone)]
enum Signer {
    Ed25519(ed25519_dalek::SigningKey),
    Es256(p256::ecdsa::SigningKey),
}

/// Why a key cannot be used. No variant repeats any part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CdpKeyError {
    /// The key id is empty, too long or not plain text.
    #[error("must be the id of the key: 1 to 512 visible ASCII characters")]
    Id,
    /// The secret is no key of a known kind.
    #[error("must be a P-256 key in PEM form, or the base64 text of an Ed25519 key (64 bytes)")]
    Secret,
}

impl CdpKey {
    /// Reads a key as the vendor issued it: an EC key in PEM form (PKCS#8 or SEC1), or the base64
    /// text of 64 bytes, seed and public half of an Ed25519 key. Line breaks may be written as
    /// `\n`, as environment variables often hold them.
    ///
    /// # Errors
    /// [`CdpKeyError`] says which part cannot be used, without repeating it.
    pub fn parse(id: &str, secret: &SecretString) -> Result<Self, CdpKeyError> {
        let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_id || id.len() > MAX_ID_CHARS {
            return Err(CdpKeyError::Id);
        }
        let text = Zeroizing::new(secret.expose_secret().replace("\\n", "\n"));
        let signer = if text.contains("-----BEGIN") {
            read_pem(&text)
        } else {
            read_ed25519(text.trim())
        };
        Ok(Self {
            id: id.to_owned(),
            signer: signer.ok_or(CdpKeyError::Secret)?,
            audience: Vec::new(),
        })
    }

    /// The same key with an audience for its tokens; without one they name none.
    #[must_use]
    pub fn with_audience(mut self, audience: Vec<String>) -> Self {
        self.audience = audience;
        self
    }

    /// A token for one request to `target`, which is host and full path without the scheme.
    pub(crate) fn token(
        &self,
        method: &Method,
        target: &str,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<SecretString, serde_json::Error> {
        let mut nonce = [0_u8; 16];
        entropy.fill(&mut nonce);
        let header = Header {
            alg: self.signer.algorithm(),
            kid: &self.id,
            typ: "JWT",
            nonce: hex::encode(nonce),
        };
        let now_s = now.secs();
        let claims = Claims {
            sub: &self.id,
            iss: "cdp",
            aud: &self.audience,
            uris: [format!("{method} {target}")],
            iat: now_s,
            nbf: now_s,
            exp: now_s.saturating_add(LIFE_S),
        };
        let message = format!("{}.{}", encode(&header)?, encode(&claims)?);
        let signature = self.signer.sign(message.as_bytes());
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
    }
}

impl Signer {
    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::Es256(_) => "ES256",
        }
    }

    // ES256 wants the two numbers one after the other, not their DER form (RFC 7518, 3.4).
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        match self {
            Self::Ed25519(key) => key.sign(message).to_bytes(),
            Self::Es256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().into()
            }
        }
    }
}

fn read_pem(text: &str) -> Option<Signer> {
    // `openssl ecparam -genkey` writes the curve in a block of its own before the key.
    let key = match text.find(SEC1_HEADER) {
        Some(start) => p256::SecretKey::from_sec1_pem(text.get(start..)?.trim()).ok()?,
        None => p256::SecretKey::from_pkcs8_pem(text.trim()).ok()?,
    };
    Some(Signer::Es256(key.into()))
}

fn read_ed25519(text: &str) -> Option<Signer> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    let pair: &[u8; 64] = bytes.as_slice().try_into().ok()?;
    // This also refuses a public half that does not belong to the seed.
    let key = ed25519_dalek::SigningKey::from_keypair_bytes(pair).ok()?;
    Some(Signer::Ed25519(key))
}

fn encode(part: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(part)?))
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    kid: &'a str,
    typ: &'static str,
    nonce: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    iss: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    aud: &'a [String],
    uris: [String; 1],
    iat: u64,
    nbf: u64,
    exp: u64,
}

impl fmt::Debug for CdpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CdpKey")
            .field("algorithm", &self.signer.algorithm())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "cdp/tests.rs"]
mod tests;
