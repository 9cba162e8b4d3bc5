use serde::Deserialize;

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

/// The faults that are still to strike, oldest first.
#[derive(Debug)]
pub(crate) struct Faults<F>(Vec<(F, u32)>);

impl<F> Default for Faults<F> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<F: Clone> Faults<F> {
    pub(crate) fn add(&mut self, fault: F, times: u32) {
        if times > 0 {
            self.0.push((fault, times));
        }
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
        self.0.clear();
    }

    /// The oldest fault that `applies`, and one strike of it is used up.
    pub(crate) fn take(&mut self, applies: impl Fn(&F) -> bool) -> Option<F> {
        let index = self.0.iter().position(|(fault, _)| applies(fault))?;
        let (fault, times) = self.0.get_mut(index)?;
        let taken = fault.clone();
        *times = times.saturating_sub(1);
        if *times == 0 {
            self.0.remove(index);
        }
        Some(taken)
    }

    /// Whether a lasting fault is in force; nothing is used up.
    pub(crate) fn any(&self, applies: impl Fn(&F) -> bool) -> bool {
        self.0.iter().any(|(fault, _)| applies(fault))
    }
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
}
