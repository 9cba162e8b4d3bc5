//! Tokens and how money moves in them: what an offer names and a verifier relies on.
//!
//! Everything here comes from the server's own configuration, never from a payment.

use compute_wallet::{AddressError, Digest32, Eip712Domain, EvmAddress, WalletAddress};

#[cfg(feature = "svm")]
use crate::exact_svm::SvmToken;
use crate::networks::Network;
use crate::payload::Version;
use crate::permit2;
use crate::wire::Extra;

/// A token on one network and the way it is paid with.
///
/// Made once at start-up: it holds the hashes and the texts that every offer repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenTerms {
    network: Network,
    asset: WalletAddress,
    asset_text: Box<str>,
    method: Method,
}

/// How a payment in a token is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// EIP-3009: a signed transfer that anybody may submit.
    Eip3009 {
        /// The token.
        token: EvmToken,
        /// Whether wallets that are contracts may pay; only a chain node can check what they sign.
        takes_contract_wallets: bool,
    },
    /// ERC-2612: a signed approval; for tokens without EIP-3009.
    Permit {
        /// The token.
        token: EvmToken,
        /// Who may be approved.
        paths: PermitPaths,
    },
    /// On Solana: a transaction that the buyer signed and somebody else pays the fee of.
    #[cfg(feature = "svm")]
    Svm(Box<SvmToken>),
}

/// A token contract on an EVM chain and the EIP-712 domain its holders sign under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvmToken {
    chain_id: u64,
    contract: EvmAddress,
    domain_name: Box<str>,
    domain_version: Box<str>,
    domain_separator: Digest32,
}

/// The two ways a permit can pay (x402 reference, sections 6.2 and 6.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermitPaths {
    spender: Option<(EvmAddress, Box<str>)>,
    permit2_separator: Option<Digest32>,
}

/// Why a token cannot be offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// EIP-3009 and permits exist on EVM chains only.
    #[error("the network is not an EVM chain")]
    NotEvm,
    /// The network is not one of Solana.
    #[error("the network is not a Solana network")]
    NotSolana,
    /// The token has no `transferWithAuthorization`.
    #[error("the token has no transferWithAuthorization")]
    NoEip3009,
    /// Neither a spender nor Permit2 is there to be approved.
    #[error("a token that is paid by permit needs a spender or Permit2")]
    NoPermitPath,
    /// The contract is no address.
    #[error("the token contract is not an address")]
    Address(#[source] AddressError),
}

impl TokenTerms {
    /// Describes a token with EIP-3009 and the name and version of its EIP-712 domain.
    ///
    /// # Errors
    /// When the network is not an EVM chain.
    pub fn eip3009(
        network: Network,
        asset: EvmAddress,
        domain_name: &str,
        domain_version: &str,
    ) -> Result<Self, OfferError> {
        let token = EvmToken::new(&network, asset, domain_name, domain_version)?;
        let method = Method::Eip3009 {
            token,
            takes_contract_wallets: false,
        };
        Ok(Self::evm(network, asset, method))
    }

    /// Describes a token with ERC-2612 permits.
    ///
    /// # Errors
    /// When the network is not an EVM chain, or nobody can be approved.
    pub fn permit(
        network: Network,
        asset: EvmAddress,
        domain_name: &str,
        domain_version: &str,
        paths: PermitPaths,
    ) -> Result<Self, OfferError> {
        let token = EvmToken::new(&network, asset, domain_name, domain_version)?;
        if paths.spender.is_none() && paths.permit2_separator.is_none() {
            return Err(OfferError::NoPermitPath);
        }
        Ok(Self::evm(network, asset, Method::Permit { token, paths }))
    }

    /// Describes a token on Solana.
    #[cfg(feature = "svm")]
    #[must_use]
    pub fn svm(token: SvmToken) -> Self {
        let mint = token.terms().mint();
        Self {
            network: token.terms().network().clone(),
            asset: mint.into(),
            asset_text: mint.to_string().into(),
            method: Method::Svm(Box::new(token)),
        }
    }

    fn evm(network: Network, asset: EvmAddress, method: Method) -> Self {
        Self {
            network,
            asset: asset.into(),
            asset_text: asset.to_checksum().into(),
            method,
        }
    }

    /// Lets wallets that are contracts pay (ERC-1271), where the method knows them.
    ///
    /// A payment of theirs is only identified and verified as
    /// [`Authority::Contract`](crate::Authority): whoever asks for this must ask the chain.
    #[must_use]
    pub fn with_contract_wallets(mut self) -> Self {
        if let Method::Eip3009 {
            takes_contract_wallets,
            ..
        } = &mut self.method
        {
            *takes_contract_wallets = true;
        }
        self
    }

    /// Where the token lives.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// The token contract, or the mint.
    #[must_use]
    pub const fn asset(&self) -> WalletAddress {
        self.asset
    }

    /// The token as the wire shows it: EIP-55 letter case, or base58.
    #[must_use]
    pub fn asset_text(&self) -> &str {
        &self.asset_text
    }

    /// How it is paid with.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The contract and its domain, for tokens on EVM chains.
    #[must_use]
    pub const fn as_evm(&self) -> Option<&EvmToken> {
        match &self.method {
            Method::Eip3009 { token, .. } | Method::Permit { token, .. } => Some(token),
            #[cfg(feature = "svm")]
            Method::Svm(_) => None,
        }
    }

    /// What a payment on Solana must satisfy, for tokens there.
    #[cfg(feature = "svm")]
    #[must_use]
    pub const fn as_svm(&self) -> Option<&SvmToken> {
        match &self.method {
            Method::Svm(token) => Some(token),
            Method::Eip3009 { .. } | Method::Permit { .. } => None,
        }
    }

    /// The `extra` member of an offer in one version of the protocol.
    #[cfg_attr(
        not(feature = "svm"),
        expect(unused_variables, reason = "only offers on Solana differ by version")
    )]
    pub(crate) fn extra(&self, version: Version) -> Extra<'_> {
        match &self.method {
            Method::Eip3009 { token, .. } => token.extra(),
            Method::Permit { token, paths } => {
                let spender = paths.spender.as_ref().map(|(_, text)| text.as_ref().into());
                Extra {
                    // Named even without Permit2: one published client signs an unknown method as
                    // EIP-3009, and skips what it knows it cannot pay.
                    asset_transfer_method: Some("permit2".into()),
                    primary_type: spender.is_some().then_some("Permit".into()),
                    spender,
                    ..token.extra()
                }
            }
            #[cfg(feature = "svm")]
            Method::Svm(token) => token.extra(version),
        }
    }
}

impl EvmToken {
    fn new(
        network: &Network,
        contract: EvmAddress,
        domain_name: &str,
        domain_version: &str,
    ) -> Result<Self, OfferError> {
        let chain_id = network.chain_id().ok_or(OfferError::NotEvm)?;
        let domain = Eip712Domain {
            name: domain_name,
            version: domain_version,
            chain_id,
            verifying_contract: contract,
        };
        Ok(Self {
            chain_id,
            contract,
            domain_separator: domain.separator(),
            domain_name: domain_name.into(),
            domain_version: domain_version.into(),
        })
    }

    /// The EVM chain id.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The token contract.
    #[must_use]
    pub const fn contract(&self) -> EvmAddress {
        self.contract
    }

    /// The name in the EIP-712 domain.
    #[must_use]
    pub fn domain_name(&self) -> &str {
        &self.domain_name
    }

    /// The version in the EIP-712 domain.
    #[must_use]
    pub fn domain_version(&self) -> &str {
        &self.domain_version
    }

    /// The EIP-712 domain separator; must equal the contract's `DOMAIN_SEPARATOR()`.
    #[must_use]
    pub const fn domain_separator(&self) -> &Digest32 {
        &self.domain_separator
    }

    fn extra(&self) -> Extra<'_> {
        Extra {
            name: Some(self.domain_name().into()),
            version: Some(self.domain_version().into()),
            ..Extra::default()
        }
    }
}

impl PermitPaths {
    /// Nobody can be approved yet; add at least one way.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            spender: None,
            permit2_separator: None,
        }
    }

    /// Direct permits approve this account, which must be the recipient that offers name: the one
    /// published client that signs them takes the recipient for the spender.
    #[must_use]
    pub fn with_spender(self, spender: EvmAddress) -> Self {
        Self {
            spender: Some((spender, spender.to_checksum().into())),
            ..self
        }
    }

    /// Permit2 with a sponsored permit, through the canonical contracts on this chain.
    #[must_use]
    pub fn with_permit2(self, chain_id: u64) -> Self {
        Self {
            permit2_separator: Some(permit2::domain_separator(chain_id)),
            ..self
        }
    }

    /// The account that direct permits approve.
    #[must_use]
    pub fn spender(&self) -> Option<EvmAddress> {
        self.spender.as_ref().map(|(address, _)| *address)
    }

    /// The domain separator of Permit2, when payments through it are taken.
    #[must_use]
    pub const fn permit2_separator(&self) -> Option<&Digest32> {
        self.permit2_separator.as_ref()
    }
}
