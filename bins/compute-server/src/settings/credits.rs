//! `[credits]`: prepaid dollars.

use compute_domain::money::{MICROS_PER_USD, Usd};

use super::check::Check;
use super::section::section;
use super::value::usd;

/// The least that the least top-up can be: one cent. Less is not worth a settlement.
const LEAST: Usd = usd(MICROS_PER_USD / 100);

/// The most that the largest top-up can be: one million dollars.
const MOST: Usd = usd(1_000_000 * MICROS_PER_USD);

section! {
    /// Prepaid dollars, which buy and extend machines without a payment for each.
    Credits {
        /// The least that one top-up may be.
        min_topup: Usd = usd(MICROS_PER_USD),
        /// The most that one top-up may be.
        max_topup: Usd = usd(100_000 * MICROS_PER_USD),
    }
}

impl Credits {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        for (key, amount) in [
            ("credits.min_topup", self.min_topup),
            ("credits.max_topup", self.max_topup),
        ] {
            if !(LEAST..=MOST).contains(&amount) {
                check.problem(key, format!("must be {LEAST} to {MOST} USD"));
            }
        }
        if self.min_topup > self.max_topup {
            check.problem(
                "credits.min_topup",
                "must be at most as much as credits.max_topup",
            );
        }
    }
}
