//! Payments on EVM chains: EIP-3009, direct permits and Permit2.
//!
//! Each is read first, down to the form of its signature; curve arithmetic comes last.

use compute_wallet::{EvmAddress, Uint256, WalletAddress};

use super::error::{Permit2Fault, VerifyError};
use super::proof_key::ProofKey;
use super::window::ValidityWindow;
use super::{Authority, Parts, unusable};
use crate::amount::Amount;
use crate::exact_evm::{SignatureFault, SignedAuthorization};
use crate::offer::Offer;
use crate::payload::{Body, PaymentPayload, Version};
use crate::permit::SignedPermit;
use crate::permit2::{EXACT_PROXY, PERMIT2, SignedPermit2, Sponsored};
use crate::token::{EvmToken, PermitPaths};

/// A value beyond 128 bits is a number, but no amount that was ever asked.
pub(super) fn amount_of(value: Uint256) -> Option<Amount> {
    value.to_u128().map(Amount::new)
}

/// An EIP-3009 payment whose signature has a form that can be one.
pub(super) struct Authorized<'a> {
    signed: &'a SignedAuthorization,
    token: &'a EvmToken,
    version: Version,
    takes_contract_wallets: bool,
}

/// A payment in a token without EIP-3009.
pub(super) enum Permitted<'a> {
    Direct(Direct<'a>),
    Through(Through<'a>),
}

/// A permit for the facilitator itself.
pub(super) struct Direct<'a> {
    signed: SignedPermit,
    token: &'a EvmToken,
    spender: EvmAddress,
    version: Version,
}

/// A transfer through Permit2.
pub(super) struct Through<'a> {
    signed: &'a SignedPermit2,
    token: &'a EvmToken,
    separator: &'a [u8; 32],
}

impl<'a> Authorized<'a> {
    pub(super) fn read(
        payload: &'a PaymentPayload,
        token: &'a EvmToken,
        takes_contract_wallets: bool,
    ) -> Result<Self, VerifyError> {
        let signed = match payload.body() {
            Body::Authorization(signed) => signed,
            other => return Err(unusable(other)),
        };
        let may_be_contracts = takes_contract_wallets && signed.contract_signature().is_some();
        if let Err(fault) = signed.parse_signature()
            && !may_be_contracts
        {
            return Err(fault.into());
        }
        Ok(Self {
            signed,
            token,
            version: payload.version(),
            takes_contract_wallets,
        })
    }

    pub(super) fn identify(&self) -> Result<Parts, VerifyError> {
        let authorization = &self.signed.authorization;
        Ok(Parts {
            authority: self.authority()?,
            payer: authorization.from.into(),
            proof_key: ProofKey::eip3009(self.token, authorization),
            pay_to: authorization.to.into(),
            value: amount_of(authorization.value),
            valid_after: authorization.valid_after,
            valid_before: authorization.valid_before,
        })
    }

    pub(super) fn verify(
        &self,
        offer: &Offer,
        window: ValidityWindow,
    ) -> Result<Parts, VerifyError> {
        let authorization = &self.signed.authorization;
        if WalletAddress::Evm(authorization.to) != offer.pay_to() {
            return Err(VerifyError::Recipient);
        }
        if authorization.from == authorization.to {
            return Err(VerifyError::SelfPayment);
        }
        if amount_of(authorization.value) != Some(offer.amount()) {
            return Err(VerifyError::Value(self.version));
        }
        if !window.takes_end(authorization.valid_before) {
            return Err(VerifyError::ValidBefore);
        }
        if !window.has_begun(authorization.valid_after) {
            return Err(VerifyError::ValidAfter);
        }
        self.identify()
    }

    fn authority(&self) -> Result<Authority, VerifyError> {
        match self.signed.check_signature(self.token) {
            Ok(()) => Ok(Authority::Key),
            Err(SignatureFault::Refused(_))
                if self.takes_contract_wallets && self.signed.contract_signature().is_some() =>
            {
                Ok(Authority::Contract)
            }
            Err(fault) => Err(fault.into()),
        }
    }
}

/// Reads a payment in a token that is paid by permit.
pub(super) fn permitted<'a>(
    payload: &'a PaymentPayload,
    token: &'a EvmToken,
    paths: &'a PermitPaths,
) -> Result<Permitted<'a>, VerifyError> {
    let direct = |signed: SignedPermit| {
        let spender = paths.spender().ok_or(VerifyError::UnsupportedPayload)?;
        signed.parse_signature().map_err(VerifyError::Signature)?;
        Ok(Permitted::Direct(Direct {
            signed,
            token,
            spender,
            version: payload.version(),
        }))
    };
    match payload.body() {
        Body::Authorization(signed) => {
            // Wrapped signatures keep their own answer, whatever the method.
            signed.parse_signature()?;
            direct(SignedPermit::from_authorization(signed))
        }
        Body::Permit(signed) => direct(SignedPermit::clone(signed)),
        Body::Permit2(signed) => {
            let separator = paths.permit2_separator();
            let separator = separator.ok_or(VerifyError::UnsupportedPayload)?;
            let malformed = |_| VerifyError::from(Permit2Fault::Signature);
            signed.parse_signature().map_err(malformed)?;
            Ok(Permitted::Through(Through {
                signed,
                token,
                separator,
            }))
        }
        other => Err(unusable(other)),
    }
}

impl Permitted<'_> {
    pub(super) fn identify(&self) -> Result<Parts, VerifyError> {
        match self {
            Self::Direct(direct) => direct.identify(),
            Self::Through(through) => through.identify(),
        }
    }

    pub(super) fn verify(
        &self,
        offer: &Offer,
        window: ValidityWindow,
    ) -> Result<Parts, VerifyError> {
        match self {
            Self::Direct(direct) => direct.verify(offer, window),
            Self::Through(through) => through.verify(offer, window),
        }
    }
}

impl Direct<'_> {
    fn identify(&self) -> Result<Parts, VerifyError> {
        let checked = self.signed.check_signature(self.token);
        checked.map_err(VerifyError::Signature)?;
        let permit = &self.signed.permit;
        Ok(Parts {
            authority: Authority::Key,
            payer: permit.owner.into(),
            proof_key: ProofKey::erc2612(self.token, permit),
            pay_to: permit.spender.into(),
            value: amount_of(permit.value),
            valid_after: 0,
            valid_before: permit.deadline.saturating_add(1),
        })
    }

    fn verify(&self, offer: &Offer, window: ValidityWindow) -> Result<Parts, VerifyError> {
        let permit = &self.signed.permit;
        if permit.spender != self.spender {
            return Err(VerifyError::PermitSpender);
        }
        if permit.owner == permit.spender || WalletAddress::Evm(permit.owner) == offer.pay_to() {
            return Err(VerifyError::SelfPayment);
        }
        if amount_of(permit.value) != Some(offer.amount()) {
            return Err(VerifyError::Value(self.version));
        }
        if !window.takes_end(permit.deadline) {
            return Err(VerifyError::ValidBefore);
        }
        self.identify()
    }
}

impl Through<'_> {
    fn identify(&self) -> Result<Parts, VerifyError> {
        let checked = self.signed.check_signature(self.separator);
        checked.map_err(|_| Permit2Fault::Signature)?;
        let transfer = &self.signed.transfer;
        Ok(Parts {
            authority: Authority::Key,
            payer: transfer.from.into(),
            proof_key: ProofKey::permit2(self.token, transfer),
            pay_to: transfer.to.into(),
            value: amount_of(transfer.amount),
            // The proxy takes the first second, other methods do not.
            valid_after: transfer.valid_after.saturating_sub(1),
            valid_before: transfer.deadline.saturating_add(1),
        })
    }

    fn verify(&self, offer: &Offer, window: ValidityWindow) -> Result<Parts, VerifyError> {
        let transfer = &self.signed.transfer;
        if transfer.spender != EXACT_PROXY {
            return Err(Permit2Fault::Spender.into());
        }
        if WalletAddress::Evm(transfer.to) != offer.pay_to() {
            return Err(Permit2Fault::Recipient.into());
        }
        if transfer.from == transfer.to {
            return Err(VerifyError::SelfPayment);
        }
        if !window.takes_end(transfer.deadline) {
            return Err(Permit2Fault::Deadline.into());
        }
        if !window.has_begun(transfer.valid_after) {
            return Err(Permit2Fault::NotYet.into());
        }
        if amount_of(transfer.amount) != Some(offer.amount()) {
            return Err(Permit2Fault::Amount.into());
        }
        if transfer.token != self.token.contract() {
            return Err(Permit2Fault::Token.into());
        }
        let parts = self.identify()?;
        self.check_sponsored(window)?;
        Ok(parts)
    }

    // What the proxy or the token would refuse, found out before it costs gas.
    fn check_sponsored(&self, window: ValidityWindow) -> Result<(), Permit2Fault> {
        let (asset, signed) = match &self.signed.sponsored {
            Sponsored::Absent => return Ok(()),
            Sponsored::Malformed => return Err(Permit2Fault::SponsoredFormat),
            Sponsored::Permit { asset, permit } => (*asset, permit),
        };
        let (permit, transfer) = (&signed.permit, &self.signed.transfer);
        if permit.owner != transfer.from {
            return Err(Permit2Fault::SponsoredFrom);
        }
        if asset != transfer.token {
            return Err(Permit2Fault::SponsoredAsset);
        }
        if permit.spender != PERMIT2 {
            return Err(Permit2Fault::SponsoredSpender);
        }
        if !window.leaves_time(permit.deadline) {
            return Err(Permit2Fault::SponsoredDeadline);
        }
        if permit.value != transfer.amount {
            return Err(Permit2Fault::SponsoredAmount);
        }
        let checked = signed.check_signature(self.token);
        checked.map_err(|_| Permit2Fault::SponsoredSignature)
    }
}
