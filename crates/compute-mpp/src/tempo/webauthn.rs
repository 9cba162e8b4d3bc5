//! Signatures by passkeys (WebAuthn): the key signs a statement that holds the digest.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use compute_wallet::{Digest32, EvmAddress};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::error::SignatureError;
use super::signature::P256Pair;

/// The chain takes at most 2 048 bytes after the type byte.
const MAX_BYTES: usize = 2048;
/// Hash of the relying party (32), flags (1), counter (4). The chain supports no extensions.
const AUTHENTICATOR_BYTES: usize = 37;
/// Where the flags are.
const FLAGS_AT: usize = 32;

/// The user was present, or verified, which implies it.
const PRESENT_OR_VERIFIED: u8 = 0x01 | 0x04;
/// A new credential, or extensions: neither belongs to an assertion.
const ATTESTED_OR_EXTENDED: u8 = 0x40 | 0x80;

/// `authenticatorData ‖ clientDataJSON` and a P-256 signature over both.
#[derive(Clone, PartialEq, Eq)]
pub struct WebAuthnSignature {
    statement: Vec<u8>,
    pair: P256Pair,
}

/// The members of the client data that matter; others are the browser's business.
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
}

impl WebAuthnSignature {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        let length = SignatureError::Length {
            found: bytes.len().saturating_add(1),
        };
        if bytes.len() > MAX_BYTES {
            return Err(length);
        }
        let (statement, pair) = bytes.split_last_chunk::<128>().ok_or(length)?;
        Ok(Self {
            statement: statement.to_vec(),
            pair: P256Pair::parse(pair)?,
        })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.statement.clone();
        bytes.extend(self.pair.to_bytes());
        bytes
    }

    pub(super) fn signer(&self, digest: &Digest32) -> Result<EvmAddress, SignatureError> {
        let (authenticator, client) =
            self.statement
                .split_at_checked(AUTHENTICATOR_BYTES)
                .ok_or(SignatureError::Passkey(
                    "the authenticator data is too short",
                ))?;
        let flags = authenticator.get(FLAGS_AT).copied().unwrap_or_default();
        if flags & PRESENT_OR_VERIFIED == 0 {
            return Err(SignatureError::Passkey("nobody was present"));
        }
        if flags & ATTESTED_OR_EXTENDED != 0 {
            return Err(SignatureError::Passkey(
                "the authenticator data has more parts",
            ));
        }
        let data: ClientData = serde_json::from_slice(client)
            .map_err(|_| SignatureError::Passkey("the client data is not readable"))?;
        if data.kind != "webauthn.get" {
            return Err(SignatureError::Passkey(
                "the client data is of another type",
            ));
        }
        if data.challenge != URL_SAFE_NO_PAD.encode(digest) {
            return Err(SignatureError::Passkey(
                "the client data has another challenge",
            ));
        }
        let mut signed = Sha256::new();
        signed.update(authenticator);
        signed.update(Sha256::digest(client));
        self.pair.signer(&signed.finalize().into())
    }
}

impl fmt::Debug for WebAuthnSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebAuthnSignature(..)")
    }
}
