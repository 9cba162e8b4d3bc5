//! Finding out whether the money moved, and whether it still can.

use compute_domain::time::Span;
use compute_engine::ports::{ClaimedPayment, Lookup, Mpp, RailUnavailable};

use crate::intent::{Fate, Intent, Paying};
use crate::rail::{StripeRail, unavailable};
use crate::settle::INTENTS;

/// A call that takes money, made before the payment was void, may still be under way for so long.
const LAST_CALL: Span = Span::from_secs(600);

/// So far may Stripe's clock be from ours.
const SKEW: Span = Span::from_secs(300);

impl StripeRail {
    /// Whether Stripe certainly still knows the idempotency key of a call made for this payment: it
    /// keeps keys for 24 hours at least, and a claim by card is void well before that.
    pub(crate) fn is_protected(&self, payment: &ClaimedPayment<Mpp>) -> bool {
        self.clock.now() < payment.payment().void_after
    }

    pub(crate) async fn try_lookup(
        &self,
        payment: &ClaimedPayment<Mpp>,
    ) -> Result<Lookup, RailUnavailable> {
        let paying = Paying::of(payment);
        let paying = paying.ok_or_else(|| unavailable(&"the stored proof is no card payment"))?;
        if let Err(reason) = self.expect_account(payment).await {
            return Err(unavailable(&reason));
        }
        let record = payment.payment();
        let last_call = record.void_after.plus(LAST_CALL);
        // Before the list is asked for: what it may lack must not have become possible since.
        let is_over = self.clock.now() >= last_call;
        // However long ago that was, the list is no longer than what was sold in that time.
        let within = [
            ("created[gte]", record.claimed_at.minus(SKEW).secs()),
            ("created[lte]", last_call.plus(SKEW).secs()),
        ];
        let within = within.map(|(name, second)| (name, second.to_string()));
        let listed = self.api.list(&INTENTS, &within, |it: &Intent| &it.id);
        let mut ours = listed.await.map_err(|error| unavailable(&error))?;
        ours.retain(|intent| intent.is_for(&paying));
        if ours.is_empty() {
            return match (is_over, &payment.proof().account) {
                (false, _) => Ok(Lookup::NotYet),
                (true, Some(_)) => Ok(never("payment_not_found")),
                // It may be in another account than the one that was looked at.
                (true, None) => Err(unavailable(&"it is not known which account was to be paid")),
            };
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
