//! Payments on Solana.

use compute_wallet::WalletAddress;

use super::error::VerifyError;
use super::proof_key::ProofKey;
use super::window::ValidityWindow;
use super::{Authority, Parts, unusable};
use crate::exact_svm::{SvmFault, SvmToken, SvmTransaction, SvmTransfer};
use crate::offer::Offer;
use crate::payload::{Body, PaymentPayload, Version};

/// A transaction that may pay in a token.
pub(super) struct Transfer<'a> {
    transaction: SvmTransaction,
    token: &'a SvmToken,
    version: Version,
}

impl<'a> Transfer<'a> {
    pub(super) fn read(payload: &PaymentPayload, token: &'a SvmToken) -> Result<Self, VerifyError> {
        let text = match payload.body() {
            Body::Transaction(text) => text,
            other => return Err(unusable(other)),
        };
        Ok(Self {
            transaction: SvmTransaction::decode(text)?,
            token,
            version: payload.version(),
        })
    }

    pub(super) fn identify(&self) -> Result<Parts, VerifyError> {
        let identified = self.transaction.identify()?;
        let (transfer, terms) = (identified.transfer, self.token.terms());
        if transfer.mint != terms.mint() || transfer.token_program != terms.token_program() {
            return Err(SvmFault::Mint.into());
        }
        Ok(self.parts(&transfer, &identified.message_hash, u64::MAX))
    }

    pub(super) fn verify(
        &self,
        offer: &Offer,
        window: ValidityWindow,
    ) -> Result<Parts, VerifyError> {
        let pay_to = self.token.pay_to(&offer.pay_to());
        let verified = self.transaction.verify(
            self.token.terms_in(self.version),
            &pay_to.ok_or(SvmFault::Recipient)?,
            offer.amount(),
            self.token.limits(),
        )?;
        let end_s = window.end_of_blockhash();
        Ok(self.parts(&verified.transfer, &verified.message_hash, end_s))
    }

    fn parts(&self, transfer: &SvmTransfer, message_hash: &[u8; 32], valid_before: u64) -> Parts {
        Parts {
            payer: transfer.authority.into(),
            authority: Authority::Key,
            proof_key: ProofKey::svm(self.token.terms().network(), message_hash),
            pay_to: WalletAddress::Solana(transfer.destination),
            value: Some(transfer.amount),
            valid_after: 0,
            valid_before,
        }
    }
}

/// Whether a payment names this price and this recipient; nothing else of it is looked at.
pub(super) fn is_paid_by(offer: &Offer, text: &str) -> bool {
    let transfer = SvmTransaction::decode(text)
        .ok()
        .and_then(|it| it.transfer());
    let pays = |token: &SvmToken, transfer: SvmTransfer| {
        let pay_to = token.pay_to(&offer.pay_to())?;
        let is_price = transfer.amount == offer.amount() && transfer.mint == token.terms().mint();
        Some(is_price && transfer.destination == pay_to.destination(token.terms()))
    };
    match (offer.token().as_svm(), transfer) {
        (Some(token), Some(transfer)) => pays(token, transfer).unwrap_or(false),
        _ => false,
    }
}
