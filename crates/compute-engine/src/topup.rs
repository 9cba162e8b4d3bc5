//! Buying credits.

use compute_domain::money::Usd;
use compute_domain::payment::RailLabel;

use crate::engine::Engine;
use crate::error::{AuthFailure, Error};
use crate::identity::Caller;
use crate::purchase::{Funding, PurchaseTerms, Submitted};
use crate::subject::Subject;

/// A request for credits.
#[derive(Debug, Clone)]
pub struct TopupRequest {
    /// How many dollars.
    pub amount: Usd,
    /// The rail the customer wants to pay over.
    pub network: RailLabel,
}

impl Engine {
    /// The least and the most that can be topped up at once.
    pub const fn topup_bounds(&self) -> (Usd, Usd) {
        (self.config.sales.topup_min, self.config.sales.topup_max)
    }

    /// Makes a payment the caller's credit, once.
    ///
    /// # Errors
    /// `Unauthenticated` for an anonymous caller, `Invalid` for an amount out of bounds or for credits
    /// that are to pay for credits; and as [`Engine::provision`].
    pub async fn top_up(
        &self,
        caller: &Caller,
        request: &TopupRequest,
        terms: PurchaseTerms,
    ) -> Result<Submitted, Error> {
        if matches!(caller, Caller::Anonymous) {
            return Err(AuthFailure::Required.into());
        }
        let (min, max) = self.topup_bounds();
        if request.amount < min || request.amount > max {
            return Err(Error::Invalid {
                field: "amount",
                rule: format!("amount is {min} to {max} USD"),
            });
        }
        if matches!(terms.funding, Funding::Credits) {
            return Err(Error::Invalid {
                field: "use_credits",
                rule: "credits cannot pay for credits".to_owned(),
            });
        }
        self.purchase(caller, Subject::Credits(request), terms)
            .await
    }
}
