//! Purchases from a client's side: ask for the price, sign, send, and send the same again until there
//! is an answer. Every answer is held against what the client was told before.

use std::rc::Rc;

use compute_domain::money::Usd;
use compute_domain::request_key::RequestKey;
use compute_engine::{Caller, Error, Funding, OfferSheet, PaymentProof, PurchaseTerms};
use compute_x402::PaymentPayload;
use futures::future::join_all;

use super::cluster::World;
use super::people::{Person, Reply, Wish};
use super::reactor::lock;
use crate::explain::explain;

const URL: &str = "https://compute.example/compute/provision";

/// How often a client sends the same payment.
const SENDS: u32 = 8;

/// A signed payment with what it is for.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    pub(crate) payload: PaymentPayload,
    pub(crate) proof_key: String,
    pub(crate) wish: Wish,
    pub(crate) names: Vec<RequestKey>,
}

/// How a client's attempts ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Bought,
    Refused,
    /// The client gave up without knowing.
    Unknown,
}

impl World {
    pub(crate) fn told(&self, what: &str) {
        lock(&self.reactor.tally).outcome(what);
    }

    fn terms(funding: Funding, names: &[RequestKey], max_total: Option<Usd>) -> PurchaseTerms {
        PurchaseTerms {
            request_keys: names.to_vec(),
            max_total,
            ..PurchaseTerms::plain(funding, URL)
        }
    }

    /// The price, as an unpaid request tells it.
    pub(crate) async fn price(self: &Rc<Self>, caller: &Caller, wish: &Wish) -> Option<OfferSheet> {
        for _ in 0..4 {
            let terms = Self::terms(Funding::Unpaid, &[], None);
            let answer = self.buy("price", caller.clone(), wish.clone(), terms).await;
            match answer {
                Some(Err(Error::PaymentRequired { sheet, .. })) => return Some(*sheet),
                Some(Ok(_)) => {
                    let detail = "an unpaid request bought something".to_owned();
                    self.reactor.violate("P3", detail);
                    return None;
                }
                Some(Err(error)) if !is_passing(&error) => {
                    self.refused("price", &error);
                    return None;
                }
                _ => self.reactor.sleep(3_000).await,
            }
        }
        None
    }

    /// Signs a payment for the present price.
    pub(crate) async fn sign(
        self: &Rc<Self>,
        person: &Person,
        caller: &Caller,
        wish: Wish,
        names: Vec<RequestKey>,
    ) -> Option<Signed> {
        let sheet = self.price(caller, &wish).await?;
        let payload = person.pay(self, &sheet)?;
        let proof_key = self.proof_key(&payload)?;
        Some(Signed {
            payload,
            proof_key,
            wish,
            names,
        })
    }

    /// Counts an answer; an internal fault is one nobody may see.
    pub(crate) fn refused(&self, what: &str, error: &Error) {
        self.told(&format!("{what}: {}", name_of(error)));
        if let Error::LimitReached { .. } = error {
            lock(&self.reactor.tally).fault("F160");
        }
        if let Error::Internal(_) = error {
            let detail = format!("{what}: {}", explain(error));
            self.reactor.violate("internal", detail);
        }
    }

    /// Sends a payment until it is answered.
    pub(crate) async fn send(
        self: &Rc<Self>,
        person: &Person,
        caller: impl Fn() -> Caller,
        signed: &Signed,
    ) -> Ended {
        let mut wait = 1_000;
        for _ in 0..SENDS {
            match self.send_once(person, caller(), signed).await {
                Some(ended) => return ended,
                None => self.reactor.sleep(wait).await,
            }
            wait = (wait * 2).min(60_000);
        }
        Ended::Unknown
    }

    /// Sends it once; `None` when it must be sent again.
    pub(crate) async fn send_once(
        self: &Rc<Self>,
        person: &Person,
        caller: Caller,
        signed: &Signed,
    ) -> Option<Ended> {
        let was_claimed = self.is_claimed(&signed.proof_key).await;
        let terms = Self::terms(
            Funding::Payment(PaymentProof::X402(signed.payload.clone())),
            &signed.names,
            None,
        );
        let answer = self.buy("buy", caller, signed.wish.clone(), terms).await?;
        let error = match answer {
            Ok(reply) => {
                self.bought(person, signed, &reply);
                return Some(Ended::Bought);
            }
            Err(error) => error,
        };
        self.refused("buy", &error);
        if matches!(
            error,
            Error::PaymentRequired { .. } | Error::PaymentMalformed { .. }
        ) && was_claimed
            && self.is_claimed(&signed.proof_key).await
        {
            let detail = format!("402 for {} after its claim", signed.proof_key);
            self.reactor.violate("P5", detail);
        }
        if matches!(error, Error::PaymentAlreadyUsed) {
            let detail = format!("{}: its own request is another", signed.proof_key);
            self.reactor.violate("P2", detail);
        }
        if is_passing(&error) {
            None
        } else {
            Some(Ended::Refused)
        }
    }

    fn bought(&self, person: &Person, signed: &Signed, reply: &Reply) {
        self.told("bought");
        let mut witness = self.witness.borrow_mut();
        witness.acknowledged.insert(reply.operation);
        let by_proof = witness.by_proof.entry(signed.proof_key.clone());
        by_proof.or_default().insert(reply.operation);
        for name in &signed.names {
            let key = (person.number, name.to_string());
            let by_name = witness.by_name.entry(key).or_default();
            by_name.insert(reply.operation);
        }
        drop(witness);
        self.keep(person, reply);
    }

    fn keep(&self, person: &Person, reply: &Reply) {
        if let Some(id) = reply.instance {
            let mut own = person.instances.borrow_mut();
            if !own.contains(&id) {
                own.push(id);
            }
        }
        if let Some(view) = &reply.view
            && view.operation.id != reply.operation
        {
            let detail = format!("{} was asked about, another one shown", reply.operation);
            self.reactor.violate("A4", detail);
        }
    }

    /// Buys with credits; sends again, under the same name, until it is answered.
    pub(crate) async fn spend(
        self: &Rc<Self>,
        person: &Person,
        caller: impl Fn() -> Caller,
        wish: Wish,
        name: Option<RequestKey>,
        max_total: Option<Usd>,
    ) -> Ended {
        // Without a name a second sending would be a second purchase.
        let sends = if name.is_some() { SENDS } else { 1 };
        let names: Vec<RequestKey> = name.into_iter().collect();
        for _ in 0..sends {
            let terms = Self::terms(Funding::Credits, &names, max_total);
            match self.buy("spend", caller(), wish.clone(), terms).await {
                Some(Ok(reply)) => {
                    self.told("spent");
                    let mut witness = self.witness.borrow_mut();
                    witness.acknowledged.insert(reply.operation);
                    for name in &names {
                        let key = (person.number, name.to_string());
                        let by_name = witness.by_name.entry(key).or_default();
                        by_name.insert(reply.operation);
                    }
                    drop(witness);
                    self.keep(person, &reply);
                    return Ended::Bought;
                }
                Some(Err(error)) if !is_passing(&error) => {
                    self.refused("spend", &error);
                    return Ended::Refused;
                }
                _ => self.reactor.sleep(2_000).await,
            }
        }
        Ended::Unknown
    }

    /// Many copies of one payment at once, on whatever replicas.
    pub(crate) async fn send_copies(
        self: &Rc<Self>,
        person: &Person,
        caller: &Caller,
        signed: &Signed,
        copies: usize,
    ) {
        lock(&self.reactor.tally).fault("F055");
        let sends = (0..copies).map(|_| self.send_once(person, caller.clone(), signed));
        join_all(sends).await;
    }
}

/// Whether the same request may be answered otherwise in a moment.
pub(crate) const fn is_passing(error: &Error) -> bool {
    matches!(
        error,
        Error::Unavailable(_)
            | Error::RailUnavailable
            | Error::CatalogUnavailable
            | Error::OperationInProgress { .. }
    )
}

/// A refusal's name, for counts.
pub(crate) const fn name_of(error: &Error) -> &'static str {
    match error {
        Error::Invalid { .. } => "invalid",
        Error::Unauthenticated(_) => "unauthenticated",
        Error::ScopeMissing { .. } => "scope missing",
        Error::BudgetExceeded { .. } => "budget exceeded",
        Error::InsufficientCredits { .. } => "insufficient credits",
        Error::PriceAboveMaximum { .. } => "price above maximum",
        Error::LimitReached { .. } => "limit reached",
        Error::RequestKeyReused { .. } => "name reused",
        Error::PayerMismatch => "payer mismatch",
        Error::PayerRefused => "payer refused",
        Error::NotFound => "not found",
        Error::PaymentRequired { .. } => "payment required",
        Error::PaymentMalformed { .. } => "payment malformed",
        Error::PaymentAlreadyUsed => "payment already used",
        Error::OperationInProgress { .. } => "operation in progress",
        Error::WrongState { .. } => "wrong state",
        Error::PasswordTaken => "password taken",
        Error::NoPassword => "no password",
        Error::PasswordNotReady => "password not ready",
        Error::ApiKeyMadeBefore { .. } => "key made before",
        Error::TooManyWebhooks => "too many webhooks",
        Error::TooManyApiKeys => "too many keys",
        Error::RailUnavailable => "rail unavailable",
        Error::CatalogUnavailable => "catalogue unavailable",
        Error::Unavailable(_) => "unavailable",
        Error::Internal(_) => "internal",
        _ => "other",
    }
}
