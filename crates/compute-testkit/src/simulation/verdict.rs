//! The end of a run: what is written down, held against what the networks and clouds know themselves.

use std::collections::BTreeMap;

use compute_domain::id::{InstanceId, OperationId, OwnerId};
use compute_domain::instance::{EndReason, FailureCode, Instance, InstanceState};
use compute_domain::ledger::{Account, Cause, TransferReason};
use compute_domain::operation::{Operation, OperationState};
use compute_domain::payment::PaymentState;
use compute_domain::time::Timestamp;
use compute_engine::ports::Rail as _;

use super::cluster::World;
use super::machines::Machine;
use super::rails::SimRail;
use crate::model_store::Snapshot;

/// How long after its time a machine may still be there: the grace, and what workers need.
const GRACE_MS: i64 = 3_600_000 + 900_000;

/// The same in a run with faults: outages, a guard that lets five machines go an hour.
const GRACE_STORMY_MS: i64 = 4 * 3_600_000;

/// Everything that is held against each other.
pub(super) struct Verdict<'a> {
    pub(super) world: &'a World,
    snapshot: Snapshot,
    pub(super) operations: BTreeMap<OperationId, Operation>,
    pub(super) instances: BTreeMap<InstanceId, Instance>,
    was_stormy: bool,
}

/// Judges a run in which nothing moves any more.
pub(crate) fn judge(world: &World, was_stormy: bool) {
    for finding in world.store.audit() {
        world.reactor.violate(finding.promise, finding.detail);
    }
    let snapshot = world.store.snapshot();
    let operations = snapshot.operations.iter();
    let instances = snapshot.instances.iter();
    let verdict = Verdict {
        world,
        operations: operations.map(|row| (row.id, row.clone())).collect(),
        instances: instances.map(|row| (row.id, row.clone())).collect(),
        snapshot,
        was_stormy,
    };
    verdict.everything_rests();
    verdict.money();
    verdict.owners();
    verdict.machines();
    verdict.promises_to_clients();
}

impl Verdict<'_> {
    pub(super) fn violate(&self, promise: &str, detail: String) {
        self.world.reactor.violate(promise, detail);
    }

    fn everything_rests(&self) {
        let may_be_stuck = self.world.witness.borrow().has_long_outage;
        for operation in self.operations.values() {
            match &operation.state {
                OperationState::Running(progress) => {
                    let (id, kind, step) = (operation.id, operation.kind, progress.step);
                    let detail = format!("{kind} {id} still runs, at {step}");
                    self.violate("liveness", detail);
                }
                OperationState::Stuck { code, .. } if !may_be_stuck => {
                    let detail = format!("{} {} is stuck: {code}", operation.kind, operation.id);
                    self.violate("liveness", detail);
                }
                _ => {}
            }
            let name = format!("{} {}", operation.kind, operation.state.name());
            self.world.told(&name);
        }
    }

    /// M3, M9, M10: what moved, by the networks' own records, is what is written down.
    fn money(&self) {
        let mut inflow: BTreeMap<OperationId, i64> = BTreeMap::new();
        for transfer in &self.snapshot.transfers {
            if let (TransferReason::Sale | TransferReason::Topup, Cause::Operation(operation)) =
                (transfer.reason, transfer.cause)
            {
                *inflow.entry(operation).or_default() += transfer.amount.micros();
            }
        }
        for rail in &self.world.rails {
            self.money_of(rail, &inflow);
            self.arrivals_of(rail);
        }
        let unmatched: i64 = self
            .snapshot
            .transfers
            .iter()
            .fold(0, |sum, transfer| match transfer.reason {
                TransferReason::Unmatched => sum + transfer.amount.micros(),
                TransferReason::UnmatchedReversal => sum - transfer.amount.micros(),
                _ => sum,
            });
        let all: i64 = inflow.values().sum::<i64>() + unmatched;
        let mut held = 0;
        for transfer in &self.snapshot.transfers {
            let amount = transfer.amount.micros();
            if !matches!(transfer.credit, Account::Clearing(_)) {
                held += amount;
            }
            if !matches!(transfer.debit, Account::Clearing(_)) {
                held -= amount;
            }
        }
        if all != held {
            self.violate("M4", format!("{all} came in, {held} is held"));
        }
    }

    /// M10: what the network moved since the watch began, up to where it has read, is written down to
    /// the last atomic unit.
    fn arrivals_of(&self, rail: &SimRail) {
        let Some(source) = rail.arrival_source() else {
            return;
        };
        let mut sources = self.snapshot.arrival_sources.iter();
        let Some(read) = sources.find(|it| it.source == source) else {
            return;
        };
        let rows = self.snapshot.arrivals.iter();
        let rows = rows.filter(|row| row.source == source);
        let written = rows.fold(read.small_atomic, |sum, row| sum + row.asset.atomic);
        let reached = rail.reached(read.read_up_to.millis());
        if !reached.contains(&written) {
            let detail = format!("{reached:?} reached {source}, {written} is written down");
            self.violate("M10", detail);
        }
    }

    fn money_of(&self, rail: &SimRail, inflow: &BTreeMap<OperationId, i64>) {
        let moved = rail.moved();
        let label = &rail.spec().label;
        let mut by_proof: BTreeMap<&str, Vec<&compute_domain::payment::Payment>> = BTreeMap::new();
        for payment in &self.snapshot.payments {
            if payment.rail == *label {
                by_proof
                    .entry(&payment.proof_key)
                    .or_default()
                    .push(payment);
            }
            let is_received = payment.evidence().is_some();
            if payment.rail == *label && is_received && !moved.contains_key(&payment.proof_key) {
                let detail = format!("{} never moved, and was taken for paid", payment.proof_key);
                self.violate("M3", detail);
            }
        }
        for (proof, moved) in &moved {
            let Some(payments) = by_proof.get(proof.as_str()) else {
                // Sent in by somebody who saw it, and never presented to us again.
                if !moved.by_observer {
                    self.violate("M3", format!("{proof} moved without a claim"));
                }
                continue;
            };
            let received: Vec<_> = payments
                .iter()
                .filter(|payment| payment.evidence().is_some())
                .collect();
            let Some(payment) = received.first() else {
                let was_given_up = payments.iter().all(|payment| self.is_excused(payment));
                if !(was_given_up && moved.by_observer || self.was_refunded(payments)) {
                    self.violate("M3", format!("{proof} moved and was not taken for paid"));
                }
                continue;
            };
            if received.len() > 1 {
                self.violate("P1", format!("{proof} paid for {} things", received.len()));
            }
            let price = payment.price.micros();
            let decimals = u32::from(rail.decimals.saturating_sub(6));
            let unit = 10_u128.saturating_pow(decimals);
            if i128::try_from(moved.atomic / unit) != Ok(i128::from(price)) {
                let detail = format!("{proof}: {} moved for {price}", moved.atomic);
                self.violate("M9", detail);
            }
            if inflow.get(&payment.operation) != Some(&price) {
                self.violate("M3", format!("{proof} has no inflow of its amount"));
            }
        }
    }

    /// A payment that was let go before anything was sent; an observer may still send it in, and its
    /// buyer has only to present it again.
    fn is_excused(&self, payment: &compute_domain::payment::Payment) -> bool {
        matches!(payment.state, PaymentState::Declined { .. })
    }

    /// An operator gave the price back although nobody could say whether it had moved.
    fn was_refunded(&self, payments: &[&compute_domain::payment::Payment]) -> bool {
        payments.iter().any(|payment| {
            let operation = self.operations.get(&payment.operation);
            operation.is_some_and(|operation| {
                matches!(
                    operation.state,
                    OperationState::Stuck { .. }
                        | OperationState::Failed {
                            code: FailureCode::OperatorRefunded
                        }
                )
            })
        })
    }

    /// What an owner has and holds is never more than what it paid in.
    fn owners(&self) {
        let now = Timestamp::from_millis(self.world.reactor.millis());
        let mut paid: BTreeMap<OwnerId, i64> = BTreeMap::new();
        for payment in &self.snapshot.payments {
            if payment.evidence().is_some() {
                *paid.entry(payment.owner).or_default() += payment.price.micros();
            }
        }
        for transfer in &self.snapshot.transfers {
            if let (TransferReason::OperatorRefund, Account::Credits(owner)) =
                (transfer.reason, &transfer.credit)
            {
                *paid.entry(*owner).or_default() += transfer.amount.micros();
            }
        }
        let mut has: BTreeMap<OwnerId, i64> = BTreeMap::new();
        for (owner, credits) in &self.snapshot.credits {
            *has.entry(*owner).or_default() += credits;
        }
        for (id, lot) in &self.snapshot.lots {
            if let Some(instance) = self.instances.get(id)
                && lot.closed.is_none()
            {
                *has.entry(instance.owner).or_default() += lot.left(now).micros();
            }
        }
        for (owner, value) in has {
            let paid = paid.get(&owner).copied().unwrap_or(0);
            if value > paid || value < 0 {
                self.violate("M4", format!("{owner} has {value} and paid {paid}"));
            }
        }
    }

    /// O1 to O4, O6 and O8, by the clouds' own records.
    fn machines(&self) {
        let mut alive_of: BTreeMap<InstanceId, u32> = BTreeMap::new();
        let mut known = BTreeMap::new();
        for cloud in &self.world.clouds {
            for machine in cloud.machines() {
                if machine.is_alive() {
                    self.alive(&machine, &mut alive_of);
                } else {
                    self.ended(&machine);
                }
                known.insert(machine.id.clone(), machine);
            }
        }
        for instance in self.instances.values() {
            let machine = instance
                .placement()
                .and_then(|placement| known.get(&placement.machine));
            match &instance.state {
                InstanceState::Active(_) => {
                    if alive_of.get(&instance.id) != Some(&1) {
                        let detail = format!("{} has no machine of its own", instance.id);
                        self.violate("O2", detail);
                    }
                }
                InstanceState::Destroyed { reason, at, .. } => {
                    self.destroyed(instance, *reason, *at, machine);
                }
                InstanceState::Failed { .. } => {}
                other => {
                    let detail = format!("{} rests as {}", instance.id, other.name());
                    self.violate("liveness", detail);
                }
            }
        }
    }

    fn instance_of(&self, machine: &Machine) -> Option<&Instance> {
        let operation = self.operations.get(&machine.tag.operation)?;
        self.instances.get(&operation.instance?)
    }

    fn alive(&self, machine: &Machine, alive_of: &mut BTreeMap<InstanceId, u32>) {
        let Some(instance) = self.instance_of(machine) else {
            self.violate("O1", format!("{} is nobody's", machine.id));
            return;
        };
        let is_its_own =
            matches!(&instance.state, InstanceState::Active(at) if at.machine == machine.id);
        if !is_its_own {
            let (id, state) = (instance.id, instance.state.name());
            self.violate("O1", format!("{} lives, {id} is {state}", machine.id));
        }
        *alive_of.entry(instance.id).or_default() += 1;
        if is_its_own && machine.plan != instance.plan {
            let (id, plan) = (&machine.id, &machine.plan);
            self.violate("O6", format!("{id} is a {plan}, sold as {}", instance.plan));
        }
        // No switch helps a machine that its cloud has stopped.
        if is_its_own && !machine.is_on && !machine.was_suspended() {
            self.violate("O6", format!("{} was left off", machine.id));
        }
        let overdue = self.world.reactor.millis() - instance.expires_at().millis();
        if overdue > self.grace() {
            self.violate("O4", format!("{} outlives its time", machine.id));
        }
    }

    const fn grace(&self) -> i64 {
        if self.was_stormy {
            GRACE_STORMY_MS
        } else {
            GRACE_MS
        }
    }

    fn ended(&self, machine: &Machine) {
        let Some((at, by_us)) = machine.ended else {
            return;
        };
        let Some(instance) = self.instance_of(machine) else {
            return;
        };
        let is_its_own = instance
            .placement()
            .is_some_and(|placement| placement.machine == machine.id);
        if !is_its_own || !by_us {
            return;
        }
        if at - instance.expires_at().millis() > self.grace() {
            self.violate("O4", format!("{} outlived its time", machine.id));
        }
    }

    fn destroyed(
        &self,
        instance: &Instance,
        reason: EndReason,
        at: Timestamp,
        machine: Option<&Machine>,
    ) {
        let Some(machine) = machine else {
            self.violate("O8", format!("{} had no machine", instance.id));
            return;
        };
        let Some((ended, by_us)) = machine.ended else {
            return;
        };
        if ended > at.millis() + 2_500 {
            let detail = format!("{} was reported gone too early", machine.id);
            self.violate("O8", detail);
        }
        let expires = instance.expires_at().millis();
        let asked = self.world.witness.borrow().destroyed.contains(&instance.id);
        match reason {
            EndReason::Requested if !asked => {
                let detail = format!("{} was destroyed, and nobody had asked", instance.id);
                self.violate("O4", detail);
            }
            EndReason::Expired if by_us && ended < expires => {
                self.violate("O4", format!("{} was taken too early", machine.id));
            }
            // It vanished long before its time was over: its owner has paid for nothing.
            EndReason::Expired if !by_us && ended + self.grace() < expires => {
                self.violate("O2", format!("{} vanished and nobody saw", machine.id));
            }
            EndReason::Lost if by_us => {
                let detail = format!("{} was given up although it ran", machine.id);
                self.violate("O4", detail);
            }
            _ => {}
        }
    }
}
