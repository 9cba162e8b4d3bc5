//! A presented payment on its way to a claim: identified, verified, checked.
//!
//! Identified = whose proof it is, whatever its price and age: enough to recognise a repeat.
//! Verified = it pays one of our own offers, now. Checked = the payment network sees no obstacle.

use std::sync::Arc;

use compute_domain::money::AssetAmount;
use compute_domain::operation::Operation;
use compute_domain::payment::{Payment, RailLabel};
use compute_domain::time::Timestamp;
use compute_mpp::ProblemType;
use compute_wallet::WalletAddress;
use compute_x402::{Authority, PaymentPayload, ValidityWindow, VerifyError};

use crate::charge::ChargeProof;
use crate::checks::Claimant;
use crate::credential::recognise;
use crate::engine::Engine;
use crate::error::{Error, PaymentProblem};
use crate::identity::Caller;
use crate::offer::OfferSheet;
use crate::ports::{AnyRail, Check, Rail, TxMode};
use crate::proof::{PaymentProof, StoredProof};
use crate::purchase::Purchase;
use crate::subject::Subject;

/// What a payment is known by, whatever its price and age.
#[derive(Debug, Clone)]
pub(crate) struct Identified {
    pub(crate) proof_key: String,
    /// The challenge that it answers.
    pub(crate) challenge_id: Option<String>,
    /// The wallet that pays; a card has none.
    pub(crate) payer: Option<WalletAddress>,
}

/// What a presented payment has bought.
#[derive(Debug)]
pub(crate) enum Bought {
    Nothing,
    /// This.
    This(Box<Operation>),
    /// It is a part of another payment: one transfer for two challenges, or two for one.
    Another,
}

/// What settles a payment, of either protocol.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a value lives for one purchase; boxing it buys nothing"
)]
pub(crate) enum AnyProof {
    X402(StoredProof),
    Mpp(ChargeProof),
}

/// A payment that pays one of our own offers; made only by [`Engine::verify`].
#[derive(Debug)]
pub(crate) struct VerifiedPayment {
    pub(crate) proof: AnyProof,
    pub(crate) rail: RailLabel,
    pub(crate) asset: AssetAmount,
    pub(crate) payer: Option<WalletAddress>,
    pub(crate) proof_key: String,
    pub(crate) challenge_id: Option<String>,
    /// After this moment it can never settle.
    pub(crate) void_after: Timestamp,
    /// The price it pays, which may be a recent one.
    pub(crate) sheet: OfferSheet,
}

impl VerifiedPayment {
    /// Who pays, as far as the payment itself proves it.
    pub(crate) fn claimant(&self) -> Claimant {
        match (&self.proof, self.payer) {
            (_, None) => Claimant::Nobody,
            (AnyProof::Mpp(proof), Some(payer)) if !proof.is_signed() => Claimant::Named(payer),
            (_, Some(payer)) => Claimant::Signed(payer),
        }
    }
}

impl Engine {
    /// Whose proof this is; `None` when it is not on a rail of ours or does not hold together, which
    /// verification will name. What a contract has to say for itself is asked, because whoever holds
    /// a proof may see what it bought.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    pub(crate) async fn identify(&self, proof: &PaymentProof) -> Result<Option<Identified>, Error> {
        let payload = match proof {
            PaymentProof::X402(payload) => payload,
            PaymentProof::Mpp(credential) => return Ok(recognise(credential)),
        };
        let Some((rail, identified)) = self.recognise_payload(payload) else {
            return Ok(None);
        };
        let is_signed = match identified.authority {
            Authority::Key => true,
            Authority::Contract => rail.vouch(payload).await.map_err(|error| {
                tracing::warn!(
                    payment.rail = %rail.spec().label, error = %error, "signature not checked"
                );
                Error::RailUnavailable
            })?,
        };
        Ok(is_signed.then(|| Identified {
            proof_key: identified.proof_key.into_string(),
            challenge_id: None,
            payer: Some(identified.payer),
        }))
    }

    fn recognise_payload(
        &self,
        payload: &PaymentPayload,
    ) -> Option<(&Arc<dyn Rail>, compute_x402::Identified)> {
        self.rails.iter().find_map(|rail| {
            let AnyRail::X402(rail) = rail else {
                return None;
            };
            let identified = compute_x402::identify(payload, &rail.spec().token).ok()?;
            Some((rail, identified))
        })
    }

    /// Whose key signed this payment; `None` when no key did, it is not on a rail of ours or does not
    /// hold together.
    pub fn payer_of(&self, proof: &PaymentProof) -> Option<WalletAddress> {
        match proof {
            PaymentProof::X402(payload) => {
                let (_, identified) = self.recognise_payload(payload)?;
                (identified.authority == Authority::Key).then_some(identified.payer)
            }
            PaymentProof::Mpp(credential) => recognise(credential)?.payer,
        }
    }

    /// Whether this payment has bought something already, so that showing it again is a repeat.
    ///
    /// # Errors
    /// When the database cannot be used, or the chain cannot be asked.
    pub async fn is_known(&self, proof: &PaymentProof) -> Result<bool, Error> {
        let Some(identified) = self.identify(proof).await? else {
            return Ok(false);
        };
        let bought = self.find_bought(&identified).await?;
        Ok(matches!(bought, Bought::This(_)))
    }

    /// The operation that this proof already bought, if any. Who shows a credential must show the
    /// challenge, too: its transfer is on a public chain for everybody to see.
    ///
    /// The books alone decide: what was paid under a secret, a method or a realm that is configured no
    /// more was paid all the same, and no answer may make its buyer pay again.
    pub(crate) async fn find_bought(&self, identified: &Identified) -> Result<Bought, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let by_proof = tx.find_payment(&identified.proof_key).await?;
        let by_challenge = match &identified.challenge_id {
            Some(id) => tx.find_payment_for(id).await?,
            None => None,
        };
        let bought = match (by_proof, by_challenge) {
            (None, None) => Bought::Nothing,
            (Some(payment), other) if is_whole(identified, &payment, other.as_ref()) => {
                match tx.find_operation(payment.operation).await? {
                    Some(operation) => Bought::This(Box::new(operation)),
                    None => Bought::Nothing,
                }
            }
            _ => Bought::Another,
        };
        tx.rollback().await?;
        Ok(bought)
    }

    /// Matches a payment with our own offers: the present ones, or those of prices that changed a
    /// moment ago. Pure but for one look into the database when no price in memory fits, because
    /// another replica may have seen a price change first.
    pub(crate) async fn verify(
        &self,
        proof: PaymentProof,
        purchase: &Purchase<'_>,
        sheet: OfferSheet,
    ) -> Result<VerifiedPayment, Error> {
        match proof {
            PaymentProof::X402(payload) => self.verify_payload(payload, purchase, sheet).await,
            PaymentProof::Mpp(credential) => {
                self.verify_credential(*credential, purchase, sheet).await
            }
        }
    }

    async fn verify_payload(
        &self,
        payload: PaymentPayload,
        purchase: &Purchase<'_>,
        sheet: OfferSheet,
    ) -> Result<VerifiedPayment, Error> {
        let first = self.match_price(&payload, purchase, &sheet);
        let matched = match first {
            Err(error) if error.may_be_another_price() => {
                self.reload_shelf().await?;
                self.match_price(&payload, purchase, &sheet)
            }
            other => other,
        };
        let (sheet, index, verified) = match matched {
            Ok(matched) => matched,
            Err(error) => return Err(refusal(sheet, &error)),
        };
        let offer = sheet.offers.get(index).cloned();
        let label = sheet.rails.get(index).cloned();
        let (Some(offer), Some(rail)) = (offer, label) else {
            return Err(Error::RailUnavailable);
        };
        let decimals = self.rail(&rail).map_or(0, AnyRail::decimals);
        Ok(VerifiedPayment {
            asset: AssetAmount {
                atomic: offer.amount().get(),
                decimals,
            },
            proof: AnyProof::X402(StoredProof {
                payload,
                offer,
                resource: sheet.resource.clone(),
            }),
            rail,
            payer: Some(verified.payer),
            proof_key: verified.proof_key.into_string(),
            challenge_id: None,
            void_after: Timestamp::from_secs(verified.valid_before),
            sheet,
        })
    }

    fn match_price(
        &self,
        payload: &PaymentPayload,
        purchase: &Purchase<'_>,
        present: &OfferSheet,
    ) -> Result<(OfferSheet, usize, compute_x402::Verified), VerifyError> {
        let now_s = self.now().secs();
        let min_s = self.timing().payment_validity_min.millis() / 1_000;
        let window = ValidityWindow::at(now_s).with_min_validity(u64::try_from(min_s).unwrap_or(0));
        let error = match compute_x402::verify(payload, &present.offers, window) {
            Ok(verified) => return Ok((present.clone(), verified.offer_index, verified)),
            Err(error) => error,
        };
        if !error.may_be_another_price() {
            return Err(error);
        }
        // The newest shelf too: it may have been reloaded since the sheet was made.
        let shelves = self.shelf().into_iter().chain(self.recent_shelves());
        for shelf in shelves {
            let Ok(sheet) = self.quote_from(&shelf, purchase) else {
                continue;
            };
            if let Ok(verified) = compute_x402::verify(payload, &sheet.offers, window) {
                return Ok((sheet, verified.offer_index, verified));
            }
        }
        Err(error)
    }

    /// Who may pay for whom. Under x402 the payer is the owner; a credential only pays
    /// (decisions.md 12).
    async fn check_owner(
        &self,
        purchase: &Purchase<'_>,
        payment: &VerifiedPayment,
    ) -> Result<(), Error> {
        let (AnyProof::X402(_), Some(payer)) = (&payment.proof, &payment.payer) else {
            return Ok(());
        };
        self.check_payer(purchase.caller, payer).await?;
        if let (Caller::Anonymous, Subject::Time { instance, .. }) =
            (purchase.caller, &purchase.subject)
        {
            let mut tx = self.store.begin(TxMode::Read).await?;
            let owner = tx.find_owner(payer).await?;
            tx.rollback().await?;
            if owner != Some(instance.owner) {
                return Err(Error::PayerMismatch);
            }
        }
        Ok(())
    }

    /// Asks the payment network whether anything speaks against the payment, and whether this
    /// payer may pay for this caller and this subject. Moves nothing, writes nothing.
    pub(crate) async fn check(
        &self,
        purchase: &Purchase<'_>,
        payment: &VerifiedPayment,
    ) -> Result<(), Error> {
        self.check_owner(purchase, payment).await?;
        let rail = self.rail(&payment.rail).ok_or(Error::RailUnavailable)?;
        let checked = match (rail, &payment.proof) {
            (AnyRail::X402(rail), AnyProof::X402(proof)) => rail.check(proof).await,
            (AnyRail::Mpp(rail), AnyProof::Mpp(proof)) => rail.check(proof).await,
            _ => return Err(Error::RailUnavailable),
        };
        match checked {
            Ok(Check::Fine) => Ok(()),
            Ok(Check::Refused { code }) => {
                let problem = Some(network_refusal(code, &payment.proof));
                Err(Error::PaymentRequired {
                    sheet: Box::new(payment.sheet.clone()),
                    problem,
                })
            }
            Err(error) => {
                tracing::warn!(payment.rail = %payment.rail, error = %error, "payment not checked");
                Err(Error::RailUnavailable)
            }
        }
    }

    pub(crate) fn rail(&self, label: &RailLabel) -> Option<&AnyRail> {
        self.rails.iter().find(|rail| rail.label() == label)
    }
}

/// Whether everything that was shown belongs to this payment.
fn is_whole(identified: &Identified, payment: &Payment, by_challenge: Option<&Payment>) -> bool {
    match by_challenge {
        Some(other) => other.id == payment.id,
        None => identified.challenge_id.is_none(),
    }
}

fn network_refusal(code: String, proof: &AnyProof) -> PaymentProblem {
    let detail = refusal_detail(&code).to_owned();
    let kind = match proof {
        AnyProof::X402(_) => None,
        AnyProof::Mpp(_) if code == "insufficient_funds" => Some(ProblemType::PaymentInsufficient),
        AnyProof::Mpp(_) => Some(ProblemType::VerificationFailed),
    };
    PaymentProblem { code, detail, kind }
}

/// What to do about a refusal of the payment network.
fn refusal_detail(code: &str) -> &'static str {
    match code {
        "insufficient_funds" => {
            "the payer does not hold the amount; put it there, and sign a new payment"
        }
        "permit2_allowance_required" => {
            "the payer has not approved Permit2 for this token: approve it, or send a permit for it \
             in the extension eip2612GasSponsoring"
        }
        "invalid_permit_nonce" => {
            "the permit is not the next one of its owner: read nonces(owner) of the token, and sign again"
        }
        "simulation_failed" => {
            "the chain would undo this transaction: look at the payer's balance for amount and fee, and \
             at its access keys; sign a new payment"
        }
        "nonce_used" | "nonce_too_high" => {
            "the nonce of this transaction is not the payer's next one; sign again"
        }
        "transaction_expired" | "transaction_not_yet_valid" | "transaction_valid_too_long" => {
            "the chain does not take this transaction now, by its own times; sign again"
        }
        "transaction_not_found" => {
            "the chain does not know this transaction yet; send the same credential again in a moment"
        }
        "transaction_reverted" => "the chain undid this transaction: nothing was paid",
        "wrong_payment" => "this transaction does not pay this challenge",
        _ => "the payment network would refuse this payment",
    }
}

fn refusal(sheet: OfferSheet, error: &VerifyError) -> Error {
    let code = error.code().as_str().to_owned();
    let detail = error.to_string();
    if error.is_malformed() {
        Error::PaymentMalformed { code, detail }
    } else {
        let problem = Some(PaymentProblem::x402(code, detail));
        Error::PaymentRequired {
            sheet: Box::new(sheet),
            problem,
        }
    }
}
