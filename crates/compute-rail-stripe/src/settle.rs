//! Making the money move: Stripe is asked once for each challenge, however often this is called.

use compute_engine::ports::{ClaimedPayment, Lookup, Mpp, RailUnavailable, Settlement};
use compute_outbound::OutboundRequest;

use crate::api::{Objection, Outcome, StripeError};
use crate::intent::{Fate, Intent, Paying};
use crate::rail::StripeRail;

pub(crate) const INTENTS: [&str; 2] = ["v1", "payment_intents"];

impl StripeRail {
    pub(crate) async fn try_settle(&self, payment: &ClaimedPayment<Mpp>) -> Settlement {
        let Some(paying) = Paying::of(payment) else {
            return Settlement::NotSent {
                reason: "the stored proof is no card payment".to_owned(),
            };
        };
        if !self.is_protected(payment) {
            // Stripe may have forgotten the key, and would take the money again.
            return told(self.try_lookup(payment).await);
        }
        let key = paying.idempotency_key();
        match self.api.post(&INTENTS, Some(&key), &paying.fields()).await {
            Outcome::Done(intent) => self.judge(&paying, &intent).await,
            Outcome::Refused(objection) => self.refused(&paying, *objection).await,
            Outcome::Failed(StripeError::Key) => {
                self.note_refused_key();
                Settlement::NotSent {
                    reason: StripeError::Key.to_string(),
                }
            }
            Outcome::Failed(StripeError::NotSent { reason }) => Settlement::NotSent { reason },
            Outcome::Failed(error) => unknown(error.to_string()),
        }
    }

    async fn judge(&self, paying: &Paying<'_>, intent: &Intent) -> Settlement {
        match intent.fate(paying) {
            Fate::Paid(evidence) => Settlement::Settled(evidence),
            Fate::Dead => declined("payment_canceled"),
            Fate::Waiting(code) => match self.withdraw(paying, intent).await {
                Fate::Dead => declined(code),
                Fate::Paid(evidence) => Settlement::Settled(evidence),
                Fate::Waiting(_) | Fate::UnderWay => unknown("it could not be withdrawn"),
                Fate::Unclear(reason) => unknown(reason),
            },
            Fate::UnderWay => unknown("Stripe is still processing it"),
            Fate::Unclear(reason) => {
                tracing::error!(reason, "an answer of Stripe is not believed");
                unknown(reason)
            }
        }
    }

    async fn refused(&self, paying: &Paying<'_>, objection: Objection) -> Settlement {
        let code = code_of(&objection);
        match objection.payment_intent.as_ref().map(|it| it.fate(paying)) {
            // A payment of its own says more than the error around it.
            Some(Fate::UnderWay | Fate::Unclear(_)) => unknown("a refusal with an open payment"),
            Some(Fate::Paid(evidence)) => Settlement::Settled(evidence),
            Some(Fate::Waiting("payment_action_required")) => match objection.payment_intent {
                Some(intent) => self.judge(paying, &intent).await,
                None => declined(code),
            },
            // A card that was declined; nobody but us could try another one.
            Some(Fate::Waiting(_) | Fate::Dead) | None => declined(code),
        }
    }

    /// Cancels what waits for somebody, and says what became of it: it may have been paid meanwhile.
    pub(crate) async fn withdraw(&self, paying: &Paying<'_>, intent: &Intent) -> Fate {
        let [v1, intents] = INTENTS;
        let path = [v1, intents, &intent.id, "cancel"];
        if let Outcome::Done(canceled) = self.api.post::<Intent>(&path, None, &[]).await
            && canceled.id == intent.id
            && canceled.fate(paying) == Fate::Dead
        {
            return Fate::Dead;
        }
        let request = OutboundRequest::get(&[v1, intents, &intent.id]);
        match self.api.get::<Intent>(request).await {
            Outcome::Done(seen) if seen.id == intent.id => seen.fate(paying),
            _ => Fate::Unclear("it is not known whether it could be withdrawn"),
        }
    }
}

/// A code of ours, so that no text of a network reaches a buyer.
fn code_of(objection: &Objection) -> &'static str {
    if objection.kind != "card_error" {
        return if objection.is_about_token() {
            "payment_token_refused"
        } else {
            "payment_refused"
        };
    }
    let decline = objection.decline_code.as_deref();
    match (objection.code.as_deref(), decline) {
        (_, Some("insufficient_funds")) => "insufficient_funds",
        (Some("expired_card"), _) => "expired_card",
        (Some("authentication_required"), _) | (_, Some("authentication_required")) => {
            "payment_action_required"
        }
        _ => "card_declined",
    }
}

fn told(looked: Result<Lookup, RailUnavailable>) -> Settlement {
    match looked {
        Ok(Lookup::Settled(evidence)) => Settlement::Settled(evidence),
        Ok(Lookup::Never { code }) => Settlement::Declined { code },
        Ok(Lookup::NotYet) => unknown("too late to ask Stripe for it"),
        Err(error) => unknown(error.reason),
    }
}

fn declined(code: &str) -> Settlement {
    Settlement::Declined {
        code: code.to_owned(),
    }
}

pub(crate) fn unknown(reason: impl Into<String>) -> Settlement {
    Settlement::Unknown {
        reason: reason.into(),
    }
}
