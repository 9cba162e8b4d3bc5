//! Offers on Solana, as a client sees them.

use compute_wallet::{Namespace, SolanaAddress};
use serde_json::Value;

use super::{PaymentRequired, wrap_for};
use crate::amount::Amount;
use crate::challenge::Resource;
use crate::exact_svm::{SvmTerms, SvmTransaction, TokenProgram};
use crate::networks::{KnownMint, Network};
use crate::offer::Offer;
use crate::payload::{PaymentPayload, Version};
use crate::wire::v2::EXACT;

/// One offer on Solana: a transfer whose fee somebody else pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SvmOffer {
    network: Network,
    mint: SolanaAddress,
    pay_to: SolanaAddress,
    amount: Amount,
    fee_payer: SolanaAddress,
    memo: Option<String>,
    echo: Value,
}

impl SvmOffer {
    /// The network to pay on.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// The token to pay with.
    #[must_use]
    pub const fn mint(&self) -> SolanaAddress {
        self.mint
    }

    /// Who is to be paid: a wallet, or a token account. The chain knows which.
    #[must_use]
    pub const fn pay_to(&self) -> SolanaAddress {
        self.pay_to
    }

    /// How much, in the token's smallest unit.
    #[must_use]
    pub const fn amount(&self) -> Amount {
        self.amount
    }

    /// What a payment must satisfy, when this crate knows the token.
    #[must_use]
    pub fn known_terms(&self) -> Option<SvmTerms> {
        let known = KnownMint::find(&self.network, &self.mint)?;
        self.terms(TokenProgram::Token, known.decimals)
    }

    /// What a payment must satisfy. The chain knows which program keeps the token and how many
    /// decimals it has; an offer does not say.
    #[must_use]
    pub fn terms(&self, program: TokenProgram, decimals: u8) -> Option<SvmTerms> {
        let network = self.network.clone();
        let terms = SvmTerms::new(network, self.mint, program, decimals, self.fee_payer).ok()?;
        Some(match &self.memo {
            Some(memo) => terms.with_memo(memo),
            None => terms,
        })
    }
}

impl PaymentRequired {
    /// The offers on Solana, in the server's order.
    #[must_use]
    pub fn svm_offers(&self) -> &[SvmOffer] {
        &self.svm_offers
    }

    /// Sends a signed transaction, made with [`Draft`](crate::exact_svm::client::Draft) for the
    /// terms of the offer, as its payment.
    #[must_use]
    pub fn pay_by_transaction(
        &self,
        offer: &SvmOffer,
        transaction: &SvmTransaction,
    ) -> PaymentPayload {
        self.wrap(&offer.echo, &transaction.to_payload(), None)
    }
}

/// Wraps a signed transaction as a payment for one of a server's own offers; see
/// [`PaymentRequired::pay_by_transaction`] for the usual way.
#[must_use]
pub fn svm_payload_for(
    version: Version,
    offer: &Offer,
    resource: Resource<'_>,
    transaction: &SvmTransaction,
) -> PaymentPayload {
    wrap_for(version, offer, resource, &transaction.to_payload())
}

pub(super) fn read_all(accepts: &[Value], version: Version) -> Vec<SvmOffer> {
    accepts
        .iter()
        .filter_map(|offer| read(offer, version))
        .collect()
}

/// Reads an offer; anything that is not on Solana, or names nobody to pay the fee, is left out.
fn read(offer: &Value, version: Version) -> Option<SvmOffer> {
    let text = |name: &str| offer.get(name).and_then(Value::as_str);
    let extra = |name: &str| offer.get("extra")?.get(name)?.as_str();
    let account = |text: &str| SolanaAddress::parse(text).ok();
    let amount = match version {
        Version::V1 => text("maxAmountRequired")?,
        Version::V2 => text("amount")?,
    };
    let network = Network::find(text("network")?)?;
    if text("scheme")? != EXACT || network.namespace() != Namespace::Solana {
        return None;
    }
    Some(SvmOffer {
        network,
        mint: account(text("asset")?)?,
        pay_to: account(text("payTo")?)?,
        amount: Amount::parse(amount).ok()?,
        fee_payer: account(extra("feePayer")?)?,
        memo: extra("memo").map(str::to_owned),
        echo: offer.clone(),
    })
}
