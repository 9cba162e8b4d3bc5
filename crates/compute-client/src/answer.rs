//! What a shop answers, and what it means for money.

use std::time::Duration;

use compute_outbound::Answer;
use http::{HeaderName, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::usd::Usd;

/// The header of a development server.
const MODE: HeaderName = HeaderName::from_static("x-compute-mode");

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its body; null when it is no JSON.
    pub body: Value,
    pub(crate) answer: Answer,
}

/// What a shop says is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Problem {
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// A stable word for it.
    #[serde(default)]
    pub code: String,
    /// What happened and what to do.
    #[serde(default)]
    pub detail: String,
    /// Names the request for whoever runs the shop.
    #[serde(default)]
    pub request_id: String,
}

/// What an answer to a paid request says about the money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It bought what was asked for.
    Paid,
    /// It was paid and could not be delivered: so much is credited to its owner.
    Credited(Usd),
    /// It was refused. Nothing will be charged for a request that never got another answer than this.
    Refused {
        /// Whether the shop says of the payment itself that nothing is charged, whatever was answered before.
        for_good: bool,
    },
    /// Nobody knows yet: the same must be sent again.
    Again,
}

impl Reply {
    pub(crate) fn new(answer: Answer) -> Self {
        let body = answer.json().unwrap_or(Value::Null);
        Self {
            status: answer.status,
            body,
            answer,
        }
    }

    /// Whether the shop says that nothing at it is real.
    #[must_use]
    pub fn is_dev(&self) -> bool {
        let mode = self.answer.headers.get(MODE);
        mode.is_some_and(|mode| mode == "dev")
    }

    /// The text at a place of the body; empty when there is none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        let found = self.body.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default()
    }

    /// What is wrong, in the shop's words, or what can be said without them.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let told = serde_json::from_value::<Problem>(self.body.clone()).ok();
        let told = told.filter(|it| !it.code.is_empty());
        let mut problem = told.unwrap_or_else(|| Problem {
            status: 0,
            code: "not_a_shop".to_owned(),
            detail: "the answer is not one of this API: is the address that of a compute shop?"
                .to_owned(),
            request_id: String::new(),
        });
        problem.status = self.status.as_u16();
        problem
    }

    /// How long the shop asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.answer.retry_after()
    }

    /// What a request that carried its payment came to. Only what the contract calls an end is one; everything
    /// else is asked for again, because a payment may have been made.
    pub(crate) fn verdict(&self) -> Verdict {
        let for_good = self.body.get("charged") == Some(&Value::Bool(false));
        let credited = self.body.pointer("/details/credited");
        match self.status.as_u16() {
            200 if self.is_pending() => Verdict::Again,
            200 if self.is_made() => Verdict::Paid,
            500..=599 => match credited.map(|it| serde_json::from_value(it.clone())) {
                Some(Ok(amount)) => Verdict::Credited(amount),
                _ if for_good => Verdict::Refused { for_good },
                _ => Verdict::Again,
            },
            402 if for_good || self.text("/code") == "insufficient_credits" => {
                Verdict::Refused { for_good }
            }
            // The shop has it, and not for this: that should never be, and is no reason to forget it.
            409 if self.text("/code") == "payment_already_used" => Verdict::Again,
            409 if self.text("/code") == "operation_in_progress" => Verdict::Again,
            // A request that is wrong in itself, or somebody else's, is refused before anything settles.
            400 | 401 | 403..=406 | 409 | 410 | 413 | 415 | 422 => Verdict::Refused { for_good },
            _ => Verdict::Again,
        }
    }

    /// Whether a key acts for the buyer that could not be read just now: there is a note on it, and nothing of it.
    pub(crate) fn lacks_key(&self) -> bool {
        !self.text("/management_note").is_empty()
            && self.text("/management_api_key_id").is_empty()
            && self.text("/management_api_key").is_empty()
    }

    /// What was bought is named: no page of a proxy in between does that.
    fn is_made(&self) -> bool {
        self.body.get("success") == Some(&Value::Bool(true))
            && !self.text("/operation_id").is_empty()
    }

    /// The order stands, and whether its payment arrived is not known yet.
    fn is_pending(&self) -> bool {
        self.text("/settlement") == "pending"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, body: &str) -> Verdict {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: http::HeaderMap::new(),
            body: body.to_owned().into(),
            date: None,
        };
        Reply::new(answer).verdict()
    }

    #[test]
    fn an_end_is_what_the_contract_calls_one() {
        let made = r#"{"success":true,"operation_id":"o","settlement":"settled"}"#;
        assert_eq!(verdict(200, made), Verdict::Paid);
        let lost = r#"{"code":"no_capacity","details":{"credited":0.192}}"#;
        let credited = Verdict::Credited(Usd::from_micros(192_000));
        assert_eq!(verdict(503, lost), credited);
        let refused = |for_good| Verdict::Refused { for_good };
        assert_eq!(verdict(402, r#"{"charged":false}"#), refused(true));
        assert_eq!(verdict(503, r#"{"charged":false}"#), refused(true));
        assert_eq!(verdict(400, r#"{"code":"unknown_plan"}"#), refused(false));
    }

    #[test]
    fn everything_else_is_asked_again() {
        for (status, body) in [
            (
                200,
                r#"{"success":true,"operation_id":"o","settlement":"pending"}"#,
            ),
            (200, "<html>welcome</html>"),
            (200, r#"{"ok":true}"#),
            (202, "{}"),
            (402, r#"{"code":"payment_required"}"#),
            (409, r#"{"code":"operation_in_progress"}"#),
            (409, r#"{"code":"payment_already_used"}"#),
            (429, "{}"),
            (500, "{}"),
            (502, "<html>"),
            (503, r#"{"code":"unavailable"}"#),
            (307, ""),
        ] {
            assert_eq!(verdict(status, body), Verdict::Again, "{status} {body}");
        }
    }
}
