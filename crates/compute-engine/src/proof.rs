//! What is kept of a payment until it settles, sealed: enough to settle it on any replica, at any
//! later time, under any later configuration.

use std::sync::Arc;

use compute_wallet::EvmAddress;
use compute_x402::{
    Amount, EvmToken, Method, Network, Offer, PaymentPayload, PermitPaths, Recipient, Resource,
    TokenTerms,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is paid for, as the facilitator and the client see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceInfo {
    /// The absolute URL of the request.
    pub url: String,
    /// What is sold, for people.
    pub description: String,
    /// The content type of the paid answer.
    pub mime_type: String,
}

impl ResourceInfo {
    /// The borrowed form that the protocol crate takes.
    pub fn as_resource(&self) -> Resource<'_> {
        Resource {
            url: &self.url,
            description: &self.description,
            mime_type: &self.mime_type,
        }
    }
}

/// A payment, the offer of ours that it pays, and what is paid for.
#[derive(Debug, Clone)]
pub struct StoredProof {
    /// What the client sent, losslessly.
    pub payload: PaymentPayload,
    /// Our own offer.
    pub offer: Offer,
    /// What is paid for.
    pub resource: ResourceInfo,
}

/// A stored proof cannot be read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored proof cannot be read")]
pub(crate) struct UnreadableProof;

/// The stored form: the offer is kept by value, so that a change of the configuration between claim
/// and settlement does not change what was agreed.
#[derive(Serialize, Deserialize)]
struct Stored {
    payload: Value,
    network: String,
    asset: String,
    #[serde(default)]
    method: StoredMethod,
    domain_name: String,
    domain_version: String,
    pay_to: String,
    amount: String,
    max_timeout_seconds: u32,
    resource: ResourceInfo,
}

/// How the token is paid with; proofs of the first release name no method and mean EIP-3009.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredMethod {
    #[default]
    Eip3009,
    Eip3009WithContractWallets,
    Permit {
        spender: Option<String>,
        permit2: bool,
    },
}

impl StoredMethod {
    /// The method of a token, with its domain; `None` for one that cannot be stored.
    fn of(token: &TokenTerms) -> Option<(Self, &EvmToken)> {
        Some(match token.method() {
            Method::Eip3009 {
                token,
                takes_contract_wallets: false,
            } => (Self::Eip3009, token),
            Method::Eip3009 { token, .. } => (Self::Eip3009WithContractWallets, token),
            Method::Permit { token, paths } => {
                let method = Self::Permit {
                    spender: paths.spender().map(|spender| spender.to_string()),
                    permit2: paths.permit2_separator().is_some(),
                };
                (method, token)
            }
            _ => return None,
        })
    }

    fn terms(
        &self,
        network: Network,
        asset: EvmAddress,
        name: &str,
        version: &str,
    ) -> Result<TokenTerms, UnreadableProof> {
        let terms = match self {
            Self::Eip3009 => TokenTerms::eip3009(network, asset, name, version),
            Self::Eip3009WithContractWallets => TokenTerms::eip3009(network, asset, name, version)
                .map(TokenTerms::with_contract_wallets),
            Self::Permit { spender, permit2 } => {
                let mut paths = PermitPaths::none();
                if let Some(text) = spender {
                    let spender = EvmAddress::parse_any_case(text);
                    paths = paths.with_spender(spender.map_err(|_| UnreadableProof)?);
                }
                if *permit2 {
                    paths = paths.with_permit2(network.chain_id().ok_or(UnreadableProof)?);
                }
                TokenTerms::permit(network, asset, name, version, paths)
            }
        };
        terms.map_err(|_| UnreadableProof)
    }
}

impl StoredProof {
    /// The JSON that is sealed.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let token = self.offer.token();
        let (method, domain) = StoredMethod::of(token).ok_or_else(|| {
            serde::ser::Error::custom("a payment by this method cannot be stored")
        })?;
        serde_json::to_vec(&Stored {
            payload: self.payload.to_json(),
            network: token.network().caip2().to_owned(),
            asset: token.asset_text().to_owned(),
            method,
            domain_name: domain.domain_name().to_owned(),
            domain_version: domain.domain_version().to_owned(),
            pay_to: self.offer.pay_to_text().to_owned(),
            amount: self.offer.amount().to_string(),
            max_timeout_seconds: self.offer.max_timeout_seconds(),
            resource: self.resource.clone(),
        })
    }

    /// Reads what [`StoredProof::to_bytes`] wrote.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, UnreadableProof> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|_| UnreadableProof)?;
        let address = |text: &str| EvmAddress::parse_any_case(text).map_err(|_| UnreadableProof);
        let network = Network::find(&stored.network).ok_or(UnreadableProof)?;
        let asset = address(&stored.asset)?;
        let (name, version) = (&stored.domain_name, &stored.domain_version);
        let token = stored.method.terms(network, asset, name, version)?;
        let amount = Amount::parse(&stored.amount).map_err(|_| UnreadableProof)?;
        let pay_to = Recipient::new(address(&stored.pay_to)?);
        Ok(Self {
            payload: PaymentPayload::from_json(stored.payload).map_err(|_| UnreadableProof)?,
            offer: Offer::new(Arc::new(token), pay_to, amount, stored.max_timeout_seconds),
            resource: stored.resource,
        })
    }
}
