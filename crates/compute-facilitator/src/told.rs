//! Who was told that a payment settled: it is said once.
//!
//! A shop that asks again because the answer was lost says so with the same `Idempotency-Key`, or
//! had no answer but "pending". Anybody else who shows the same payment would sell for it again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use compute_domain::time::{Span, Timestamp};

/// A payment cannot settle later than a day after it was signed.
const REMEMBERED: Span = Span::from_hours(24);

/// More are not remembered; then nothing is settled until some are forgotten.
const MAX_REMEMBERED: usize = 200_000;

#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<HashMap<String, Answer>>);

#[derive(Debug)]
struct Answer {
    state: State,
    key: Option<String>,
    at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Somebody is waiting for the answer.
    Asked,
    /// The answer left it open.
    Open,
    /// The answer was a yes.
    Settled,
}

/// A question that is being answered. One that is dropped, because its client went away, is open.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    told: &'a Told,
    proof_key: &'a str,
    state: State,
}

impl Asking<'_> {
    /// The answer is a yes.
    pub(crate) const fn settles(&mut self) {
        self.state = State::Settled;
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut answers = self.told.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = answers.get_mut(self.proof_key) {
            answer.state = self.state;
        }
    }
}

impl Told {
    /// Begins to answer; nothing when somebody else waits for the answer, or had it.
    pub(crate) fn begin<'a>(
        &'a self,
        proof_key: &'a str,
        key: Option<&str>,
        now: Timestamp,
    ) -> Option<Asking<'a>> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MAX_REMEMBERED {
            answers.retain(|_, answer| now.since(answer.at) < REMEMBERED);
            if answers.len() >= MAX_REMEMBERED {
                return None;
            }
        }
        if let Some(earlier) = answers.get(proof_key) {
            let is_retry = key.is_some() && earlier.key.as_deref() == key;
            if earlier.state == State::Asked || (earlier.state == State::Settled && !is_retry) {
                return None;
            }
        }
        let answer = Answer {
            state: State::Asked,
            key: key.map(str::to_owned),
            at: now,
        };
        answers.insert(proof_key.to_owned(), answer);
        Some(Asking {
            told: self,
            proof_key,
            state: State::Open,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn a_yes_is_said_once_or_to_who_asks_by_the_same_name() {
        let told = Told::default();
        let mut first = told.begin("a", Some("k"), NOW).unwrap();
        // While the first waits, nobody else is answered.
        assert!(told.begin("a", Some("k"), NOW).is_none());
        first.settles();
        drop(first);
        assert!(told.begin("a", None, NOW).is_none());
        assert!(told.begin("a", Some("other"), NOW).is_none());
        assert!(told.begin("a", Some("k"), NOW).is_some());
        told.begin("b", None, NOW).unwrap().settles();
        assert!(told.begin("b", None, NOW).is_none());
    }

    #[test]
    fn what_was_left_open_may_be_asked_again() {
        let told = Told::default();
        assert!(told.begin("a", None, NOW).is_some());
        assert!(told.begin("a", None, NOW).is_some());
    }
}
