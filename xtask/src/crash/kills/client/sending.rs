//! How a client sends, repeats, and writes down what it is told.

use std::thread;

use serde_json::Value;

use super::super::super::buyer::text;
use super::super::super::http::{self, Answer};
use super::super::super::verdict::{self, Verdict};
use super::super::book::{End, Funds, Purchase};
use super::{Client, Order, PAUSE, TRIES};

impl Client<'_> {
    /// Writes the end of a purchase down.
    pub(super) fn close(
        &self,
        order: &Order,
        verdict: Verdict,
        was_declined: bool,
    ) -> Option<Value> {
        let (end, reply) = match verdict {
            Verdict::Made(reply) => (End::Accepted, reply),
            Verdict::Refunded(reply) => (End::Refunded, reply),
            Verdict::Refused(reply) => (End::Refused, reply),
            Verdict::Again | Verdict::Wrong(_) => return None,
        };
        let named = |pointers: &[&str]| {
            let found = pointers.iter().map(|pointer| text(&reply, pointer));
            found.map(str::to_owned).find(|id| !id.is_empty())
        };
        let mut book = self.town.book();
        if was_declined && order.funds == Funds::Payment {
            book.counts.declined += 1;
        }
        book.close(Purchase {
            wallet: self.wallet_number,
            goods: order.goods.clone(),
            funds: order.funds,
            price: order.price,
            end,
            operation: named(&["/operation_id"]),
            order: named(&["/order/id", "/order_id"]),
            answer: reply.to_string(),
        });
        (end == End::Accepted).then_some(reply)
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
    pub(super) fn ask(&self, path: &str) -> Option<Value> {
        let headers = [("x-api-key", self.wallet.api_key.as_str())];
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
