//! Who asks: a wallet that signs each request, an API key, or nobody.

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "solana")]
use base64::Engine as _;
#[cfg(feature = "solana")]
use base64::engine::general_purpose::STANDARD;
#[cfg(feature = "solana")]
use compute_wallet::SolanaKey;
use compute_wallet::{EvmKey, auth_message, keccak256};
use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

use crate::clock::{now_ms, random};
use crate::ows::OwsWallet;
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
    /// A wallet on Solana, by a signature over each request.
    #[cfg(feature = "solana")]
    SolanaWallet(Arc<SolanaKey>),
    /// A wallet whose key the command of the Open Wallet Standard keeps.
    Ows(Arc<OwsWallet>),
    /// Whoever has this key.
    ApiKey(SecretString),
}

impl Identity {
    /// The headers that say so, made for this one request: a signature is good once.
    pub(crate) async fn headers(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Vec<(HeaderName, HeaderValue)>, ShopError> {
        let (chain, encoding, address) = match self {
            Self::Nobody => return Ok(Vec::new()),
            Self::ApiKey(key) => {
                let mut value =
                    HeaderValue::from_str(key.expose_secret()).map_err(|_| ShopError::ApiKey)?;
                value.set_sensitive(true);
                return Ok(vec![(HeaderName::from_static("x-api-key"), value)]);
            }
            Self::Wallet(key) => (CHAIN, "hex", key.address().to_string()),
            #[cfg(feature = "solana")]
            Self::SolanaWallet(key) => ("solana", "base64", key.address().to_string()),
            Self::Ows(wallet) => {
                let (chain, encoding) = wallet.chain().words();
                (chain, encoding, wallet.address().to_owned())
            }
        };
        let timestamp = now_ms().to_string();
        let nonce = hex::encode(random::<16>().map_err(ShopError::Chance)?);
        let message = auth_message(chain, &address, method, path, body, &timestamp, &nonce);
        let signature = self.sign(message).await?;
        [
            ("x-auth-signature", signature.as_str()),
            ("x-auth-address", &address),
            ("x-auth-chain", chain),
            ("x-auth-timestamp", &timestamp),
            ("x-auth-nonce", &nonce),
            ("x-auth-sig-encoding", encoding),
        ]
        .into_iter()
        .map(|(name, value)| {
            // Letters, digits and the signs of base64: it always fits.
            let value = HeaderValue::from_str(value).map_err(|_| ShopError::ApiKey)?;
            Ok((HeaderName::from_static(name), value))
        })
        .collect()
    }

    async fn sign(&self, message: String) -> Result<String, ShopError> {
        Ok(match self {
            Self::Nobody | Self::ApiKey(_) => String::new(),
            Self::Wallet(key) => key.sign_message(message.as_bytes()).to_hex(),
            #[cfg(feature = "solana")]
            Self::SolanaWallet(key) => STANDARD.encode(key.sign(message.as_bytes())),
            Self::Ows(wallet) => wallet.sign(message).await?,
        })
    }

    /// Who it is, in words that give nothing away: the same again is the same buyer.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Nobody => "nobody".to_owned(),
            Self::Wallet(key) => format!("wallet {}", key.address()),
            #[cfg(feature = "solana")]
            Self::SolanaWallet(key) => format!("wallet {}", key.address()),
            Self::Ows(wallet) => format!("wallet {}", wallet.address()),
            Self::ApiKey(key) => {
                let digest = keccak256(key.expose_secret().as_bytes());
                let start = digest.first_chunk::<8>().copied().unwrap_or_default();
                format!("api key {}", hex::encode(start))
            }
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}
