//! Who asks: a wallet that signs each request, an API key, or nobody.

use std::fmt;
use std::sync::Arc;

use compute_wallet::{EvmKey, auth_message, keccak256};
use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

use crate::clock::{now_ms, random};
use crate::shop::ShopError;

/// The chain word of the signed text; any EVM word will do, and the product's pages use this one.
const CHAIN: &str = "base";

/// Who asks.
#[derive(Clone, Default)]
pub enum Identity {
    /// Nobody in particular: enough for the catalogue, and for purchases that name their buyer themselves.
    #[default]
    Nobody,
    /// A wallet, by a signature over each request.
    Wallet(Arc<EvmKey>),
    /// Whoever has this key.
    ApiKey(SecretString),
}

impl Identity {
    /// The headers that say so, made for this one request: a signature is good once.
    pub(crate) fn headers(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Vec<(HeaderName, HeaderValue)>, ShopError> {
        match self {
            Self::Nobody => Ok(Vec::new()),
            Self::ApiKey(key) => {
                let mut value =
                    HeaderValue::from_str(key.expose_secret()).map_err(|_| ShopError::ApiKey)?;
                value.set_sensitive(true);
                Ok(vec![(HeaderName::from_static("x-api-key"), value)])
            }
            Self::Wallet(key) => sign(key, method, path, body),
        }
    }

    /// Who it is, in words that give nothing away: the same again is the same buyer.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Nobody => "nobody".to_owned(),
            Self::Wallet(key) => format!("wallet {}", key.address()),
            Self::ApiKey(key) => {
                let digest = keccak256(key.expose_secret().as_bytes());
                let start = digest.first_chunk::<8>().copied().unwrap_or_default();
                format!("api key {}", hex::encode(start))
            }
        }
    }
}

fn sign(
    key: &EvmKey,
    method: &str,
    path: &str,
    body: &[u8],
) -> Result<Vec<(HeaderName, HeaderValue)>, ShopError> {
    let address = key.address().to_string();
    let timestamp = now_ms().to_string();
    let nonce = hex::encode(random::<16>().map_err(ShopError::Chance)?);
    let message = auth_message(CHAIN, &address, method, path, body, &timestamp, &nonce);
    let signature = key.sign_message(message.as_bytes()).to_hex();
    [
        ("x-auth-signature", signature.as_str()),
        ("x-auth-address", &address),
        ("x-auth-chain", CHAIN),
        ("x-auth-timestamp", &timestamp),
        ("x-auth-nonce", &nonce),
        ("x-auth-sig-encoding", "hex"),
    ]
    .into_iter()
    .map(|(name, value)| {
        // Digits, letters and points: it always fits.
        let value = HeaderValue::from_str(value).map_err(|_| ShopError::ApiKey)?;
        Ok((HeaderName::from_static(name), value))
    })
    .collect()
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}
