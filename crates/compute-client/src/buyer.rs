//! A purchase from its price to its end.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::answer::{Problem, Reply, Verdict};
use crate::book::{Book, BookError, Ending, Entry, Open, digest};
use crate::clock::{now_ms, now_s, random};
use crate::identity::Identity;
use crate::offer::{Means, Offer, OfferError};
use crate::purchase::{Bought, Outcome, PurchaseError, Quote, Wishes};
use crate::purse::Purse;
use crate::shop::{Call, Shop, ShopError};
use crate::usd::Usd;

/// The client's name for a purchase.
const NAME: HeaderName = HeaderName::from_static("idempotency-key");

/// The first wait before the same is sent again, and the longest.
const PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// How often a purchase that was made is asked for its key.
const KEY_LOOKS: u32 = 6;

/// For so long a shop surely remembers a name, in seconds; it does for three days.
const NAME_LIFE_S: u64 = 48 * 3_600;

/// Who buys, where, and by which book.
#[derive(Debug)]
pub struct Buyer<'a> {
    /// The shop.
    pub shop: &'a Shop,
    /// What was spent.
    pub book: &'a Book,
    /// Whose the purchases are.
    pub identity: &'a Identity,
    /// What pays; an empty one can only spend credits.
    pub purse: &'a Purse,
}

impl Buyer<'_> {
    /// Asks what something costs. Nothing is bought, and nothing is written down anywhere.
    ///
    /// # Errors
    /// When the shop refuses, or there is no way to pay that was wished for.
    pub async fn quote(
        &self,
        path: &str,
        body: &Value,
        means: Means,
    ) -> Result<Quote, PurchaseError> {
        let call = Call {
            method: Method::POST,
            path,
            body: Some(body),
            query: Vec::new(),
            headers: Vec::new(),
        };
        let reply = self.shop.call(call, self.identity).await?;
        if reply.status != StatusCode::PAYMENT_REQUIRED {
            return Err(if reply.status.is_success() {
                PurchaseError::Unpriced(reply.status)
            } else {
                ShopError::Refused(reply.problem()).into()
            });
        }
        let offer = Offer::choose(Offer::read(&reply)?, means, self.purse)?;
        Ok(Quote { offer, reply })
    }

    /// Buys something: at the price that is asked for now, if the wishes, the cap and the wallet allow it.
    ///
    /// # Errors
    /// When nothing was paid. What may have been paid is an [`Outcome`].
    pub async fn buy(
        &self,
        path: &str,
        body: &Value,
        wishes: &Wishes,
    ) -> Result<Outcome, PurchaseError> {
        if let Some(known) = self.known(path, body, wishes).await? {
            return Ok(known);
        }
        let bought = self.buy_now(path, body, wishes).await;
        match bought {
            // Another process was faster with the same.
            Err(PurchaseError::Book(BookError::NameTaken(name))) => {
                let known = self.known(path, body, wishes).await?;
                known.ok_or_else(|| BookError::NameTaken(name).into())
            }
            bought => bought,
        }
    }

    /// What is known of the purchase of this name. One that is open is taken up.
    async fn known(
        &self,
        path: &str,
        body: &Value,
        wishes: &Wishes,
    ) -> Result<Option<Outcome>, PurchaseError> {
        let Some(name) = &wishes.name else {
            return Ok(None);
        };
        if !is_name(name) {
            return Err(PurchaseError::Name);
        }
        let Some(entry) = self.book.find(name)? else {
            return Ok(None);
        };
        let (shop, request) = match &entry {
            Entry::Closed(closed) if closed.ending == Ending::Refused => return Ok(None),
            Entry::Closed(closed) => (&closed.shop, closed.request.clone()),
            Entry::Open(open) => (&open.shop, open.request()),
        };
        if *shop != self.shop.origin() || request != digest(path, body) {
            let name = name.clone();
            return Err(PurchaseError::OtherPurchase { name });
        }
        Ok(Some(match entry {
            Entry::Closed(closed) => Outcome::Known(closed),
            Entry::Open(open) => self.take_up(&open, wishes.patience).await?,
        }))
    }

    async fn buy_now(
        &self,
        path: &str,
        body: &Value,
        wishes: &Wishes,
    ) -> Result<Outcome, PurchaseError> {
        if wishes.means == Means::Credits {
            return self.spend_credits(path, body, wishes).await;
        }
        if self.purse.is_empty() {
            return Err(PurchaseError::NoWallet);
        }
        let Quote { offer, .. } = self.quote(path, body, wishes.means).await?;
        let (price, means) = (offer.price(), offer.means());
        if let Some(limit) = wishes.max_price.filter(|limit| price > *limit) {
            return Err(PurchaseError::TooDear { price, limit });
        }
        if offer.is_real() && !wishes.real_money {
            return Err(PurchaseError::RealMoney);
        }
        self.check_owner(means)?;
        let payment = offer.pay(self.purse).await?;
        let value = payment.value.to_str().map_err(|_| OfferError::Unreadable)?;
        let open = Open {
            means,
            header: payment.header.as_str().to_owned(),
            value: value.to_owned(),
            ..self.open(path, body, price, wishes)?
        };
        self.book.reserve(open.clone(), wishes.ceiling)?;
        self.send(&open, means, wishes.patience, false).await
    }

    /// Who pays by x402 owns what is bought: a shop refuses another wallet, after the payment was signed.
    fn check_owner(&self, means: Means) -> Result<(), PurchaseError> {
        let is_other = match self.identity {
            Identity::Wallet(_) => means == Means::Solana,
            #[cfg(feature = "solana")]
            Identity::SolanaWallet(_) => matches!(means, Means::Base | Means::MegaEth),
            Identity::Ows(wallet) => {
                let own = self.purse.ows.as_ref();
                means != Means::Base || own.is_none_or(|own| own.address() != wallet.address())
            }
            Identity::Nobody | Identity::ApiKey(_) => false,
        };
        if is_other {
            return Err(PurchaseError::OtherWallet { means });
        }
        Ok(())
    }

    /// Takes up a purchase of which nobody knows what became of it: the same is sent again, which pays nothing twice.
    ///
    /// # Errors
    /// When somebody else sent it, or nothing but a name protects it that may be forgotten.
    pub async fn take_up(&self, open: &Open, patience: Duration) -> Result<Outcome, PurchaseError> {
        let now = self.identity.name();
        if open.identity != now {
            let sent = open.identity.clone();
            return Err(PurchaseError::OtherIdentity { sent, now });
        }
        if open.header.is_empty() && now_s().saturating_sub(open.at_s) > NAME_LIFE_S {
            let id = open.id.clone();
            return Err(PurchaseError::TooOld { id });
        }
        let means = match open.header.as_str() {
            "" => Means::Credits,
            "authorization" => Means::Tempo,
            // Books of older versions do not tell.
            _ if open.means == Means::Any => Means::Base,
            _ => open.means,
        };
        self.send(open, means, patience, true).await
    }

    /// Credits were counted when they were bought, so they cost nothing more. The name makes repeats safe.
    async fn spend_credits(
        &self,
        path: &str,
        body: &Value,
        wishes: &Wishes,
    ) -> Result<Outcome, PurchaseError> {
        let mut body = body.clone();
        if let Some(members) = body.as_object_mut() {
            members.insert("use_credits".to_owned(), true.into());
            if let Some(limit) = wishes.max_price {
                let text = limit.to_string();
                let number = serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
                members.insert("max_total_usd".to_owned(), number);
            }
        }
        let open = self.open(path, &body, Usd::ZERO, wishes)?;
        self.book.reserve(open.clone(), None)?;
        self.send(&open, Means::Credits, wishes.patience, false)
            .await
    }

    fn open(
        &self,
        path: &str,
        body: &Value,
        price: Usd,
        wishes: &Wishes,
    ) -> Result<Open, PurchaseError> {
        let chance = random::<16>().map_err(OfferError::Chance)?;
        let own = wishes.name.clone();
        Ok(Open {
            id: own.unwrap_or_else(|| format!("compute-{}", hex::encode(chance))),
            at_s: now_s(),
            shop: self.shop.origin(),
            path: path.to_owned(),
            body: body.clone(),
            price,
            identity: self.identity.name(),
            means: Means::Credits,
            header: String::new(),
            value: String::new(),
        })
    }

    /// Sends the same until it has an end, or patience is over. `was_sent` when it may have arrived before.
    async fn send(
        &self,
        open: &Open,
        means: Means,
        patience: Duration,
        was_sent: bool,
    ) -> Result<Outcome, PurchaseError> {
        let headers = headers(open)?;
        let limit = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let until = now_ms().saturating_add(limit);
        let (mut may_have_arrived, mut pause) = (was_sent, PAUSE);
        let mut looks_for_key = 0;
        loop {
            let call = Call {
                method: Method::POST,
                path: &open.path,
                body: Some(&open.body),
                query: Vec::new(),
                headers: headers.clone(),
            };
            let (last, wait) = match self.shop.call(call, self.identity).await {
                Ok(reply) => {
                    let verdict = reply.verdict();
                    if let Some(ending) = ending_of(&verdict, may_have_arrived) {
                        if !reply.lacks_key() {
                            return self.close(open, means, ending, verdict, reply);
                        }
                        // It is bought; the same again buys nothing else, and gets the key.
                        looks_for_key += 1;
                        if looks_for_key == KEY_LOOKS {
                            return Ok(Outcome::Paid(without_key(open, means, reply)));
                        }
                        tokio::time::sleep(pause).await;
                        pause = pause.saturating_mul(2).min(MAX_PAUSE);
                        continue;
                    }
                    may_have_arrived = true;
                    let problem = reply.problem();
                    let last = match reply.status.as_u16() {
                        200..=299 => "its settlement is not known yet".to_owned(),
                        status => format!("{} ({status} {})", problem.detail, problem.code),
                    };
                    (last, reply.retry_after())
                }
                Err(ShopError::Unanswered(error)) => {
                    may_have_arrived |= !error.is_not_sent();
                    (error.to_string(), None)
                }
                Err(error) => return self.give_up(open, may_have_arrived, error),
            };
            let wait = wait.unwrap_or(pause).clamp(PAUSE, MAX_PAUSE);
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            if now_ms().saturating_add(wait_ms) >= until {
                return self.stop(open, may_have_arrived, last);
            }
            tokio::time::sleep(wait).await;
            pause = pause.saturating_mul(2).min(MAX_PAUSE);
        }
    }

    fn close(
        &self,
        open: &Open,
        means: Means,
        ending: Ending,
        verdict: Verdict,
        reply: Reply,
    ) -> Result<Outcome, PurchaseError> {
        let order = ["/order/id", "/order_id"].map(|pointer| reply.text(pointer).to_owned());
        let order = order
            .into_iter()
            .find(|id| !id.is_empty())
            .unwrap_or_default();
        let unwritten = match self.book.close(&open.id, ending, &order, now_s()) {
            // Another process has taken it up and found the same end.
            Ok(()) | Err(BookError::NotOpen(_)) => None,
            // Nothing was charged, which is what this error says, too.
            Err(error) if ending == Ending::Refused => return Err(error.into()),
            Err(error) => Some(error),
        };
        let problem = reply.problem();
        let bought = Bought {
            id: open.id.clone(),
            price: open.price,
            means,
            reply,
            is_key_missing: false,
            unwritten,
        };
        Ok(match verdict {
            Verdict::Paid => Outcome::Paid(bought),
            Verdict::Credited(amount) => Outcome::Credited { amount, bought },
            Verdict::Refused { .. } | Verdict::Again => Outcome::Refused(problem),
        })
    }

    /// Nothing more can be sent.
    fn give_up(
        &self,
        open: &Open,
        may_have_arrived: bool,
        error: ShopError,
    ) -> Result<Outcome, PurchaseError> {
        if may_have_arrived {
            return Ok(Outcome::Unknown {
                id: open.id.clone(),
                last: error.to_string(),
            });
        }
        self.book.close(&open.id, Ending::Refused, "", now_s())?;
        Err(error.into())
    }

    /// Patience is over.
    fn stop(
        &self,
        open: &Open,
        may_have_arrived: bool,
        last: String,
    ) -> Result<Outcome, PurchaseError> {
        if may_have_arrived {
            let id = open.id.clone();
            return Ok(Outcome::Unknown { id, last });
        }
        // No byte of it ever left: the payment is worth nothing to anybody.
        self.book.close(&open.id, Ending::Refused, "", now_s())?;
        Ok(Outcome::Refused(Problem {
            status: 0,
            code: "unreachable".to_owned(),
            detail: last,
            request_id: String::new(),
        }))
    }
}

/// What was bought, as long as its key is not known: it stays open in the book.
fn without_key(open: &Open, means: Means, reply: Reply) -> Bought {
    Bought {
        id: open.id.clone(),
        price: open.price,
        means,
        reply,
        is_key_missing: true,
        unwritten: None,
    }
}

/// Whether a shop takes it as the name of a purchase.
fn is_name(text: &str) -> bool {
    let is_allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':' | b'.');
    (8..=128).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// The end that an answer is. A refusal of the request says nothing of a payment that may have arrived before.
const fn ending_of(verdict: &Verdict, may_have_arrived: bool) -> Option<Ending> {
    match verdict {
        Verdict::Paid => Some(Ending::Paid),
        Verdict::Credited(_) => Some(Ending::Credited),
        Verdict::Refused { for_good } if *for_good || !may_have_arrived => Some(Ending::Refused),
        Verdict::Refused { .. } | Verdict::Again => None,
    }
}

/// The payment and the name.
fn headers(open: &Open) -> Result<Vec<(HeaderName, HeaderValue)>, PurchaseError> {
    let mut headers = Vec::new();
    if !open.header.is_empty() {
        let name = HeaderName::from_bytes(open.header.as_bytes());
        let name = name.map_err(|_| OfferError::Unreadable)?;
        let mut value = HeaderValue::from_str(&open.value).map_err(|_| OfferError::Unreadable)?;
        value.set_sensitive(true);
        headers.push((name, value));
    }
    let name = HeaderValue::from_str(&open.id).map_err(|_| OfferError::Unreadable)?;
    headers.push((NAME, name));
    Ok(headers)
}
