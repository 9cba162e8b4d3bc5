//! What Stripe says of a payment, and whether it is ours.

use std::collections::BTreeMap;

use compute_domain::payment::Evidence;
use compute_engine::ports::ClaimedPayment;
use compute_engine::ports::Mpp;
use compute_engine::{ChargeTerms, Instrument};
use compute_mpp::stripe::SharedPaymentToken;
use serde::Deserialize;

use crate::api::TOKEN_FIELD;

/// The metadata by which a payment is found again.
const CHALLENGE_ID: &str = "mpp_challenge_id";

/// The longest identifier of an object that is believed.
const MAX_ID: usize = 255;

/// A PaymentIntent: how Stripe names a payment, done or not.
#[derive(Debug, Deserialize)]
pub(crate) struct Intent {
    pub(crate) id: String,
    amount: u64,
    #[serde(default)]
    amount_received: u64,
    currency: String,
    status: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// What a PaymentIntent means for a claimed payment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The money is there.
    Paid(Evidence),
    /// It is not there and never will be.
    Dead,
    /// It waits for somebody, and can be withdrawn. A code for why it does.
    Waiting(&'static str),
    /// Stripe is still at it.
    UnderWay,
    /// Not what was asked for, or in words that mean nothing here.
    Unclear(&'static str),
}

/// A claimed payment as Stripe is asked for it.
pub(crate) struct Paying<'a> {
    pub(crate) challenge_id: &'a str,
    amount: u128,
    currency: &'a str,
    metadata: &'a [(String, String)],
    token: SharedPaymentToken,
}

impl<'a> Paying<'a> {
    pub(crate) fn of(payment: &'a ClaimedPayment<Mpp>) -> Option<Self> {
        let proof = payment.proof();
        let ChargeTerms::Stripe { details, currency } = &proof.terms else {
            return None;
        };
        let Instrument::Card(token) = proof.instrument()? else {
            return None;
        };
        Some(Self {
            challenge_id: proof.credential.challenge().id(),
            amount: proof.atomic,
            currency,
            metadata: &details.metadata,
            token,
        })
    }

    /// One for each challenge: whichever token is presented, a challenge is paid once.
    pub(crate) fn idempotency_key(&self) -> String {
        format!("mpp_{}", self.challenge_id)
    }

    /// The fields of the request. Nothing in them may change between repeats.
    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        let amount = self.amount.to_string();
        let ours = [
            ("amount", amount.as_str()),
            ("currency", self.currency),
            ("confirm", "true"),
            (TOKEN_FIELD, self.token.expose()),
            ("automatic_payment_methods[enabled]", "true"),
            ("automatic_payment_methods[allow_redirects]", "never"),
            ("metadata[machine_payment]", "true"),
            ("metadata[mpp_challenge_id]", self.challenge_id),
            ("metadata[mpp_intent]", "charge"),
        ];
        let ours = ours.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let more = self.metadata.iter();
        let more = more.map(|(name, value)| (format!("metadata[{name}]"), value.clone()));
        let more = more.filter(|(name, _)| ours.iter().all(|(taken, _)| taken != name));
        let more: Vec<_> = more.collect();
        ours.into_iter().chain(more).collect()
    }
}

impl Intent {
    pub(crate) fn is_for(&self, paying: &Paying<'_>) -> bool {
        self.metadata.get(CHALLENGE_ID).map(String::as_str) == Some(paying.challenge_id)
    }

    pub(crate) fn fate(&self, paying: &Paying<'_>) -> Fate {
        let is_ours = self.is_for(paying)
            && u128::from(self.amount) == paying.amount
            && self.currency == paying.currency
            && is_id(&self.id);
        if !is_ours {
            return Fate::Unclear("Stripe speaks of another payment than was asked for");
        }
        match self.status.as_str() {
            "succeeded" if self.amount_received == self.amount => Fate::Paid(Evidence {
                reference: self.id.clone(),
                log_index: None,
            }),
            "canceled" => Fate::Dead,
            "requires_action" => Fate::Waiting("payment_action_required"),
            "requires_payment_method" | "requires_confirmation" | "requires_capture" => {
                Fate::Waiting("payment_failed")
            }
            "processing" => Fate::UnderWay,
            _ => Fate::Unclear("the state of the payment is not known"),
        }
    }
}

fn is_id(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.starts_with("pi_") && text.len() <= MAX_ID && text.bytes().all(is_allowed)
}
