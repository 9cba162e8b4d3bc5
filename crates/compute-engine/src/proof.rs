//! What is kept of a payment until it settles, sealed: enough to settle it on any replica, at any
//! later time, under any later configuration.

use std::sync::Arc;

use compute_mpp::Credential;
use compute_wallet::{EvmAddress, Namespace, SolanaAddress, WalletAddress};
use compute_x402::exact_svm::{SvmLimits, SvmTerms, SvmToken, TokenProgram};
use compute_x402::{
    Amount, Method, Network, Offer, PaymentPayload, PermitPaths, Recipient, Resource, TokenTerms,
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

/// What a client pays with.
#[derive(Debug, Clone)]
pub enum PaymentProof {
    /// A payment of x402.
    X402(PaymentPayload),
    /// A credential of the Payment authentication scheme.
    Mpp(Box<Credential>),
}

impl From<PaymentPayload> for PaymentProof {
    fn from(payload: PaymentPayload) -> Self {
        Self::X402(payload)
    }
}

/// A payment of x402, the offer of ours that it pays, and what is paid for.
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
    /// The EIP-712 domain; empty where there is none.
    #[serde(default)]
    domain_name: String,
    #[serde(default)]
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
    Svm {
        token_2022: bool,
        decimals: u8,
        fee_payer: String,
        memo: Option<String>,
        to_token_account: bool,
        max_units: u32,
        max_unit_price_micro_lamports: u64,
    },
}

/// What a stored proof says of its token besides the method.
struct StoredToken<'a> {
    network: Network,
    asset: &'a str,
    domain_name: &'a str,
    domain_version: &'a str,
}

impl StoredMethod {
    /// The method of a token; `None` for one that cannot be stored.
    fn of(token: &TokenTerms) -> Option<Self> {
        Some(match token.method() {
            Method::Eip3009 {
                takes_contract_wallets: false,
                ..
            } => Self::Eip3009,
            Method::Eip3009 { .. } => Self::Eip3009WithContractWallets,
            Method::Permit { paths, .. } => Self::Permit {
                spender: paths.spender().map(|spender| spender.to_string()),
                permit2: paths.permit2_separator().is_some(),
            },
            Method::Svm(token) => {
                let (terms, limits) = (token.terms(), token.limits());
                Self::Svm {
                    token_2022: terms.token_program() == TokenProgram::Token2022,
                    decimals: terms.decimals(),
                    fee_payer: terms.fee_payer().to_string(),
                    memo: terms.memo().map(str::to_owned),
                    to_token_account: token.pays_token_account(),
                    max_units: limits.max_units,
                    max_unit_price_micro_lamports: limits.max_unit_price_micro_lamports,
                }
            }
            _ => return None,
        })
    }

    fn terms(&self, token: StoredToken<'_>) -> Result<TokenTerms, UnreadableProof> {
        let StoredToken {
            network,
            domain_name: name,
            domain_version: version,
            ..
        } = token;
        if let Self::Svm { .. } = self {
            return self.svm_terms(network, token.asset);
        }
        let asset = EvmAddress::parse_any_case(token.asset).map_err(|_| UnreadableProof)?;
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
            Self::Svm { .. } => return Err(UnreadableProof),
        };
        terms.map_err(|_| UnreadableProof)
    }

    fn svm_terms(&self, network: Network, mint: &str) -> Result<TokenTerms, UnreadableProof> {
        let Self::Svm {
            token_2022,
            decimals,
            fee_payer,
            memo,
            to_token_account,
            max_units,
            max_unit_price_micro_lamports,
        } = self
        else {
            return Err(UnreadableProof);
        };
        let account = |text: &str| SolanaAddress::parse(text).map_err(|_| UnreadableProof);
        let program = if *token_2022 {
            TokenProgram::Token2022
        } else {
            TokenProgram::Token
        };
        let (mint, fee_payer) = (account(mint)?, account(fee_payer)?);
        let terms = SvmTerms::new(network, mint, program, *decimals, fee_payer);
        let mut terms = terms.map_err(|_| UnreadableProof)?;
        if let Some(memo) = memo {
            terms = terms.with_memo(memo);
        }
        let mut token = SvmToken::new(terms).with_limits(SvmLimits {
            max_units: *max_units,
            max_unit_price_micro_lamports: *max_unit_price_micro_lamports,
        });
        if *to_token_account {
            token = token.to_token_accounts();
        }
        Ok(TokenTerms::svm(token))
    }
}

impl StoredProof {
    /// The JSON that is sealed.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let token = self.offer.token();
        let method = StoredMethod::of(token).ok_or_else(|| {
            serde::ser::Error::custom("a payment by this method cannot be stored")
        })?;
        let domain = token.as_evm();
        serde_json::to_vec(&Stored {
            payload: self.payload.to_json(),
            network: token.network().caip2().to_owned(),
            asset: token.asset_text().to_owned(),
            method,
            domain_name: domain.map_or("", |it| it.domain_name()).to_owned(),
            domain_version: domain.map_or("", |it| it.domain_version()).to_owned(),
            pay_to: self.offer.pay_to_text().to_owned(),
            amount: self.offer.amount().to_string(),
            max_timeout_seconds: self.offer.max_timeout_seconds(),
            resource: self.resource.clone(),
        })
    }

    /// Reads what [`StoredProof::to_bytes`] wrote.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, UnreadableProof> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|_| UnreadableProof)?;
        let network = Network::find(&stored.network).ok_or(UnreadableProof)?;
        let pay_to = read_account(network.namespace(), &stored.pay_to)?;
        let token = stored.method.terms(StoredToken {
            network,
            asset: &stored.asset,
            domain_name: &stored.domain_name,
            domain_version: &stored.domain_version,
        })?;
        let amount = Amount::parse(&stored.amount).map_err(|_| UnreadableProof)?;
        let (pay_to, timeout_s) = (Recipient::new(pay_to), stored.max_timeout_seconds);
        Ok(Self {
            payload: PaymentPayload::from_json(stored.payload).map_err(|_| UnreadableProof)?,
            offer: Offer::new(Arc::new(token), pay_to, amount, timeout_s),
            resource: stored.resource,
        })
    }
}

fn read_account(namespace: Namespace, text: &str) -> Result<WalletAddress, UnreadableProof> {
    let account = match namespace {
        Namespace::Eip155 => EvmAddress::parse_any_case(text).map(WalletAddress::Evm),
        Namespace::Solana => SolanaAddress::parse(text).map(WalletAddress::Solana),
    };
    account.map_err(|_| UnreadableProof)
}

#[cfg(test)]
mod tests {
    use compute_x402::networks::{BASE_USDC, SOLANA_USDC};
    use serde_json::json;

    use super::*;

    fn proof(token: TokenTerms, pay_to: impl Into<WalletAddress>, payload: Value) -> StoredProof {
        let network = token.network().caip2().to_owned();
        let payload = json!({
            "x402Version": 2,
            "accepted": { "scheme": "exact", "network": network },
            "payload": payload,
        });
        StoredProof {
            payload: PaymentPayload::from_json(payload).unwrap(),
            offer: Offer::new(
                Arc::new(token),
                Recipient::new(pay_to),
                Amount::new(90_000_000),
                90,
            ),
            resource: ResourceInfo {
                url: "https://compute.example/x".to_owned(),
                description: "a thing".to_owned(),
                mime_type: "text/plain".to_owned(),
            },
        }
    }

    fn check_round_trip(proof: &StoredProof) {
        let read = StoredProof::from_bytes(&proof.to_bytes().unwrap()).unwrap();
        assert_eq!(read.offer, proof.offer);
        assert_eq!(read.payload, proof.payload);
        assert_eq!(read.resource, proof.resource);
    }

    fn usdc() -> SvmTerms {
        SOLANA_USDC.terms(SolanaAddress::new([1; 32])).unwrap()
    }

    #[test]
    fn a_payment_on_solana_reads_back_as_it_was_stored() {
        let pay_to = SolanaAddress::new([2; 32]);
        let of_2022 = SvmTerms::new(
            Network::SOLANA_DEVNET,
            SolanaAddress::new([5; 32]),
            TokenProgram::Token2022,
            9,
            SolanaAddress::new([6; 32]),
        );
        let limits = SvmLimits {
            max_units: 7,
            max_unit_price_micro_lamports: 8,
        };
        for token in [
            SvmToken::new(usdc()),
            SvmToken::new(usdc().with_memo("m")),
            SvmToken::new(usdc()).to_token_accounts(),
            SvmToken::new(of_2022.unwrap()).with_limits(limits),
        ] {
            let payload = json!({ "transaction": "AAAA" });
            check_round_trip(&proof(TokenTerms::svm(token), pay_to, payload));
        }
    }

    #[test]
    fn a_payment_on_an_evm_chain_reads_back_as_it_was_stored() {
        let pay_to = EvmAddress::parse_any_case("0x60555990d56622d2d39dcd444404ef8e596e370e");
        let (pay_to, payload) = (pay_to.unwrap(), json!({ "permit": {} }));
        let usdc = || BASE_USDC.eip3009_terms().unwrap();
        check_round_trip(&proof(usdc(), pay_to, payload.clone()));
        check_round_trip(&proof(
            usdc().with_contract_wallets(),
            pay_to,
            payload.clone(),
        ));
        let paths = PermitPaths::none().with_spender(pay_to).with_permit2(8453);
        let permit = BASE_USDC.permit_terms(paths).unwrap();
        check_round_trip(&proof(permit, pay_to, payload));
    }

    #[test]
    fn a_damaged_account_is_no_proof() {
        let stored = proof(
            TokenTerms::svm(SvmToken::new(usdc())),
            SolanaAddress::new([2; 32]),
            json!({ "transaction": "AAAA" }),
        );
        let stored: Value = serde_json::from_slice(&stored.to_bytes().unwrap()).unwrap();
        for pointer in ["/asset", "/pay_to", "/method/svm/fee_payer", "/network"] {
            let mut changed = stored.clone();
            *changed.pointer_mut(pointer).unwrap() = "0x00".into();
            let bytes = serde_json::to_vec(&changed).unwrap();
            assert_eq!(
                StoredProof::from_bytes(&bytes).err(),
                Some(UnreadableProof),
                "{pointer}"
            );
        }
    }
}
