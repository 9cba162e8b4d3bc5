//! Challenges: what a 402 offers by the Payment authentication scheme. Nothing is stored: a challenge
//! comes back in the credential, and its id proves that it is ours.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use compute_domain::money::Usd;
use compute_domain::time::{Entropy, Span};
use compute_mpp::accept::order_offers;
use compute_mpp::header::CredentialField;
use compute_mpp::method::CHARGE;
use compute_mpp::{BodyDigest, Challenge, ChallengeTerms, EncodedRequest, Opaque, Realm, Secrets};
use compute_pricing::to_asset;

use crate::charge::{Charge, ChargeSpec};
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

/// Encoded requests are remembered up to this many; then all are forgotten.
const REQUESTS_MAX: usize = 4_096;

/// The requests of charges as challenges carry them. The same prices are asked for again and again, and
/// what a rail asks for a price does not change while it is configured.
#[derive(Debug, Default)]
pub(crate) struct Requests(RwLock<HashMap<(usize, u128), EncodedRequest>>);

impl Requests {
    /// What the rail at this place asks for an amount; none for what it never charges.
    fn of(
        &self,
        place: usize,
        spec: &ChargeSpec,
        atomic: u128,
    ) -> Result<Option<EncodedRequest>, Error> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(request) = known.get(&(place, atomic)) {
            return Ok(Some(request.clone()));
        }
        drop(known);
        let Some(request) = spec.terms.request(atomic) else {
            return Ok(None);
        };
        let request = request
            .encode()
            .map_err(|error| Error::Internal(Box::new(error)))?;
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REQUESTS_MAX {
            known.clear();
        }
        known.insert((place, atomic), request.clone());
        Ok(Some(request))
    }
}

/// What makes each challenge another one. It need not be secret: the id is what nobody can guess. So it
/// is drawn once, and counted.
#[derive(Debug, Default)]
pub(crate) struct Nonces {
    drawn: OnceLock<[u8; 8]>,
    count: AtomicU64,
}

impl Nonces {
    fn next(&self, entropy: &dyn Entropy) -> [u8; 16] {
        let drawn = self.drawn.get_or_init(|| {
            let mut bytes = [0; 8];
            entropy.fill(&mut bytes);
            bytes
        });
        let count = self.count.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut nonce = [0; 16];
        let places = nonce.iter_mut();
        for (place, byte) in places.zip(drawn.iter().chain(&count)) {
            *place = *byte;
        }
        nonce
    }
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
        for (place, rail) in self.rails.iter().enumerate() {
            let AnyRail::Mpp(rail) = rail else { continue };
            let spec = rail.spec();
            if !self.is_ready(&spec.label) {
                continue;
            }
            let amount =
                to_asset(price, spec.decimals).map_err(|error| Error::Internal(Box::new(error)))?;
            let Some(request) = self.requests.of(place, spec, amount.atomic)? else {
                continue;
            };
            charges.push(Charge {
                rail: spec.label.clone(),
                method: spec.terms.method(),
                atomic: amount.atomic,
                request,
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
            let nonce = self.nonces.next(self.entropy.as_ref());
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use compute_domain::payment::RailLabel;

    use super::*;
    use crate::charge::ChargeTerms;

    #[derive(Debug)]
    struct Sevens;

    impl Entropy for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    #[test]
    fn no_nonce_comes_twice() {
        let nonces = Nonces::default();
        let drawn: BTreeSet<_> = (0..1_000).map(|_| nonces.next(&Sevens)).collect();
        assert_eq!(drawn.len(), 1_000);
        assert!(drawn.iter().all(|nonce| nonce.starts_with(&[7; 8])));
    }

    #[test]
    fn a_request_is_the_same_whether_it_is_remembered_or_not() {
        let spec = ChargeSpec {
            label: RailLabel::parse("stripe").unwrap(),
            decimals: 2,
            terms: ChargeTerms::Stripe {
                details: compute_mpp::stripe::StripeDetails::default(),
                currency: "usd".to_owned(),
            },
            settlement: String::new(),
        };
        let requests = Requests::default();
        let fresh = |atomic| spec.terms.request(atomic).unwrap().encode().unwrap();
        for round in 0..2 {
            for atomic in 50..60 {
                let request = requests.of(0, &spec, atomic).unwrap().unwrap();
                assert_eq!(request.as_str(), fresh(atomic).as_str(), "{round}");
            }
        }
        assert!(requests.of(0, &spec, 49).unwrap().is_none());
        for atomic in 0..9_000 {
            requests.of(1, &spec, atomic).unwrap();
        }
        assert!(requests.0.read().unwrap().len() <= REQUESTS_MAX);
    }
}
