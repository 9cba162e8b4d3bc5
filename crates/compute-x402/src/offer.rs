//! What the server asks for: its own offers, never those a client echoes.

use std::sync::Arc;

use compute_wallet::{AddressError, Digest32, Eip712Domain, EvmAddress, WalletAddress};

use crate::amount::Amount;
use crate::networks::Network;
use crate::wire::{Extra, v1, v2};

/// A token on one network and the domain its holders sign under.
///
/// Made once at start-up: it holds the domain separator and the texts that every offer repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenTerms {
    network: Network,
    chain_id: u64,
    asset: EvmAddress,
    asset_text: Box<str>,
    domain_name: Box<str>,
    domain_version: Box<str>,
    domain_separator: Digest32,
}

/// The account that receives payments, with its written form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    address: EvmAddress,
    text: Arc<str>,
}

/// One way to pay: scheme `exact`, a token, a recipient and an amount. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    token: Arc<TokenTerms>,
    pay_to: Recipient,
    amount: Amount,
    max_timeout_seconds: u32,
}

/// Why a token cannot be offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// EIP-3009 exists on EVM chains only.
    #[error("the network is not an EVM chain")]
    NotEvm,
    /// The token has no `transferWithAuthorization`.
    #[error("the token has no transferWithAuthorization")]
    NoEip3009,
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
        let chain_id = network.chain_id().ok_or(OfferError::NotEvm)?;
        let domain = Eip712Domain {
            name: domain_name,
            version: domain_version,
            chain_id,
            verifying_contract: asset,
        };
        Ok(Self {
            network,
            chain_id,
            asset,
            asset_text: asset.to_checksum().into(),
            domain_separator: domain.separator(),
            domain_name: domain_name.into(),
            domain_version: domain_version.into(),
        })
    }

    /// Where the token lives.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// The EVM chain id.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The token contract.
    #[must_use]
    pub const fn asset(&self) -> EvmAddress {
        self.asset
    }

    /// The token contract as the wire shows it: EIP-55 letter case.
    #[must_use]
    pub fn asset_text(&self) -> &str {
        &self.asset_text
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
}

impl Recipient {
    /// Takes an account and writes it once in EIP-55 letter case.
    #[must_use]
    pub fn new(address: EvmAddress) -> Self {
        Self {
            address,
            text: address.to_checksum().into(),
        }
    }

    /// The account.
    #[must_use]
    pub const fn address(&self) -> EvmAddress {
        self.address
    }

    /// Its written form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Offer {
    /// Offers to be paid `amount` of `token`; a client may take `max_timeout_seconds` to pay.
    #[must_use]
    pub fn new(
        token: Arc<TokenTerms>,
        pay_to: Recipient,
        amount: Amount,
        max_timeout_seconds: u32,
    ) -> Self {
        Self {
            token,
            pay_to,
            amount,
            max_timeout_seconds,
        }
    }

    /// The same offer at another price, for prices that were valid until recently.
    #[must_use]
    pub fn with_amount(&self, amount: Amount) -> Self {
        Self {
            amount,
            ..self.clone()
        }
    }

    /// The token and its network.
    #[must_use]
    pub fn token(&self) -> &TokenTerms {
        &self.token
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.token.network
    }

    /// Who is to be paid.
    #[must_use]
    pub const fn pay_to(&self) -> WalletAddress {
        WalletAddress::Evm(self.pay_to.address)
    }

    /// Who is to be paid, as the wire shows it.
    #[must_use]
    pub fn pay_to_text(&self) -> &str {
        &self.pay_to.text
    }

    /// How much, in the token's smallest unit.
    #[must_use]
    pub const fn amount(&self) -> Amount {
        self.amount
    }

    /// How long a client may take to pay, in seconds.
    #[must_use]
    pub const fn max_timeout_seconds(&self) -> u32 {
        self.max_timeout_seconds
    }

    /// The wire form of version 1, which repeats the resource in every offer.
    #[must_use]
    pub fn to_v1<'a>(&'a self, resource: &v2::ResourceInfo<'a>) -> v1::PaymentRequirements<'a> {
        v1::PaymentRequirements {
            scheme: v2::EXACT.into(),
            network: self.network().v1_name().into(),
            max_amount_required: self.amount,
            asset: self.token.asset_text().into(),
            pay_to: self.pay_to_text().into(),
            resource: resource.url.clone(),
            description: resource.description.clone(),
            mime_type: resource.mime_type.clone(),
            max_timeout_seconds: self.max_timeout_seconds,
            extra: Some(self.extra()),
        }
    }

    /// The wire form of version 2.
    #[must_use]
    pub fn to_v2(&self) -> v2::PaymentRequirements<'_> {
        v2::PaymentRequirements {
            scheme: v2::EXACT.into(),
            network: self.network().caip2().into(),
            amount: self.amount,
            asset: self.token.asset_text().into(),
            pay_to: self.pay_to_text().into(),
            max_timeout_seconds: self.max_timeout_seconds,
            extra: Some(self.extra()),
        }
    }

    fn extra(&self) -> Extra<'_> {
        Extra {
            name: Some(self.token.domain_name().into()),
            version: Some(self.token.domain_version().into()),
        }
    }
}
