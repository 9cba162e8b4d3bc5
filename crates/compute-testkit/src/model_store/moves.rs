//! Which changes of state the lifecycles allow (reliability.md O5). SQL does not check them, so
//! neither does this store refuse them; it remembers them, and the audit tells.

use compute_domain::instance::{Instance, InstanceState};
use compute_domain::operation::{Operation, OperationState};
use compute_domain::payment::{Payment, PaymentState};

use super::state::State;

/// Whether an instance may get from one state to another, be it over others in between: one
/// transaction may take several steps.
fn instance_may(from: &InstanceState, to: &InstanceState) -> bool {
    use InstanceState::{Active, Destroyed, Destroying, Failed, Pending, Provisioning};
    match (from, to) {
        (Pending, _) => true,
        (Provisioning(_), Pending) => false,
        (Provisioning(_), _) => true,
        (
            Active(one),
            Active(other)
            | Destroying {
                placement: other, ..
            }
            | Destroyed {
                placement: other, ..
            },
        ) => one.machine == other.machine,
        (
            Destroying { placement, reason },
            Destroyed {
                placement: other,
                reason: why,
                ..
            },
        ) => placement == other && reason == why,
        (Destroying { .. }, Destroying { .. })
        | (Destroyed { .. }, Destroyed { .. })
        | (Failed { .. }, Failed { .. }) => from == to,
        _ => false,
    }
}

/// Whether an operation may go from one state to another.
fn operation_may(from: &OperationState, to: &OperationState) -> bool {
    use OperationState::{Failed, Running, Stuck, Succeeded};
    match (from, to) {
        (Running(_), _) | (Stuck { .. }, Running(_) | Failed { .. }) => true,
        (Stuck { .. }, Stuck { .. }) | (Succeeded | Failed { .. }, Succeeded | Failed { .. }) => {
            from == to
        }
        _ => false,
    }
}

/// Whether a payment may go from one state to another.
fn payment_may(from: &PaymentState, to: &PaymentState) -> bool {
    use PaymentState::{Claimed, Refunded, Settled};
    match (from, to) {
        // Money that arrives too late settles and is given back in one transaction.
        (Claimed, _) => true,
        (
            Settled { evidence, at },
            Refunded {
                evidence: other,
                settled_at,
                ..
            },
        ) => evidence == other && at == settled_at,
        _ => from == to,
    }
}

impl State {
    /// Remembers a change that an instance may not make.
    pub(super) fn watch_instance(&mut self, old: &Instance, new: &Instance) {
        if !instance_may(&old.state, &new.state) {
            let (from, to) = (old.state.name(), new.state.name());
            self.note_broken_move(format!("instance {} from {from} to {to}", new.id));
        }
    }

    /// Remembers a change that an operation may not make.
    pub(super) fn watch_operation(&mut self, old: &Operation, new: &Operation) {
        if !operation_may(&old.state, &new.state) {
            let (from, to) = (old.state.name(), new.state.name());
            self.note_broken_move(format!("operation {} from {from} to {to}", new.id));
        }
    }

    /// Remembers a change that a payment may not make.
    pub(super) fn watch_payment(&mut self, old: &Payment, new: &Payment) {
        if !payment_may(&old.state, &new.state) {
            let (from, to) = (old.state.name(), new.state.name());
            self.note_broken_move(format!("payment {} from {from} to {to}", new.id));
        }
    }
}
