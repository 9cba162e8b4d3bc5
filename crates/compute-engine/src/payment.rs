//! A presented payment on its way to a claim: identified, verified, checked.
//!
//! Identified = whose proof it is, whatever its price and age: enough to recognise a repeat.
//! Verified = it pays one of our own offers, now. Checked = the payment network sees no obstacle.

use std::sync::Arc;

use compute_domain::operation::Operation;
use compute_domain::payment::RailLabel;
use compute_wallet::WalletAddress;
use compute_x402::{Authority, Identified, PaymentPayload, ValidityWindow, VerifyError};

use crate::engine::Engine;
use crate::error::{Error, PaymentProblem};
use crate::identity::Caller;
use crate::offer::OfferSheet;
use crate::ports::{Check, Rail, TxMode};
use crate::proof::StoredProof;
use crate::purchase::Purchase;
use crate::subject::Subject;

/// A payment that pays one of our own offers; made only by [`Engine::verify`].
#[derive(Debug)]
pub(crate) struct VerifiedPayment {
    pub(crate) proof: StoredProof,
    pub(crate) rail: RailLabel,
    pub(crate) decimals: u8,
    pub(crate) payer: WalletAddress,
    pub(crate) proof_key: String,
    pub(crate) valid_before_s: u64,
    /// The price it pays, which may be a recent one.
    pub(crate) sheet: OfferSheet,
}

impl Engine {
    /// Whose proof this is; `None` when it is not on a rail of ours or does not hold together, which
    /// verification will name. What a contract has to say for itself is asked, because whoever holds
    /// a proof may see what it bought.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    pub(crate) async fn identify(
        &self,
        payload: &PaymentPayload,
    ) -> Result<Option<Identified>, Error> {
        let Some((rail, identified)) = self.recognise(payload) else {
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
        Ok(is_signed.then_some(identified))
    }

    fn recognise(&self, payload: &PaymentPayload) -> Option<(&Arc<dyn Rail>, Identified)> {
        self.rails.iter().find_map(|rail| {
            let identified = compute_x402::identify(payload, &rail.spec().token).ok()?;
            Some((rail, identified))
        })
    }

    /// Whose key signed this payment; `None` when no key did, it is not on a rail of ours or does not
    /// hold together.
    pub fn payer_of(&self, payload: &PaymentPayload) -> Option<WalletAddress> {
        let (_, identified) = self.recognise(payload)?;
        (identified.authority == Authority::Key).then_some(identified.payer)
    }

    /// Whether this payment has bought something already, so that showing it again is a repeat.
    ///
    /// # Errors
    /// When the database cannot be used, or the chain cannot be asked.
    pub async fn is_known(&self, payload: &PaymentPayload) -> Result<bool, Error> {
        match self.identify(payload).await? {
            Some(identified) => Ok(self.find_bought(&identified).await?.is_some()),
            None => Ok(false),
        }
    }

    /// The operation that this proof already bought, if any.
    pub(crate) async fn find_bought(
        &self,
        identified: &Identified,
    ) -> Result<Option<Operation>, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let operation = match tx.find_payment(identified.proof_key.as_str()).await? {
            Some(payment) => tx.find_operation(payment.operation).await?,
            None => None,
        };
        tx.rollback().await?;
        Ok(operation)
    }

    /// Matches a payment with our own offers: the present ones, or those of prices that changed a
    /// moment ago. Pure but for one look into the database when no price in memory fits, because
    /// another replica may have seen a price change first.
    pub(crate) async fn verify(
        &self,
        payload: PaymentPayload,
        subject: &Subject<'_>,
        sheet: OfferSheet,
    ) -> Result<VerifiedPayment, Error> {
        let first = self.match_price(&payload, subject, &sheet);
        let matched = match first {
            Err(error) if error.may_be_another_price() => {
                self.reload_shelf().await?;
                self.match_price(&payload, subject, &sheet)
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
        let decimals = self.rail(&rail).map_or(0, |rail| rail.spec().decimals);
        Ok(VerifiedPayment {
            proof: StoredProof {
                payload,
                offer,
                resource: sheet.resource.clone(),
            },
            rail,
            decimals,
            payer: verified.payer,
            proof_key: verified.proof_key.into_string(),
            valid_before_s: verified.valid_before,
            sheet,
        })
    }

    fn match_price(
        &self,
        payload: &PaymentPayload,
        subject: &Subject<'_>,
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
            let Ok(sheet) = self.quote_from(&shelf, subject, &present.resource.url) else {
                continue;
            };
            if let Ok(verified) = compute_x402::verify(payload, &sheet.offers, window) {
                return Ok((sheet, verified.offer_index, verified));
            }
        }
        Err(error)
    }

    /// Asks the payment network whether anything speaks against the payment, and whether this
    /// payer may pay for this caller and this subject. Moves nothing, writes nothing.
    pub(crate) async fn check(
        &self,
        purchase: &Purchase<'_>,
        payment: &VerifiedPayment,
    ) -> Result<(), Error> {
        self.check_payer(purchase.caller, &payment.payer).await?;
        if let (Caller::Anonymous, Subject::Time { instance, .. }) =
            (purchase.caller, &purchase.subject)
        {
            let mut tx = self.store.begin(TxMode::Read).await?;
            let owner = tx.find_owner(&payment.payer).await?;
            tx.rollback().await?;
            if owner != Some(instance.owner) {
                return Err(Error::PayerMismatch);
            }
        }
        let rail = self.rail(&payment.rail).ok_or(Error::RailUnavailable)?;
        match rail.check(&payment.proof).await {
            Ok(Check::Fine) => Ok(()),
            Ok(Check::Refused { code }) => {
                let detail = refusal_detail(&code).to_owned();
                let problem = Some(PaymentProblem { code, detail });
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

    pub(crate) fn rail(&self, label: &RailLabel) -> Option<&Arc<dyn Rail>> {
        self.rails.iter().find(|rail| rail.spec().label == *label)
    }
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
        _ => "the payment network would refuse this payment",
    }
}

fn refusal(sheet: OfferSheet, error: &VerifyError) -> Error {
    let code = error.code().as_str().to_owned();
    let detail = error.to_string();
    if error.is_malformed() {
        Error::PaymentMalformed { code, detail }
    } else {
        let problem = Some(PaymentProblem { code, detail });
        Error::PaymentRequired {
            sheet: Box::new(sheet),
            problem,
        }
    }
}
