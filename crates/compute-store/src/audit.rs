//! The promises of reliability.md 3, as questions to everything that is stored.
//!
//! Each question is a statement whose rows are broken promises, said in words. Only the hash chains
//! need a program: [`chain`] walks them.

mod arrivals;
mod chain;
mod machines;
mod money;
mod payments;
mod reserves;

use std::collections::BTreeMap;

use async_trait::async_trait;
use compute_engine::ports::{Audit, Finding, StoreError};

use crate::dialect::PREPARE_AUDIT;
use crate::statement::{execute, fetch};
use crate::tx::StoreTx;

/// How many findings one promise may have; more say nothing new.
const FINDINGS_MAX: usize = 100;

/// A statement that returns one text for each broken promise, 100 at most.
struct Question {
    promise: &'static str,
    sql: &'static str,
}

/// Findings so far, by promise.
#[derive(Default)]
struct Findings {
    by_promise: BTreeMap<&'static str, Vec<Finding>>,
}

impl Findings {
    fn add(&mut self, promise: &'static str, detail: String) {
        let found = self.by_promise.entry(promise).or_default();
        if found.len() < FINDINGS_MAX {
            found.push(Finding { promise, detail });
        }
    }

    fn is_full(&self, promise: &'static str) -> bool {
        let found = self.by_promise.get(promise);
        found.is_some_and(|found| found.len() >= FINDINGS_MAX)
    }

    fn into_list(self) -> Vec<Finding> {
        self.by_promise.into_values().flatten().collect()
    }
}

#[async_trait]
impl Audit for StoreTx {
    async fn audit(&mut self) -> Result<Vec<Finding>, StoreError> {
        execute!(self, "audit", PREPARE_AUDIT)?;
        let mut findings = Findings::default();
        let questions = [
            money::QUESTIONS,
            payments::QUESTIONS,
            arrivals::QUESTIONS,
            reserves::QUESTIONS,
            machines::QUESTIONS,
        ];
        for question in questions.into_iter().flatten() {
            let rows: Vec<(String,)> = fetch!(fetch_all, self, "audit", question.sql)?;
            for (detail,) in rows {
                findings.add(question.promise, detail);
            }
        }
        self.walk_chains(&mut findings).await?;
        Ok(findings.into_list())
    }
}
