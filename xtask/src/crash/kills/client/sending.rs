//! How a client sends, repeats, and writes down what it is told.

use std::thread;

use serde_json::Value;

use super::super::super::buyer::text;
use super::super::super::http::{self, Answer};
use super::super::super::verdict::{self, Verdict};
use super::super::book::{End, Funds, Purchase};
use super::super::town::Owner;
use super::{Bought, Client, Means, Order, PAUSE, TRIES};

impl Client<'_> {
    /// Writes the end of a purchase down; what was bought when it was made.
    pub(super) fn close(
        &self,
        order: &Order,
        verdict: Verdict,
        was_declined: bool,
    ) -> Option<Bought> {
        let (end, reply) = match verdict {
            Verdict::Made(reply) => (End::Accepted, reply),
            Verdict::Refunded(reply) => (End::Refunded, reply),
            Verdict::Refused(reply) => (End::Refused, reply),
            Verdict::Again | Verdict::Wrong(_) => return None,
        };
        let owner = self.owner_of(order, &reply);
        if owner.is_none() && end != End::Refused {
            let text = format!("a buyer that showed a credential alone got no key: {reply}");
            self.town.book().wrong(text);
            return None;
        }
        // What was refused to a buyer without a key can be seen by nobody.
        let is_seen = owner.is_some();
        let named = |pointers: &[&str]| {
            let found = pointers.iter().map(|pointer| text(&reply, pointer));
            let mut found = found.filter(|id| is_seen && !id.is_empty());
            found.next().map(str::to_owned)
        };
        let funds = order.means.funds();
        let mut book = self.town.book();
        book.counts.declined += u64::from(was_declined && funds == Funds::Payment);
        book.counts.by_credential += u64::from(matches!(order.means, Means::Credential { .. }));
        book.counts.anonymous += u64::from(order.means.is_anonymous());
        let (owner, api_key) = owner.unwrap_or((order.owner, String::new()));
        book.close(Purchase {
            owner,
            goods: order.goods.clone(),
            funds,
            price: order.price,
            end,
            operation: named(&["/operation_id"]),
            order: named(&["/order/id", "/order_id"]),
            answer: reply.to_string(),
        });
        (end == End::Accepted).then_some(Bought {
            reply,
            owner,
            api_key,
        })
    }

    /// Whose a purchase is, and the key that shows it; nothing when the answer should tell and does not.
    fn owner_of(&self, order: &Order, reply: &Value) -> Option<(usize, String)> {
        if !order.means.is_anonymous() {
            return Some((order.owner, order.api_key.clone()));
        }
        let api_key = text(reply, "/management_api_key").to_owned();
        if api_key.is_empty() {
            return None;
        }
        let number = self.town.add_owner(Owner {
            wallet: self.wallet_number,
            api_key: api_key.clone(),
        });
        Some((number, api_key))
    }

    /// Sends something until it is answered for good; tells also whether that was a 402.
    pub(super) fn until_final(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
        fault: Option<&'static str>,
    ) -> Option<(Verdict, bool)> {
        let is_destruction = method == "DELETE";
        let mut was_broken = false;
        for _ in 0..TRIES {
            if self.town.is_closing() {
                return None;
            }
            let Some(answer) = self.send(method, path, headers, body) else {
                was_broken = true;
                thread::sleep(PAUSE);
                continue;
            };
            let verdict = if is_destruction {
                verdict::of_destruction(&answer)
            } else {
                verdict::of_purchase(&answer)
            };
            let is_repeat = was_broken && answer.header("idempotent-replayed").is_some();
            if is_repeat && verdict != Verdict::Again {
                let mut book = self.town.book();
                book.counts.inject("F087");
                if let Some(fault) = fault {
                    book.counts.inject(fault);
                }
            }
            match verdict {
                Verdict::Again => thread::sleep(PAUSE),
                Verdict::Wrong(what) => {
                    self.town.book().wrong(format!("{method} {path}: {what}"));
                    return None;
                }
                verdict => return Some((verdict, answer.status == 402)),
            }
        }
        let text = format!("{method} {path} is never answered for good");
        self.town.book().wrong(text);
        None
    }

    /// One request; nothing when it gets no whole answer.
    pub(super) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Option<Answer> {
        let answer = http::send(&self.town.url(), method, path, headers, body).ok();
        let is_trouble = answer.as_ref().is_some_and(tells_of_the_database);
        let mut book = self.town.book();
        book.counts.requests += 1;
        book.counts.broken += u64::from(answer.is_none());
        book.counts.unavailable += u64::from(is_trouble);
        answer
    }

    /// Reads something that is there: any answer but that, or trouble, is wrong.
    pub(super) fn ask(&self, path: &str, api_key: &str) -> Option<Value> {
        let headers = [("x-api-key", api_key)];
        let answer = self.send("GET", path, &headers, "")?;
        match answer.status {
            200 => answer.json(200).ok(),
            429 | 500..=599 => None,
            status => {
                let text = format!("GET {path} was answered {status}");
                self.town.book().wrong(text);
                None
            }
        }
    }
}

/// Whether an answer says that the database did not work.
fn tells_of_the_database(answer: &Answer) -> bool {
    let body = answer.json(500).or_else(|_| answer.json(503));
    body.is_ok_and(|body| matches!(text(&body, "/code"), "unavailable" | "internal"))
}
