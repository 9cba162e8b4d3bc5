//! Challenges: what a 402 offers by the Payment authentication scheme. Nothing is stored: a challenge
//! comes back in the credential, and its id proves that it is ours.

use std::sync::Arc;

use compute_domain::money::Usd;
use compute_domain::time::Span;
use compute_mpp::accept::order_offers;
use compute_mpp::header::CredentialField;
use compute_mpp::method::CHARGE;
use compute_mpp::{BodyDigest, Challenge, ChallengeTerms, Opaque, Realm, Secrets};
use compute_pricing::to_asset;

use crate::charge::Charge;
use crate::engine::Engine;
use crate::error::Error;
use crate::identity::Caller;
use crate::offer::OfferSheet;
use crate::ports::AnyRail;
use crate::purchase::Purchase;
use crate::subject::Subject;

/// By which terms challenges are made.
#[derive(Debug, Clone)]
pub struct MppTerms {
    /// The protection space: the service's public host name.
    pub realm: Realm,
    /// What makes a challenge ours.
    pub secrets: Arc<Secrets>,
    /// How long a challenge can be paid.
    pub challenge_life: Span,
    /// How many payments of one wallet may be claimed and not decided: one purse passes the check of any
    /// number of transfers that it can pay only once.
    pub unsettled_per_wallet: u32,
}

/// What a request says that its challenges are bound to, or chosen by.
#[derive(Debug, Clone, Default)]
pub struct RequestFacts {
    /// Its body; none when it is empty.
    pub body: Option<BodyDigest>,
    /// Its `Accept-Payment`.
    pub accept_payment: Option<String>,
}

/// What challenges for a machine are bound to.
pub(crate) const PROVISION: &str = "provision";

/// What the challenges of a sheet are for.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    /// The operation, so that no other route takes the credential.
    pub(crate) operation: String,
    pub(crate) facts: RequestFacts,
}

impl Purchase<'_> {
    /// What challenges for this purchase are bound to; none are offered for credits, which are topped up
    /// by x402, nor to somebody unknown for more time, because a credential only pays and does not say
    /// whose machine it is (decisions.md 26).
    pub(crate) fn binding(&self) -> Option<Binding> {
        let operation = match (&self.subject, self.caller) {
            (Subject::Machine(_), _) => PROVISION.to_owned(),
            (Subject::Time { .. }, Caller::Anonymous) | (Subject::Credits(_), _) => return None,
            (Subject::Time { instance, .. }, _) => format!("extend:{}", instance.id),
        };
        Some(Binding {
            operation,
            facts: self.facts.clone(),
        })
    }
}

impl Engine {
    /// The charges for a price over the rails that can settle now, in configured order.
    pub(crate) fn charges(&self, price: Usd) -> Result<Vec<Charge>, Error> {
        let mut charges = Vec::new();
        if self.config.mpp.is_none() {
            return Ok(charges);
        }
        for rail in self.ready_rails() {
            let AnyRail::Mpp(rail) = rail else { continue };
            let spec = rail.spec();
            let amount =
                to_asset(price, spec.decimals).map_err(|error| Error::Internal(Box::new(error)))?;
            let Some(request) = spec.terms.request(amount.atomic) else {
                continue;
            };
            charges.push(Charge {
                rail: spec.label.clone(),
                method: spec.terms.method(),
                atomic: amount.atomic,
                request: request
                    .encode()
                    .map_err(|error| Error::Internal(Box::new(error)))?,
                terms: spec.terms.clone(),
                decimals: spec.decimals,
            });
        }
        Ok(charges)
    }

    /// The fresh challenges of a sheet, the one that the client likes best first. Each has a nonce of
    /// its own, so that no payment fits two.
    pub fn challenges(&self, sheet: &OfferSheet) -> Vec<Challenge> {
        let (Some(mpp), Some(binding)) = (&self.config.mpp, &sheet.binding) else {
            return Vec::new();
        };
        let offers: Vec<&Charge> = sheet.charges.iter().collect();
        let accept = binding.facts.accept_payment.as_deref();
        let offers = order_offers(accept, offers, |charge| (charge.method.as_str(), CHARGE));
        let expires_s = self.now().plus(mpp.challenge_life).secs();
        let issue = |charge: &Charge| {
            let mut nonce = [0; 16];
            self.entropy.fill(&mut nonce);
            Challenge::issue(
                &mpp.secrets,
                ChallengeTerms {
                    realm: &mpp.realm,
                    method: &charge.method,
                    request: &charge.request,
                    expires_s,
                    digest: binding.facts.body.as_ref(),
                    opaque: &Opaque::new(&nonce, &binding.operation),
                    description: Some(&sheet.resource.description),
                    field: CredentialField::Authorization,
                },
            )
        };
        offers.into_iter().map(issue).collect()
    }
}
