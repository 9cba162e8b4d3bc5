//! The transfer that an EIP-3009 payment authorizes.

use compute_wallet::{Digest32, EvmAddress, WalletAddress};
use compute_x402::{Amount, Body, Method, Offer, PaymentPayload};

/// The transfer that a payment authorizes: what to look for on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedTransfer {
    /// The token.
    pub token: EvmAddress,
    /// Who pays.
    pub from: EvmAddress,
    /// Who is paid.
    pub to: EvmAddress,
    /// How much.
    pub amount: Amount,
    /// What makes it single.
    pub nonce: Digest32,
    /// Unix seconds; the token refuses from this second on.
    pub valid_before: u64,
}

impl AuthorizedTransfer {
    /// Reads it from a payment and the offer that it pays. `None` when it is not an EIP-3009 payment
    /// of that offer, which verification lets nobody claim.
    #[must_use]
    pub fn of(payload: &PaymentPayload, offer: &Offer) -> Option<Self> {
        let (Body::Authorization(signed), Method::Eip3009 { token, .. }) =
            (payload.body(), offer.token().method())
        else {
            return None;
        };
        let authorization = &signed.authorization;
        if WalletAddress::Evm(authorization.to) != offer.pay_to()
            || authorization.value.to_u128() != Some(offer.amount().get())
        {
            return None;
        }
        Some(Self {
            token: token.contract(),
            from: authorization.from,
            to: authorization.to,
            amount: offer.amount(),
            nonce: authorization.nonce,
            valid_before: authorization.valid_before,
        })
    }
}
