//! One line a purchase.

use std::fmt;
use std::time::Duration;

use super::purchase::Money;

pub(super) const HEAD: &str = "\
network  client                                   version  method    paid      buyer                    \
treasury                       hot wallet  took";

/// A purchase that everything speaks for.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) network: &'static str,
    pub(super) client: &'static str,
    pub(super) version: u64,
    pub(super) method: &'static str,
    pub(super) price: u128,
    pub(super) decimals: u32,
    pub(super) before: Money,
    pub(super) after: Money,
    pub(super) took: Duration,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |amount| dollars(amount, self.decimals);
        let change = |before, after| format!("{} -> {}", show(before), show(after));
        let Self { before, after, .. } = self;
        write!(
            f,
            "{:<8} {:<40} {:<8} {:<9} {:<9} {:<24} {:<30} {:<11} {:.1?}",
            self.network,
            self.client,
            self.version,
            self.method,
            show(self.price),
            change(before.buyer, after.buyer),
            change(before.treasury, after.treasury),
            show(after.hot_wallet),
            self.took,
        )
    }
}

/// An amount of atomic units without the zeros that say nothing.
fn dollars(amount: u128, decimals: u32) -> String {
    let width = usize::try_from(decimals).unwrap_or(usize::MAX);
    let unit = 10_u128.checked_pow(decimals).unwrap_or(u128::MAX);
    let whole = amount.div_euclid(unit);
    let rest = amount.rem_euclid(unit);
    let text = format!("{whole}.{rest:0width$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_shown_to_the_last_digit() {
        assert_eq!(dollars(178_584, 6), "0.178584");
        assert_eq!(dollars(1_000_000_000, 6), "1000");
        assert_eq!(dollars(1, 18), "0.000000000000000001");
        assert_eq!(dollars(0, 18), "0");
        assert_eq!(dollars(90_000_000_000_000_000_000, 18), "90");
    }
}
