//! What the partners wrote down: the evidence that is not the server's answer.
//!
//! The partners of `serve` are other programs. Those of `dev` are simulators inside it, which keep
//! their own journals all the same.

mod keeper;

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

pub(crate) use self::keeper::Keeper;
use super::shop::Network;

/// The journals of the partners.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) keeper: Keeper,
    pub(super) settlements: PathBuf,
    pub(super) machines: PathBuf,
    pub(super) network: Network,
    pub(super) pay_to: String,
}

/// What one purchase must have left behind.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    pub(super) payer: &'a str,
    /// In atomic units of the token.
    pub(super) price: u64,
    pub(super) transaction: &'a str,
    pub(super) x402_version: u64,
    pub(super) body: &'a Value,
}

impl Records {
    /// Machines that were made so far.
    pub(super) fn count_machines(&self) -> Result<usize> {
        Ok(self.keeper.machines(&self.machines)?.len())
    }

    /// Checks that a purchase moved its price once, and made one machine after the `before` first.
    pub(super) fn check(&self, expected: &Expected<'_>, before: usize) -> Result<()> {
        self.check_settlement(expected)?;
        let machines = self.keeper.machines(&self.machines)?;
        let made = machines.get(before..).unwrap_or_default();
        let [machine] = made else {
            bail!(
                "the vendor made {} machines for this purchase, not one",
                made.len()
            );
        };
        for (member, found) in &machine.asked {
            ensure!(
                Some(found) == expected.body.get(member),
                "the vendor made another machine: {machine:?}"
            );
        }
        Ok(())
    }

    fn check_settlement(&self, expected: &Expected<'_>) -> Result<()> {
        let mut settlements = self.keeper.settlements(&self.settlements)?;
        settlements.retain(|settlement| is_same(&settlement.from, expected.payer));
        let [settlement] = settlements.as_slice() else {
            bail!(
                "{} payments of this payer were settled, not one",
                settlements.len()
            );
        };
        let is_facilitated = settlement.facilitated.as_ref().is_none_or(|it| {
            is_same(&it.transaction, expected.transaction)
                && it.x402_version == expected.x402_version
        });
        let is_right = [self.network.v1, self.network.v2].contains(&settlement.network.as_str())
            && is_same(&settlement.to, &self.pay_to)
            && settlement.value == expected.price.to_string()
            && is_facilitated;
        ensure!(
            is_right,
            "something else than {expected:?} was settled: {settlement:?}"
        );
        Ok(())
    }

    /// Checks that nothing happened beside `purchases` purchases.
    pub(super) fn check_totals(&self, purchases: usize) -> Result<()> {
        let settlements = self.keeper.settlements(&self.settlements)?.len();
        let machines = self.keeper.machines(&self.machines)?;
        let deleted = self.keeper.count_deleted(&self.machines)?;
        let mut operations: Vec<&str> = machines.iter().map(|it| it.operation.as_str()).collect();
        operations.sort_unstable();
        operations.dedup();
        ensure!(
            settlements == purchases
                && machines.len() == purchases
                && operations.len() == purchases
                && deleted == 0,
            "after {purchases} purchases there are records of {settlements} settlements, and of {} machines of \
             {} operations, {deleted} of them deleted",
            machines.len(),
            operations.len(),
        );
        Ok(())
    }
}

/// Addresses and hashes come in either letter case.
fn is_same(found: &str, wanted: &str) -> bool {
    found.eq_ignore_ascii_case(wanted)
}

#[cfg(test)]
mod tests;
