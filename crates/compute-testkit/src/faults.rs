use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A fault as the control endpoint takes it: `{"times": 2, "kind": "…", …}`.
#[derive(Debug, Deserialize)]
pub(crate) struct Order<F> {
    /// How often it strikes; absent means once.
    #[serde(default = "once")]
    times: u32,
    #[serde(flatten)]
    fault: F,
}

const fn once() -> u32 {
    1
}

/// One fault or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Orders<F> {
    Many(Vec<Order<F>>),
    One(Order<F>),
}

/// The faults that are still to strike, oldest first, and how often each kind has struck.
#[derive(Debug)]
pub(crate) struct Faults<F> {
    pending: Vec<(F, u32)>,
    struck: BTreeMap<String, u64>,
}

impl<F> Default for Faults<F> {
    fn default() -> Self {
        Self {
            pending: Vec::new(),
            struck: BTreeMap::new(),
        }
    }
}

impl<F: Clone + Serialize> Faults<F> {
    pub(crate) fn add(&mut self, fault: F, times: u32) {
        if times > 0 {
            self.pending.push((fault, times));
        }
    }

    /// How many are still to strike, and how often each kind has struck so far.
    pub(crate) fn report(&self) -> Value {
        json!({"pending": self.pending.len(), "struck": self.struck})
    }

    pub(crate) fn add_orders(&mut self, orders: Orders<F>) {
        let orders = match orders {
            Orders::Many(orders) => orders,
            Orders::One(order) => vec![order],
        };
        for order in orders {
            self.add(order.fault, order.times);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.pending.clear();
    }

    /// The oldest fault that `applies`, and one strike of it is used up.
    pub(crate) fn take(&mut self, applies: impl Fn(&F) -> bool) -> Option<F> {
        let index = self.pending.iter().position(|(fault, _)| applies(fault))?;
        let (fault, times) = self.pending.get_mut(index)?;
        let taken = fault.clone();
        *times = times.saturating_sub(1);
        if *times == 0 {
            self.pending.remove(index);
        }
        let strikes = self.struck.entry(kind_of(&taken)).or_default();
        *strikes = strikes.saturating_add(1);
        Some(taken)
    }

    /// Whether a lasting fault is in force; nothing is used up.
    pub(crate) fn any(&self, applies: impl Fn(&F) -> bool) -> bool {
        self.pending.iter().any(|(fault, _)| applies(fault))
    }
}

/// The word by which a fault is ordered.
fn kind_of(fault: &impl Serialize) -> String {
    let written = serde_json::to_value(fault).unwrap_or_default();
    let kind = written.get("kind").unwrap_or(&written);
    kind.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_strike_in_order_and_as_often_as_asked() {
        let mut faults = Faults::default();
        faults.add("a", 2);
        faults.add("b", 1);
        assert_eq!(faults.take(|f| *f == "b"), Some("b"));
        assert_eq!(faults.take(|_| true), Some("a"));
        assert_eq!(faults.take(|_| true), Some("a"));
        assert_eq!(faults.take(|_| true), None);
    }

    #[test]
    fn strikes_are_counted_by_kind_and_survive_a_clearing() {
        #[derive(Clone, Serialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        enum Fault {
            SettleThenDrop,
            Slow { ms: u64 },
        }
        let mut faults = Faults::default();
        faults.add(Fault::SettleThenDrop, 2);
        faults.add(Fault::Slow { ms: 1 }, 2);
        faults.take(|fault| matches!(fault, Fault::Slow { .. }));
        let report = json!({"pending": 2, "struck": {"slow": 1}});
        assert_eq!(faults.report(), report);
        faults.clear();
        let report = json!({"pending": 0, "struck": {"slow": 1}});
        assert_eq!(faults.report(), report);
    }
}
