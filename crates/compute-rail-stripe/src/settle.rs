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
        if let Err(reason) = self.expect_account(payment).await {
            return Settlement::NotSent { reason };
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
    let words = [&objection.decline_code, &objection.code];
    let known = words.into_iter().flatten().find_map(|word| meaning(word));
    known.unwrap_or("card_declined")
}

/// What a bank's `decline_code`, or Stripe's `code`, means for the buyer (docs.stripe.com/declines/codes).
/// Words that say that a card was lost or stolen, or looks like fraud, are not passed on: they mean
/// what all others do that nothing is known of.
fn meaning(word: &str) -> Option<&'static str> {
    Some(match word {
        "insufficient_funds" => "insufficient_funds",
        "expired_card" => "expired_card",
        "authentication_required" | "authentication_not_handled" => "payment_action_required",
        "card_velocity_exceeded" | "withdrawal_count_limit_exceeded" => "card_limit_exceeded",
        "incorrect_address"
        | "incorrect_cvc"
        | "incorrect_number"
        | "incorrect_pin"
        | "incorrect_zip"
        | "invalid_account"
        | "invalid_cvc"
        | "invalid_expiry_month"
        | "invalid_expiry_year"
        | "invalid_number"
        | "new_account_information_available" => "card_details_incorrect",
        "card_not_supported"
        | "currency_not_supported"
        | "service_not_allowed"
        | "transaction_not_allowed" => "card_not_supported",
        "approve_with_id"
        | "issuer_not_available"
        | "no_action_taken"
        | "processing_error"
        | "reenter_transaction"
        | "try_again_later" => "card_issuer_unavailable",
        _ => return None,
    })
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
