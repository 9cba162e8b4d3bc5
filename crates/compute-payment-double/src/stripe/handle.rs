//! What a test does with it beside asking it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::api::Desk;
use super::books::{Taken, Token};
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

    /// A buyer disputes a payment.
    pub fn dispute(&self, payment_intent: &str) {
        let mut state = self.desk.lock();
        let id = format!("dp_{}", state.books.disputes.len());
        let dispute = json!({"id": id, "payment_intent": payment_intent, "amount": 500,
            "currency": "usd", "status": "needs_response", "created": state.now_s});
        if let Value::Object(dispute) = dispute {
            state.books.disputes.push(dispute);
        }
    }

    /// All money that was taken, oldest first.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        self.desk.lock().books.taken.clone()
    }

    /// The payments whose money was given back, oldest first.
    #[must_use]
    pub fn refunded(&self) -> Vec<String> {
        self.desk.lock().books.refunded.clone()
    }

    /// How many payments were begun, whatever became of them.
    #[must_use]
    pub fn payments(&self) -> usize {
        self.desk.lock().books.intents.len()
    }
}
