//! What a test does with it beside asking it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::api::Desk;
use super::books::{Refunded, Taken, Token};
use super::fault::Fault;
use crate::listen::Listening;

/// A running double of Stripe.
#[derive(Debug, Clone)]
pub struct Handle {
    desk: Arc<Desk>,
    listening: Arc<Listening>,
}

impl Handle {
    pub(super) fn new(desk: Arc<Desk>, listening: Listening) -> Self {
        Self {
            desk,
            listening: Arc::new(listening),
        }
    }

    /// Where it listens, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listening.address)
    }

    /// A buyer grants a token under this name.
    pub fn grant(&self, name: &str, token: Token) {
        self.desk.lock().books.tokens.insert(name.to_owned(), token);
    }

    /// Lets something go wrong with the next request of a route for which nothing else was ordered,
    /// such as `POST payment_intents` and `GET payment_intents/{id}`.
    pub fn disturb(&self, route: &str, fault: Fault) {
        let mut state = self.desk.lock();
        state
            .faults
            .entry(route.to_owned())
            .or_default()
            .push_back(fault);
    }

    /// Refuses the secret key from now on: 401 for everything, 403 for what changes something.
    pub fn refuse_key(&self, status: Option<u16>) {
        self.desk.lock().refuses_key = status;
    }

    /// Waits until so many requests are held by [`Fault::HoldBefore`], counted from the beginning.
    pub async fn held(&self, count: usize) {
        // It fails only without a sender, and the desk is one.
        let _ = self
            .desk
            .requests
            .subscribe()
            .wait_for(|held| *held >= count)
            .await;
    }

    /// Lets go everything that is held at this moment.
    pub fn release(&self) {
        self.desk
            .releases
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Moves the clock ahead; after a day idempotency keys are forgotten.
    pub fn advance_clock(&self, seconds: u64) {
        let mut state = self.desk.lock();
        state.now_s = state.now_s.saturating_add(seconds);
        if seconds >= 86_400 {
            state.forget_keys();
        }
    }

    /// Moves a payment on, as its bank or its buyer does: `succeeded` takes the money.
    pub fn set_status(&self, payment_intent: &str, status: &str) {
        self.desk.lock().books.set_status(payment_intent, status);
    }

    /// The state of a payment, if there is one.
    #[must_use]
    pub fn status(&self, payment_intent: &str) -> Option<String> {
        let intent = self.desk.lock().books.find(payment_intent);
        intent
            .get("status")
            .and_then(Value::as_str)
            .map(str::to_owned)
    }

    /// A buyer disputes all of a payment; the dispute's id. What was never paid counts as 500.
    pub fn dispute(&self, payment_intent: &str) -> String {
        let mut state = self.desk.lock();
        let id = format!("dp_{}", state.books.disputes.len());
        let mut taken = state.books.taken.iter();
        let taken = taken.find(|it| it.payment_intent == payment_intent);
        let amount = taken.map_or(500, |it| it.amount);
        let dispute = json!({"id": id, "payment_intent": payment_intent, "amount": amount,
            "currency": "usd", "status": "needs_response", "created": state.now_s});
        if let Value::Object(dispute) = dispute {
            state.books.disputes.push(dispute);
        }
        id
    }

    /// Moves a dispute on, in Stripe's words, such as `under_review`, `won` and `lost`.
    pub fn set_dispute(&self, id: &str, status: &str) {
        let mut state = self.desk.lock();
        let mut disputes = state.books.disputes.iter_mut();
        if let Some(dispute) = disputes.find(|it| it.get("id") == Some(&id.into())) {
            dispute.insert("status".to_owned(), status.into());
        }
    }

    /// In which state refunds begin from now on, such as `pending`.
    pub fn begin_refunds_as(&self, status: &str) {
        status.clone_into(&mut self.desk.lock().books.refunds_begin);
    }

    /// Moves a refund on, such as to `failed`.
    pub fn set_refund(&self, id: &str, status: &str) {
        let mut state = self.desk.lock();
        let mut refunds = state.books.refunds.iter_mut();
        if let Some(refund) = refunds.find(|it| it.get("id") == Some(&id.into())) {
            refund.insert("status".to_owned(), status.into());
        }
    }

    /// All money that was taken, oldest first.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        self.desk.lock().books.taken.clone()
    }

    /// All money that was given back or is on its way, oldest first.
    #[must_use]
    pub fn refunded(&self) -> Vec<Refunded> {
        self.desk.lock().books.refunded()
    }

    /// How many payments were begun, whatever became of them.
    #[must_use]
    pub fn payments(&self) -> usize {
        self.desk.lock().books.intents.len()
    }
}
