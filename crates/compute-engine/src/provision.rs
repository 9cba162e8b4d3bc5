//! Buying a machine.

use crate::engine::Engine;
use crate::error::Error;
use crate::identity::Caller;
use crate::offer::ProvisionRequest;
use crate::purchase::{PurchaseTerms, Submitted};
use crate::subject::Subject;

impl Engine {
    /// Buys a machine. Without a payment it says how to pay and leaves no trace.
    ///
    /// # Errors
    /// `Unauthenticated` when it is to be extended by itself and nobody is authenticated who may spend
    /// credits; `PaymentRequired` without a good payment, `InsufficientCredits` without enough credits;
    /// everything else that can be wrong with the request, the caller or the payment. Nothing was
    /// settled or spent when an error is returned.
    pub async fn provision(
        &self,
        caller: &Caller,
        request: &ProvisionRequest,
        terms: PurchaseTerms,
    ) -> Result<Submitted, Error> {
        Self::check_auto_extend(caller, request.auto_extend)?;
        self.purchase(caller, Subject::Machine(request), terms)
            .await
    }
}
