//! Buying more time for a machine.

use compute_domain::id::InstanceId;
use compute_domain::instance::{Instance, InstanceState};
use compute_domain::money::Hours;
use compute_domain::payment::RailLabel;

use crate::catalog::Shelf;
use crate::engine::Engine;
use crate::error::Error;
use crate::identity::Caller;
use crate::purchase::{Funding, PurchaseTerms, Submitted};
use crate::subject::{Priced, Subject, time_at};

/// A request for more time.
#[derive(Debug, Clone)]
pub struct ExtendRequest {
    /// How much.
    pub hours: Hours,
    /// The rail the customer wants to pay over.
    pub network: RailLabel,
}

impl Engine {
    /// Adds exactly the bought hours to the prepaid time of a machine, at today's price. While its
    /// payment settles, the machine does not expire; a payment that comes too late becomes credit.
    ///
    /// Nobody needs to be authenticated to ask for the price or to pay: who pays must own the machine
    /// (decisions.md 12, 26).
    ///
    /// # Errors
    /// `NotFound` for an unknown id, or another caller's; `PayerMismatch` when the payer does not own
    /// it; `WrongState` unless it is active; `OperationInProgress` while something else is done with
    /// it; and as [`Engine::provision`].
    pub async fn extend(
        &self,
        caller: &Caller,
        id: InstanceId,
        request: &ExtendRequest,
        terms: PurchaseTerms,
    ) -> Result<Submitted, Error> {
        let Some(instance) = self.find_extendable(caller, id).await? else {
            if matches!(terms.funding, Funding::Credits) {
                self.burn_nonce(caller).await?;
            }
            return Err(Error::NotFound);
        };
        let subject = Subject::Time {
            instance: Box::new(instance),
            hours: request.hours,
            network: &request.network,
        };
        self.purchase(caller, subject, terms).await
    }

    /// Today's price of more time: the plan's, also when it is sold out or sold no more; when it is not
    /// known, or nothing is, the machine's own rate.
    pub(crate) fn price_of_time(
        &self,
        instance: &Instance,
        hours: Hours,
        shelf: Option<&Shelf>,
    ) -> Result<Priced, Error> {
        self.check_extendable(instance)?;
        let plan = shelf.and_then(|shelf| {
            let plan = shelf.find_plan(&instance.plan);
            plan.or_else(|| shelf.withheld(&instance.plan))
        });
        let rate = match plan {
            Some(plan) => self.rate_in(plan, &instance.region)?,
            None => instance.rate,
        };
        let time = time_at(rate, hours)?;
        Ok(Priced {
            price: time.price,
            time: Some(time),
            description: format!("{} h more of {}", hours.get(), instance.id),
        })
    }

    /// Refuses what is not active, or expired so long ago that it is about to be taken down.
    pub(crate) fn check_extendable(&self, instance: &Instance) -> Result<(), Error> {
        let InstanceState::Active(placement) = &instance.state else {
            return Err(Error::WrongState {
                state: instance.state.name(),
            });
        };
        let end = placement.expires_at.plus(self.timing().expiry_grace);
        if end <= self.now() {
            return Err(Error::WrongState { state: "expired" });
        }
        Ok(())
    }
}
