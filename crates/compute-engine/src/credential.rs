//! Credentials of the Payment authentication scheme: whose they are, and whether they pay one of our
//! charges now (mpp.md 12, 18).

use compute_domain::money::AssetAmount;
use compute_domain::time::{Span, Timestamp};
use compute_mpp::method::CHARGE;
use compute_mpp::stripe::SharedPaymentToken;
use compute_mpp::tempo::{
    Fault, PAST_EXPIRY_S, Sponsorship, TempoCharge, TempoError, TempoPayload, TempoTerms,
    Transaction, verify_transaction,
};
use compute_mpp::{Challenge, Credential, ProblemType};

use crate::charge::{Charge, ChargeProof, ChargeTerms, Instrument};
use crate::engine::Engine;
use crate::error::{Error, PaymentProblem};
use crate::offer::OfferSheet;
use crate::payment::{AnyProof, Identified, VerifiedPayment};
use crate::ports::AnyRail;
use crate::purchase::Purchase;
use crate::sent::is_sent;

/// How long a transfer is looked for that its buyer sent; it was on the chain when it was checked.
const OPEN_TRANSFER_LIFE: Span = Span::from_hours(24);
/// Stripe forgets idempotency keys after a day; before that the same charge is safe to repeat. The rail
/// goes by the end of this (`void_after`): after it no call that takes money is made.
const CARD_LIFE: Span = Span::from_hours(20);

/// Whose credential this is; `None` when its method is none of ours or its payload does not hold
/// together, which verification will name. Asks no configuration: what was paid stays known when its
/// method is no longer offered.
pub(crate) fn recognise(credential: &Credential) -> Option<Identified> {
    let instrument = Instrument::of(credential)?;
    Some(Identified {
        proof_key: instrument.proof_key(),
        challenge_id: Some(credential.challenge().id().to_owned()),
        payer: instrument.payer()?,
    })
}

impl Engine {
    /// Whether anything can be paid by a credential here.
    pub const fn takes_credentials(&self) -> bool {
        self.config.mpp.is_some()
    }

    /// Matches a credential with our own charges: the present ones, or those of prices that changed a
    /// moment ago.
    ///
    /// # Errors
    /// `MethodUnsupported`, `RailUnavailable`, and `PaymentRequired` for a credential that does not
    /// pay this request.
    pub(crate) async fn verify_credential(
        &self,
        credential: Credential,
        purchase: &Purchase<'_>,
        sheet: OfferSheet,
    ) -> Result<VerifiedPayment, Error> {
        self.require_offered(&credential, &sheet)?;
        if let Err(problem) = self.check_challenge(&credential, &sheet) {
            return Err(refusal(sheet, problem));
        }
        let mut found = self.match_charge(credential.challenge(), purchase, &sheet);
        if found.is_none() {
            self.reload_shelf().await?;
            found = self.match_charge(credential.challenge(), purchase, &sheet);
        }
        let Some((priced, charge)) = found else {
            let detail = "the challenge asks for another price or payee than this request has now";
            let problem = PaymentProblem::mpp(ProblemType::InvalidChallenge, detail);
            return Err(refusal(sheet, problem));
        };
        let Some(AnyRail::Mpp(rail)) = self.rail(&charge.rail) else {
            return Err(Error::RailUnavailable);
        };
        let account = rail.account();
        let proof = ChargeProof {
            credential,
            terms: rail.spec().terms.clone(),
            atomic: charge.atomic,
            account,
        };
        let void_after = match self.check_payload(&proof) {
            Ok(void_after) => void_after,
            Err(problem) => return Err(refusal(priced, problem)),
        };
        // Verified, so it can be identified.
        let instrument = proof.instrument();
        let payer = instrument.as_ref().and_then(|shown| shown.payer());
        let (Some(instrument), Some(payer)) = (instrument, payer) else {
            let detail = "the payload cannot be read";
            let problem = PaymentProblem::mpp(ProblemType::InvalidPayload, detail);
            return Err(refusal(priced, problem));
        };
        Ok(VerifiedPayment {
            asset: AssetAmount {
                atomic: charge.atomic,
                decimals: rail.spec().decimals,
            },
            rail: charge.rail,
            payer,
            proof_key: instrument.proof_key(),
            challenge_id: Some(proof.credential.challenge().id().to_owned()),
            void_after,
            proof: AnyProof::Mpp(proof),
            sheet: priced,
        })
    }

    /// Refuses what no challenge of this request can have asked for.
    fn require_offered(&self, credential: &Credential, sheet: &OfferSheet) -> Result<(), Error> {
        let challenge = credential.challenge();
        let is_method = |method: &str| method == challenge.method();
        let is_charge = challenge.intent() == CHARGE;
        if is_charge && sheet.charges.iter().any(|it| is_method(it.method.as_str())) {
            return Ok(());
        }
        // It may have been offered while its rail could settle.
        let is_withdrawn = self.rails.iter().any(|rail| match rail {
            AnyRail::Mpp(rail) => is_method(rail.spec().terms.method().as_str()),
            AnyRail::X402(_) => false,
        });
        if is_charge && is_withdrawn && sheet.binding.is_some() {
            Err(Error::RailUnavailable)
        } else {
            Err(Error::MethodUnsupported)
        }
    }

    /// Whether the challenge is ours, for this very request, and in time. Who has sent the money before
    /// it shows the hash may be late by as much as a price is kept.
    fn check_challenge(
        &self,
        credential: &Credential,
        sheet: &OfferSheet,
    ) -> Result<(), PaymentProblem> {
        let challenge = credential.challenge();
        let (Some(mpp), Some(binding)) = (&self.config.mpp, &sheet.binding) else {
            let detail = "no challenge is offered for this request";
            return Err(PaymentProblem::mpp(ProblemType::InvalidChallenge, detail));
        };
        let now = self.now();
        let at = if is_sent(credential) {
            now.minus(self.config.sales.price_grace)
        } else {
            now
        };
        challenge
            .authenticate(&mpp.secrets, &mpp.realm, at.secs())
            .map_err(|error| PaymentProblem::mpp(error.problem_type(), error.to_string()))?;
        let detail = if !challenge.is_for(&binding.operation) {
            "the challenge is for another route or instance"
        } else if !challenge.binds_body(binding.facts.body.as_ref()) {
            "the challenge is for another body: send the very bytes that were answered with it"
        } else {
            return Ok(());
        };
        Err(PaymentProblem::mpp(ProblemType::InvalidChallenge, detail))
    }

    /// The charge that a challenge asks for, at the present prices or at recent ones.
    fn match_charge(
        &self,
        challenge: &Challenge,
        purchase: &Purchase<'_>,
        present: &OfferSheet,
    ) -> Option<(OfferSheet, Charge)> {
        let find = |sheet: &OfferSheet| {
            let mut charges = sheet.charges.iter();
            charges
                .find(|charge| challenge.asks_for(&charge.method, &charge.request))
                .cloned()
        };
        if let Some(charge) = find(present) {
            return Some((present.clone(), charge));
        }
        let shelves = self.shelf().into_iter().chain(self.recent_shelves());
        let mut sheets = shelves.filter_map(|shelf| self.quote_from(&shelf, purchase).ok());
        sheets.find_map(|sheet| {
            let charge = find(&sheet)?;
            Some((sheet, charge))
        })
    }

    /// Whether the payload pays its challenge, as far as this can be known without the network; until
    /// when it can settle.
    pub(crate) fn check_payload(&self, proof: &ChargeProof) -> Result<Timestamp, PaymentProblem> {
        let now = self.now();
        match &proof.terms {
            ChargeTerms::Tempo(terms) => {
                let valid_before = check_transfer(proof, terms, now)?;
                Ok(valid_before.map_or_else(|| now.plus(OPEN_TRANSFER_LIFE), Timestamp::from_secs))
            }
            ChargeTerms::Stripe { .. } => {
                let unreadable = "the challenge's request cannot be read";
                let request = proof.credential.challenge().charge();
                let request = request
                    .map_err(|_| PaymentProblem::mpp(ProblemType::InvalidChallenge, unreadable))?;
                SharedPaymentToken::from_payload(proof.credential.payload(), &request).map_err(
                    |error| PaymentProblem::mpp(error.problem_type(), error.to_string()),
                )?;
                Ok(now.plus(CARD_LIFE))
            }
        }
    }
}

/// Until when a transfer can be included, when it says so.
fn check_transfer(
    proof: &ChargeProof,
    terms: &TempoTerms,
    now: Timestamp,
) -> Result<Option<u64>, PaymentProblem> {
    let credential = &proof.credential;
    let payload = TempoPayload::parse(credential.payload())
        .and_then(|payload| terms.check_mode(&payload).map(|()| payload))
        .map_err(|error| tempo_problem(&TempoError::Payload(error)))?;
    let source = credential
        .source()
        .map_err(|error| PaymentProblem::mpp(ProblemType::VerificationFailed, error.to_string()))?;
    let transaction = match payload {
        TempoPayload::Transaction(bytes) => Transaction::decode(&bytes)
            .map_err(|error| tempo_problem(&TempoError::Decode(error)))?,
        TempoPayload::Hash(_) => {
            let is_here = source.is_some_and(|source| source.chain_id == terms.chain_id);
            if is_here {
                return Ok(None);
            }
            let detail = format!(
                "a hash needs source: did:pkh:eip155:{}:<the account that sent it>",
                terms.chain_id
            );
            return Err(PaymentProblem::mpp(ProblemType::VerificationFailed, detail));
        }
    };
    // With another signature for the fee it would pay under another hash, which nobody here looks for.
    if !terms.fee_payer && matches!(transaction.sponsorship, Sponsorship::Signed(_)) {
        return Err(tempo_problem(&TempoError::SponsorshipNotOffered));
    }
    let challenge = credential.challenge();
    let charge = TempoCharge {
        terms,
        amount: proof.atomic,
        realm: challenge.realm(),
        challenge_id: challenge.id(),
    };
    let expires_s = challenge.expires_s().unwrap_or_default();
    let source = source.map(|source| source.to_string());
    let verified = verify_transaction(
        &transaction,
        &charge,
        expires_s,
        source.as_deref(),
        now.secs(),
    );
    let verified = verified.map_err(|error| tempo_problem(&error))?;
    if verified.valid_before.is_none() {
        // It would hold a place, and what is left of the plan, for as long as nobody takes its nonce.
        let latest = expires_s.saturating_add(PAST_EXPIRY_S);
        let detail = format!("expected validBefore at {latest} or earlier, found none");
        return Err(PaymentProblem::mpp(ProblemType::VerificationFailed, detail));
    }
    Ok(verified.valid_before)
}

fn tempo_problem(error: &TempoError) -> PaymentProblem {
    let kind = match error.fault() {
        Fault::InvalidPayload => ProblemType::InvalidPayload,
        Fault::VerificationFailed => ProblemType::VerificationFailed,
    };
    // The texts of the inner errors say what was expected and what was found.
    let mut detail = error.to_string();
    let mut inner = std::error::Error::source(error);
    while let Some(cause) = inner {
        detail = format!("{detail}: {cause}");
        inner = cause.source();
    }
    PaymentProblem::mpp(kind, detail)
}

fn refusal(sheet: OfferSheet, problem: PaymentProblem) -> Error {
    Error::PaymentRequired {
        sheet: Box::new(sheet),
        problem: Some(problem),
    }
}
