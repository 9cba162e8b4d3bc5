//! What an operator does after a sale: money back, and money that buyers ask back.

use compute_domain::time::Timestamp;
use serde::Deserialize;

use crate::api::StripeError;
use crate::rail::StripeRail;

/// Money on its way back to a buyer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Stripe's name of it (`re_…`).
    pub reference: String,
    /// How much, in the currency's smallest unit.
    pub amount: u64,
    /// How far it is.
    pub state: RefundState,
}

/// How far a refund is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundState {
    /// The buyer has it, or will have it without more ado.
    Succeeded,
    /// Not decided yet.
    Pending,
    /// It did not work, or was withdrawn.
    Failed,
}

/// A buyer asks the bank for the money of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Dispute {
    /// Stripe's name of it.
    #[serde(rename = "id")]
    pub reference: String,
    /// The payment, as its evidence names it.
    pub payment_intent: Option<String>,
    /// How much, in the currency's smallest unit.
    pub amount: u64,
    /// Code of ISO 4217, lower case.
    pub currency: String,
    /// In Stripe's words, such as `needs_response`, `won` and `lost`.
    pub status: String,
    /// When it was opened, in unix seconds.
    pub created: u64,
}

#[derive(Deserialize)]
struct Told {
    id: String,
    amount: u64,
    status: String,
    payment_intent: Option<String>,
}

impl StripeRail {
    /// Gives all the money of a payment back. Repeats under the same idempotency key (1 to 255
    /// visible ASCII characters) are one refund.
    ///
    /// # Errors
    /// [`StripeError::Unknown`] when it may have been done: repeat it under the same key.
    pub async fn refund(
        &self,
        payment_intent: &str,
        idempotency_key: &str,
    ) -> Result<Refund, StripeError> {
        let fields = [("payment_intent".to_owned(), payment_intent.to_owned())];
        let sent = self
            .api
            .post(&["v1", "refunds"], Some(idempotency_key), &fields);
        let told: Told = sent.await.into_result()?;
        if told.payment_intent.as_deref() != Some(payment_intent) {
            return Err(crate::api::unknown("Stripe speaks of another refund"));
        }
        Ok(Refund {
            reference: told.id,
            amount: told.amount,
            state: match told.status.as_str() {
                "succeeded" => RefundState::Succeeded,
                "failed" | "canceled" => RefundState::Failed,
                _ => RefundState::Pending,
            },
        })
    }

    /// Every dispute that was opened since then, newest first.
    ///
    /// # Errors
    /// When they cannot all be listed.
    pub async fn disputes_since(&self, since: Timestamp) -> Result<Vec<Dispute>, StripeError> {
        let path = ["v1", "disputes"];
        let since = [("created[gte]", since.secs().to_string())];
        let listed = self.api.list(&path, &since, |it: &Dispute| &it.reference);
        listed.await
    }
}
