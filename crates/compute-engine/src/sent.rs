//! Transfers that their buyers sent before they showed them (*push*): the money has moved, so there is no
//! refusal after which nothing was paid.
//!
//! A hash that buys what its challenge asks for is a payment like any other. One that cannot any more,
//! because it comes too late, or the price, the plan, the machine or the place for it is gone, or its name
//! stands for another order, is claimed all the same, and becomes its owner's credit: the claim is one for
//! credits, of as much as the challenge asked for.

use compute_domain::arrival::worth;
use compute_domain::money::AssetAmount;
use compute_domain::time::Span;
use compute_mpp::tempo::TempoPayload;
use compute_mpp::{Credential, Method, ProblemType};

use crate::charge::{ChargeProof, ChargeTerms};
use crate::checks::Entry;
use crate::engine::Engine;
use crate::error::Error;
use crate::offer::OfferSheet;
use crate::payment::{AnyProof, VerifiedPayment};
use crate::ports::AnyRail;
use crate::proof::PaymentProof;
use crate::purchase::{Purchase, Submitted};
use crate::subject::{Priced, Subject};
use crate::topup::TopupRequest;

/// For so long after the end of its challenge a transfer can be shown.
const SHOWN_WITHIN: Span = Span::from_hours(24);

/// Whether a credential shows a transfer that its buyer has sent.
pub(crate) fn is_sent(credential: &Credential) -> bool {
    let is_tempo = credential.challenge().method() == Method::TEMPO.as_str();
    let payload = TempoPayload::parse(credential.payload());
    is_tempo && matches!(payload, Ok(TempoPayload::Hash(_)))
}

/// The same of any proof.
pub(crate) fn is_sent_proof(proof: &PaymentProof) -> bool {
    matches!(proof, PaymentProof::Mpp(credential) if is_sent(credential))
}

/// Whether an error says that the same credential can never buy this, and not only now.
fn is_final(error: &Error) -> bool {
    match error {
        Error::PaymentRequired { problem, .. } => {
            let kind = problem.as_ref().and_then(|problem| problem.kind);
            matches!(
                kind,
                Some(ProblemType::PaymentExpired | ProblemType::InvalidChallenge)
            )
        }
        Error::UnknownPlan
        | Error::UnknownRegion
        | Error::UnknownImage
        | Error::UnknownNetwork { .. }
        | Error::ImageNotForPlan(_)
        | Error::PlanNotInRegion { .. }
        | Error::ProviderMismatch
        | Error::SshKeyRequired
        | Error::PriceAboveMaximum { .. }
        | Error::LimitReached { .. }
        | Error::RequestKeyReused { .. }
        | Error::WrongState { .. } => true,
        _ => false,
    }
}

impl Engine {
    /// Makes a transfer the credit of its buyer that cannot buy what it was sent for, for the reason
    /// given. What is no transfer for a challenge of ours for this request is refused for that reason.
    ///
    /// # Errors
    /// The reason, or why it cannot be said now whether the transfer pays its challenge.
    pub(crate) async fn keep_sent(
        &self,
        purchase: &Purchase<'_>,
        proof: PaymentProof,
        reason: Error,
    ) -> Result<Submitted, Error> {
        let PaymentProof::Mpp(credential) = proof else {
            return Err(reason);
        };
        if !is_final(&reason) {
            return Err(reason);
        }
        let Some(verified) = self.verify_sent(purchase, *credential) else {
            return Err(reason);
        };
        // It asks the network as a purchase does.
        let _turn = match self.enter_check(purchase, &verified).await? {
            Entry::Check(turn) => turn,
            Entry::Bought(submitted) => return Ok(submitted),
        };
        match self.check(purchase, &verified).await {
            Ok(()) => self.credit_sent(purchase, &verified).await,
            Err(Error::PaymentRequired { .. }) => Err(reason),
            Err(unclear) => Err(unclear),
        }
    }

    /// Claims a transfer that pays its challenge as its buyer's credit.
    pub(crate) async fn credit_sent(
        &self,
        purchase: &Purchase<'_>,
        verified: &VerifiedPayment,
    ) -> Result<Submitted, Error> {
        let request = TopupRequest {
            amount: verified.sheet.price,
            network: verified.rail.clone(),
        };
        let credits = Purchase {
            caller: purchase.caller,
            subject: Subject::Credits(&request),
            // A repeat is one of the same request.
            digest: purchase.digest,
            request_keys: Vec::new(),
            max_total: None,
            resource_url: purchase.resource_url.clone(),
            facts: purchase.facts.clone(),
            gate: None,
        };
        tracing::warn!(
            payment.rail = %verified.rail, price = %verified.sheet.price,
            "a transfer was sent for what it cannot buy any more: it becomes credit"
        );
        self.claim(&credits, verified).await
    }

    /// A transfer for a challenge of ours for this very request, whatever its age and its price; `None`
    /// for anything else.
    fn verify_sent(
        &self,
        purchase: &Purchase<'_>,
        credential: Credential,
    ) -> Option<VerifiedPayment> {
        let (mpp, binding) = (self.config.mpp.as_ref()?, purchase.binding()?);
        let challenge = credential.challenge();
        let until_s = challenge.expires_s()?.saturating_add(seconds(SHOWN_WITHIN));
        let is_own = is_sent(&credential)
            && challenge.is_issued_by(&mpp.secrets)
            && self.now().secs() < until_s
            && challenge.is_for(&binding.operation)
            && challenge.binds_body(binding.facts.body.as_ref());
        if !is_own {
            return None;
        }
        let atomic = challenge.charge().ok()?.amount.get();
        let (rail, decimals, terms) = self.rails.iter().find_map(|rail| {
            let AnyRail::Mpp(rail) = rail else {
                return None;
            };
            let spec = rail.spec();
            let terms = matches!(&spec.terms, ChargeTerms::Tempo(_)).then_some(&spec.terms)?;
            let request = terms.request(atomic)?.encode().ok()?;
            let is_asked = challenge.asks_for(&Method::TEMPO, &request);
            is_asked.then(|| (spec.label.clone(), spec.decimals, terms.clone()))
        })?;
        let proof = ChargeProof {
            credential,
            terms,
            atomic,
            account: None,
        };
        let void_after = self.check_payload(&proof).ok()?;
        let instrument = proof.instrument()?;
        let asset = AssetAmount { atomic, decimals };
        let priced = Priced {
            price: worth(asset),
            time: None,
            description: "a transfer that came too late".to_owned(),
        };
        let asked = purchase.subject.network();
        Some(VerifiedPayment {
            asset,
            rail,
            payer: instrument.payer()?,
            proof_key: instrument.proof_key(),
            challenge_id: Some(proof.credential.challenge().id().to_owned()),
            void_after,
            proof: AnyProof::Mpp(proof),
            sheet: OfferSheet::without_offers(priced, &purchase.resource_url, asked),
        })
    }
}

fn seconds(span: Span) -> u64 {
    u64::try_from(span.millis() / 1_000).unwrap_or_default()
}
