//! What clients were told, to be held against what is so in the end.

use std::collections::{BTreeMap, BTreeSet};

use compute_domain::id::{InstanceId, OperationId};
use compute_domain::instance::{FailureCode, Instance};
use compute_domain::operation::OperationState;

use super::verdict::Verdict;

/// Everything anybody was promised.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// Purchases that were acknowledged.
    pub(crate) acknowledged: BTreeSet<OperationId>,
    /// Which purchases each proof was told to have made.
    pub(crate) by_proof: BTreeMap<String, BTreeSet<OperationId>>,
    /// The same for a payer's own name for a purchase.
    pub(crate) by_name: BTreeMap<(usize, String), BTreeSet<OperationId>>,
    /// Passwords that were handed out.
    pub(crate) passwords: BTreeMap<InstanceId, Vec<String>>,
    /// Deletions that owners asked for and that were accepted.
    pub(crate) destroyed: BTreeSet<InstanceId>,
    /// How often each signed request was accepted.
    pub(crate) signatures: BTreeMap<String, u32>,
    /// Whether a network was away for so long that a human had to decide.
    pub(crate) has_long_outage: bool,
}

impl Verdict<'_> {
    fn is_free_again(&self, id: &OperationId) -> bool {
        self.operations.get(id).is_some_and(|operation| {
            matches!(
                operation.state,
                OperationState::Failed {
                    code: FailureCode::PaymentDeclined | FailureCode::PaymentUnreachable
                }
            )
        })
    }

    /// What clients were told is so.
    pub(super) fn promises_to_clients(&self) {
        let witness = self.world.witness.borrow();
        for id in &witness.acknowledged {
            if !self.operations.contains_key(id) {
                self.violate("P4", format!("{id} was acknowledged and is not there"));
            }
        }
        let bound = |operations: &BTreeSet<OperationId>| {
            let lasting = operations.iter().filter(|id| !self.is_free_again(id));
            lasting.count()
        };
        for (proof, operations) in &witness.by_proof {
            if bound(operations) > 1 {
                self.violate("P1", format!("{proof} bought {operations:?}"));
            }
        }
        for (name, operations) in &witness.by_name {
            if bound(operations) > 1 {
                self.violate("R1", format!("{name:?} bought {operations:?}"));
            }
        }
        for (id, passwords) in &witness.passwords {
            if passwords.len() > 1 {
                let count = passwords.len();
                self.violate("S1", format!("the password of {id} was read {count} times"));
            }
            self.right_password(*id, passwords);
        }
    }

    fn right_password(&self, id: InstanceId, passwords: &[String]) {
        let machine = self.instances.get(&id).and_then(Instance::placement);
        let Some(machine) = machine else { return };
        for cloud in &self.world.clouds {
            for own in cloud.machines() {
                if own.id == machine.machine && passwords.iter().any(|text| *text != own.password) {
                    self.violate("S1", format!("{id} was given another machine's password"));
                }
            }
        }
    }
}
