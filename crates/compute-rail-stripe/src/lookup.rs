//! Finding out whether the money moved, and whether it still can.

use compute_domain::time::Span;
use compute_engine::ports::{ClaimedPayment, Lookup, Mpp, RailUnavailable};

use crate::intent::{Fate, Intent, Paying};
use crate::rail::{StripeRail, unavailable};
use crate::settle::INTENTS;

/// Stripe keeps an idempotency key for 24 hours at least. For so long after the claim it is relied
/// on, and no call that takes money is made later.
const PROTECTED: Span = Span::from_hours(20);

/// For so long beyond that a call made at the last moment may still be under way.
const LAST_CALL: Span = Span::from_secs(600);

/// So far may Stripe's clock be behind ours.
const SKEW: Span = Span::from_secs(300);

impl StripeRail {
    /// Whether Stripe certainly still knows the idempotency key of a call made for this payment.
    pub(crate) fn is_protected(&self, payment: &ClaimedPayment<Mpp>) -> bool {
        self.clock.now() < payment.payment().claimed_at.plus(PROTECTED)
    }

    pub(crate) async fn try_lookup(
        &self,
        payment: &ClaimedPayment<Mpp>,
    ) -> Result<Lookup, RailUnavailable> {
        let paying = Paying::of(payment);
        let paying = paying.ok_or_else(|| unavailable(&"the stored proof is no card payment"))?;
        let claimed_at = payment.payment().claimed_at;
        // Before the list is asked for: what it may lack must not have become possible since.
        let is_over = self.clock.now() >= claimed_at.plus(PROTECTED).plus(LAST_CALL);
        let since_s = claimed_at.minus(SKEW).secs();
        let listed = self.api.list_since(&INTENTS, since_s, |it: &Intent| &it.id);
        let mut ours = listed.await.map_err(|error| unavailable(&error))?;
        ours.retain(|intent| intent.is_for(&paying));
        if ours.is_empty() {
            return Ok(if is_over {
                never("payment_not_found")
            } else {
                Lookup::NotYet
            });
        }
        let paid = ours.iter().find_map(|intent| match intent.fate(&paying) {
            Fate::Paid(evidence) => Some(evidence),
            _ => None,
        });
        if let Some(evidence) = paid {
            return Ok(Lookup::Settled(evidence));
        }
        let mut last = "payment_canceled";
        for intent in &ours {
            match self.close(&paying, intent).await? {
                Ok(code) => last = code,
                Err(settled) => return Ok(settled),
            }
        }
        Ok(never(last))
    }

    /// Makes sure that a payment that did not succeed never will: the code of why it did not. It may
    /// succeed in the last moment, which is the other answer.
    async fn close(
        &self,
        paying: &Paying<'_>,
        intent: &Intent,
    ) -> Result<Result<&'static str, Lookup>, RailUnavailable> {
        let (fate, code) = match intent.fate(paying) {
            Fate::Waiting(code) => (self.withdraw(paying, intent).await, code),
            fate => (fate, "payment_canceled"),
        };
        match fate {
            Fate::Dead => Ok(Ok(code)),
            Fate::Paid(evidence) => Ok(Err(Lookup::Settled(evidence))),
            Fate::Waiting(_) => Err(unavailable(&"it could not be withdrawn")),
            Fate::UnderWay => Err(unavailable(&"Stripe is still processing it")),
            Fate::Unclear(reason) => Err(unavailable(&reason)),
        }
    }
}

fn never(code: &str) -> Lookup {
    Lookup::Never {
        code: code.to_owned(),
    }
}
