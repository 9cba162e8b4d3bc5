//! What a stored proof pays, in the shape of the call that settles it.

use compute_engine::StoredProof;
use compute_evm::{AuthorizedTransfer, PermittedTransfer};
use compute_wallet::{EvmAddress, WalletAddress};
use compute_x402::permit::{Permit, SignedPermit};
use compute_x402::permit2::Sponsored;
use compute_x402::{Amount, Body, Method, Offer, PaymentPayload};

use crate::calls::{Call, Signature};

/// A payment in one of the ways this rail knows.
#[derive(Debug)]
pub(crate) enum Paying {
    /// EIP-3009: one transaction, which anybody may submit.
    Authorization {
        transfer: AuthorizedTransfer,
        call: Call,
        digest: [u8; 32],
        /// What a contract wallet must say yes to, when the payer's key did not sign.
        contract_signature: Option<Vec<u8>>,
    },
    /// A permit for the hot wallet: two transactions, the second only ours.
    Permit(PermitPayment),
    /// Permit2: one transaction, which anybody may submit.
    Permit2(Permit2Payment),
}

/// A direct permit.
#[derive(Debug)]
pub(crate) struct PermitPayment {
    pub(crate) token: EvmAddress,
    pub(crate) permit: Permit,
    pub(crate) amount: Amount,
    pub(crate) call: Call,
}

/// A Permit2 transfer.
#[derive(Debug)]
pub(crate) struct Permit2Payment {
    pub(crate) transfer: PermittedTransfer,
    pub(crate) is_sponsored: bool,
    pub(crate) call: Call,
}

impl Paying {
    /// Reads a proof; `None` when it is no payment of its offer, which verification lets nobody
    /// claim.
    pub(crate) fn of(proof: &StoredProof) -> Option<Self> {
        Self::read(&proof.payload, &proof.offer)
    }

    pub(crate) fn read(payload: &PaymentPayload, offer: &Offer) -> Option<Self> {
        match offer.token().method() {
            Method::Eip3009 { token, .. } => {
                let Body::Authorization(signed) = payload.body() else {
                    return None;
                };
                let is_key = signed.check_signature(token).is_ok();
                let contract_signature = (!is_key).then(|| signed.contract_signature());
                let contract_signature = match contract_signature {
                    Some(found) => Some(found?),
                    None => None,
                };
                let signature = match &contract_signature {
                    Some(bytes) => Signature::Contract(bytes.clone()),
                    None => Signature::Key(signed.parse_signature().ok()?),
                };
                Some(Self::Authorization {
                    transfer: AuthorizedTransfer::of(payload, offer)?,
                    digest: signed.authorization.digest(token),
                    call: Call::Authorization {
                        token: token.contract(),
                        authorization: signed.authorization,
                        signature,
                    },
                    contract_signature,
                })
            }
            Method::Permit { token, .. } => match payload.body() {
                Body::Authorization(signed) => {
                    let signed = SignedPermit::from_authorization(signed);
                    PermitPayment::new(&signed, token.contract(), offer).map(Self::Permit)
                }
                Body::Permit(signed) => {
                    PermitPayment::new(signed, token.contract(), offer).map(Self::Permit)
                }
                Body::Permit2(signed) => {
                    let sponsored = match &signed.sponsored {
                        Sponsored::Permit { permit, .. } => {
                            Some(Box::new((permit.permit, permit.parse_signature().ok()?)))
                        }
                        Sponsored::Absent => None,
                        Sponsored::Malformed => return None,
                    };
                    Some(Self::Permit2(Permit2Payment {
                        transfer: PermittedTransfer::of(payload, offer)?,
                        is_sponsored: sponsored.is_some(),
                        call: Call::Permit2 {
                            transfer: signed.transfer,
                            signature: signed.parse_signature().ok()?,
                            sponsored,
                        },
                    }))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

impl PermitPayment {
    fn new(signed: &SignedPermit, token: EvmAddress, offer: &Offer) -> Option<Self> {
        let permit = signed.permit;
        let is_exact = permit.value.to_u128() == Some(offer.amount().get());
        let is_for_us = WalletAddress::Evm(permit.spender) == offer.pay_to();
        (is_exact && is_for_us).then_some(())?;
        Some(Self {
            token,
            permit,
            amount: offer.amount(),
            call: Call::Permit {
                token,
                permit,
                signature: signed.parse_signature().ok()?,
            },
        })
    }

    /// What moves the approved money on.
    pub(crate) const fn pull(&self, treasury: EvmAddress) -> Call {
        Call::Pull {
            token: self.token,
            owner: self.permit.owner,
            to: treasury,
            amount: self.amount,
        }
    }
}
