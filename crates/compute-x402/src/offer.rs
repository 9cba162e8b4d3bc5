//! What the server asks for: its own offers, never those a client echoes.

use std::sync::Arc;

use compute_wallet::WalletAddress;

use crate::amount::Amount;
use crate::networks::Network;
use crate::payload::Version;
use crate::token::TokenTerms;
use crate::wire::{v1, v2};

/// The account that receives payments, with its written form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    address: WalletAddress,
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

impl Recipient {
    /// Takes an account and writes it once: in EIP-55 letter case, or as base58.
    #[must_use]
    pub fn new(address: impl Into<WalletAddress>) -> Self {
        let address = address.into();
        let text = match &address {
            WalletAddress::Evm(address) => address.to_checksum(),
            WalletAddress::Solana(address) => address.to_string(),
        };
        Self {
            address,
            text: text.into(),
        }
    }

    /// The account.
    #[must_use]
    pub const fn address(&self) -> WalletAddress {
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
        self.token.network()
    }

    /// Who is to be paid.
    #[must_use]
    pub const fn pay_to(&self) -> WalletAddress {
        self.pay_to.address
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
            extra: Some(self.token.extra(Version::V1)),
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
            extra: Some(self.token.extra(Version::V2)),
        }
    }
}
