//! What happened in runs, counted: faults by id, fail points by name.

use std::collections::BTreeMap;

/// Counts of one run or of many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often each fault of reliability.md 5 was injected.
    pub faults: BTreeMap<String, u64>,
    /// How often each fail point was reached.
    pub reached: BTreeMap<String, u64>,
    /// How often a process ended at each fail point.
    pub crashed: BTreeMap<String, u64>,
    /// How each kind of work ended, and how often clients got which answer.
    pub outcomes: BTreeMap<String, u64>,
    /// How often an operator had to retry or refund.
    pub repairs: u64,
}

impl Tally {
    pub(crate) fn fault(&mut self, id: &str) {
        bump(&mut self.faults, id, 1);
    }

    pub(crate) fn point_reached(&mut self, name: &str) {
        bump(&mut self.reached, name, 1);
    }

    pub(crate) fn crashed_at(&mut self, name: &str) {
        bump(&mut self.crashed, name, 1);
    }

    pub(crate) fn outcome(&mut self, name: &str) {
        bump(&mut self.outcomes, name, 1);
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.faults, &other.faults),
            (&mut self.reached, &other.reached),
            (&mut self.crashed, &other.crashed),
            (&mut self.outcomes, &other.outcomes),
        ] {
            for (name, count) in theirs {
                bump(mine, name, *count);
            }
        }
        self.repairs += other.repairs;
    }
}

fn bump(counts: &mut BTreeMap<String, u64>, name: &str, by: u64) {
    if let Some(count) = counts.get_mut(name) {
        *count += by;
    } else {
        counts.insert(name.to_owned(), by);
    }
}
