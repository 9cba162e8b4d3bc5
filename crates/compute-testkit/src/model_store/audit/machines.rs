//! M6 and M7, P3, O5, O6, O7 and O10: instances, their time, and their places.

use compute_domain::id::{InstanceId, OperationId};
use compute_domain::instance::{Instance, InstanceState};
use compute_domain::ledger::TransferReason;
use compute_domain::operation::{Operation, OperationKind, OperationState};
use compute_domain::prepaid::{Lot, LotOrigin};
use compute_domain::time::Span;

use super::Auditor;
use super::purchases::moved;
use crate::model_store::state::Places;

/// An instance, what was done with it, and what it is worth.
struct Order<'a> {
    instance: &'a Instance,
    operations: Vec<&'a Operation>,
    lots: Vec<Lot>,
}

impl Order<'_> {
    fn latest(&self, kind: OperationKind) -> Option<&Operation> {
        let mut operations = self.operations.iter().rev();
        operations.find(|operation| operation.kind == kind).copied()
    }

    fn purchases(&self) -> impl Iterator<Item = &Lot> {
        self.lots
            .iter()
            .filter(|lot| lot.origin == LotOrigin::Purchase)
    }

    /// Whether the machine was handed over, whatever became of it.
    const fn is_delivered(&self) -> bool {
        matches!(
            self.instance.state,
            InstanceState::Active(_)
                | InstanceState::Destroying { .. }
                | InstanceState::Destroyed { .. }
        )
    }
}

impl Auditor<'_> {
    pub(super) fn ask_instance(&mut self, id: InstanceId) {
        let (state, at) = (self.state, self.at);
        let Some(instance) = state.instances.get(at, &id) else {
            return;
        };
        let order = Order {
            instance,
            operations: state.operations_of(at, id),
            lots: state.lots_of(at, id),
        };
        self.ask_payment(&order);
        self.ask_states(&order);
        self.ask_change(&order);
        if self.is_full() {
            self.ask_value(&order);
            self.ask_conversions(&order);
            self.ask_time(&order);
        }
    }

    /// How much moved for an operation and some reasons.
    fn moved_for(&self, operation: OperationId, reasons: &[TransferReason]) -> i64 {
        let rows = self.state.transfers_of(self.at, operation).into_iter();
        moved(rows.map(|row| &row.transfer), reasons)
    }

    /// How much moved for all operations of an instance and some reasons.
    fn moved_in(&self, order: &Order<'_>, reasons: &[TransferReason]) -> i64 {
        let operations = order.operations.iter();
        operations
            .map(|operation| self.moved_for(operation.id, reasons))
            .sum()
    }

    /// P3: nothing is made before it is paid.
    fn ask_payment(&mut self, order: &Order<'_>) {
        let id = order.instance.id;
        let is_unpaid = match order.instance.state {
            InstanceState::Pending | InstanceState::Failed { .. } => false,
            _ => !order.operations.iter().any(|operation| {
                operation.kind == OperationKind::Provision && self.is_paid(operation.id)
            }),
        };
        self.expect(!is_unpaid, "P3", || {
            let state = order.instance.state.name();
            format!("instance {id} is {state} and was not paid for")
        });
    }

    fn is_paid(&self, operation: OperationId) -> bool {
        let payment = self.state.payment_of(self.at, operation);
        payment.is_some_and(|row| row.payment.evidence().is_some())
            || self.moved_for(operation, &[TransferReason::Spend]) > 0
    }

    /// O5: an instance is where its operations have brought it.
    fn ask_states(&mut self, order: &Order<'_>) {
        let provision = order.latest(OperationKind::Provision).map(|one| &one.state);
        let destroy = order.latest(OperationKind::Destroy).map(|one| &one.state);
        let is_open = |state: Option<&OperationState>| {
            matches!(
                state,
                Some(OperationState::Running(_) | OperationState::Stuck { .. })
            )
        };
        let is_done = |state: Option<&OperationState>| state == Some(&OperationState::Succeeded);
        let agrees = match &order.instance.state {
            InstanceState::Pending | InstanceState::Provisioning(_) => {
                is_open(provision) && destroy.is_none()
            }
            InstanceState::Active(_) => is_done(provision) && destroy.is_none(),
            InstanceState::Destroying { .. } => is_done(provision) && is_open(destroy),
            InstanceState::Destroyed { .. } => is_done(provision) && is_done(destroy),
            InstanceState::Failed { code, .. } => {
                provision == Some(&OperationState::Failed { code: *code }) && destroy.is_none()
            }
        };
        self.expect(agrees, "O5", || {
            let (id, state) = (order.instance.id, order.instance.state.name());
            let name = |state: Option<&OperationState>| state.map(OperationState::name);
            let (provision, destroy) = (name(provision), name(destroy));
            format!("instance {id} is {state}; provision {provision:?}, destroy {destroy:?}")
        });
    }

    /// O6: an instance is being changed exactly while an operation changes it.
    fn ask_change(&mut self, order: &Order<'_>) {
        let is_open = |operation: &&Operation| {
            operation.kind == OperationKind::Resize
                && matches!(
                    operation.state,
                    OperationState::Running(_) | OperationState::Stuck { .. }
                )
        };
        let change = order.operations.iter().copied().find(is_open);
        let resizing = order.instance.resizing.as_ref();
        self.expect(change.is_some() == resizing.is_some(), "O6", || {
            let id = order.instance.id;
            let change = change.map(|operation| operation.id);
            format!("instance {id} is to become {resizing:?}; its open change is {change:?}")
        });
    }

    /// M6 and M7: what was paid is in the lots, and no more than what is left of them comes back.
    fn ask_value(&mut self, order: &Order<'_>) {
        let id = order.instance.id;
        let bought: i64 = order.purchases().map(|lot| lot.amount.micros()).sum();
        let price = match order.is_delivered() {
            true => order.instance.price.micros(),
            false => 0,
        };
        self.expect(bought == price, "M7", || {
            format!("instance {id} cost {price}; its lots hold {bought}")
        });
        let is_over =
            order.is_delivered() && !matches!(order.instance.state, InstanceState::Active(_));
        let is_open = order.lots.iter().any(|lot| lot.closed.is_none());
        self.expect(!(is_over && is_open), "M7", || {
            format!("instance {id} is over and still holds value")
        });
        let left: i64 = order
            .lots
            .iter()
            .filter_map(|lot| lot.closed.map(|closing| closing.left.micros()))
            .sum();
        let taken_over: i64 = order
            .lots
            .iter()
            .filter(|lot| lot.origin == LotOrigin::Conversion)
            .map(|lot| lot.amount.micros())
            .sum();
        let remainder = left.saturating_sub(taken_over);
        let ended = self.moved_in(
            order,
            &[TransferReason::EarlyDestroy, TransferReason::LostMachine],
        );
        self.expect(ended <= remainder, "M7", || {
            format!("instance {id} gave back {ended}; what was left of its lots was {remainder}")
        });
        let paid = self.moved_in(order, &[TransferReason::Sale, TransferReason::Spend]);
        let returned = self.moved_in(
            order,
            &[
                TransferReason::SpendReversal,
                TransferReason::PaymentRefund,
                TransferReason::EarlyDestroy,
                TransferReason::LostMachine,
            ],
        );
        self.expect(returned <= paid, "M6", || {
            format!("for instance {id} was paid {paid} and given back {returned}")
        });
    }

    /// M7: a conversion makes no value.
    fn ask_conversions(&mut self, order: &Order<'_>) {
        let id = order.instance.id;
        for (number, lot) in order.lots.iter().enumerate() {
            let is_too_much = lot.closed.is_some_and(|closing| closing.left > lot.amount);
            self.expect(!is_too_much, "M7", || {
                format!("lot {number} of instance {id} had more left than it was worth")
            });
            if lot.origin != LotOrigin::Conversion {
                continue;
            }
            let before = order.lots.iter().take(number);
            let left: i64 = before
                .filter_map(|old| old.closed.filter(|closing| closing.at == lot.from))
                .map(|closing| closing.left.micros())
                .sum();
            self.expect(lot.amount.micros() <= left, "M7", || {
                format!("lot {number} of instance {id} holds more than the {left} before it")
            });
        }
    }

    /// O7: exactly the hours that were bought.
    fn ask_time(&mut self, order: &Order<'_>) {
        if !order.is_delivered() {
            return;
        }
        let (id, instance) = (order.instance.id, order.instance);
        let sold = i64::from(instance.hours.get()).saturating_add(instance.extended_hours.into());
        let sold = sold.saturating_mul(Span::from_hours(1).millis());
        let lasting: i64 = order
            .purchases()
            .map(|lot| lot.to.since(lot.from).millis())
            .sum();
        self.expect(sold == lasting, "O7", || {
            format!("instance {id} was sold {sold} ms; its lots last {lasting} ms")
        });
        self.ask_extensions(order);
        if let InstanceState::Active(placement) = &instance.state {
            let open = order.lots.iter().filter(|lot| lot.closed.is_none());
            let end = open.map(|lot| lot.to).max();
            self.expect(end == Some(placement.expires_at), "O7", || {
                format!("instance {id} does not end with its lots")
            });
        }
    }

    /// O7: each purchase brought its hours, once.
    fn ask_extensions(&mut self, order: &Order<'_>) {
        let id = order.instance.id;
        for operation in &order.operations {
            let lots = order
                .purchases()
                .filter(|lot| lot.operation == operation.id);
            let hours: Vec<_> = lots.map(|lot| lot.to.since(lot.from)).collect();
            let is_sold = operation.state == OperationState::Succeeded;
            let is_right = match (hours.as_slice(), operation.data.time) {
                ([], time) => time.is_none() || !is_sold,
                ([hours], Some(time)) => is_sold && *hours == Span::from_hours(time.hours.get()),
                ([_], None) => is_sold,
                _ => false,
            };
            self.expect(is_right, "O7", || {
                let (operation, state) = (operation.id, operation.state.name());
                format!("operation {operation} is {state}; on instance {id} it put {hours:?}")
            });
        }
    }

    /// O10: as many places are taken as there are live instances.
    pub(super) fn ask_places(&mut self) {
        let (state, at) = (self.state, self.at);
        let mut live = std::collections::BTreeMap::new();
        let mut all = Places::default();
        for (_, instance) in state.instances.iter(at) {
            if instance.is_live() {
                let own: &mut Places = live.entry(instance.owner).or_default();
                for places in [own, &mut all] {
                    places.live = places.live.saturating_add(1);
                    let rate = instance.place_rate().micros();
                    places.hourly = places.hourly.saturating_add(rate);
                }
            }
        }
        for owner in state.owners_with_places(at) {
            let taken = state.places.get(at, &owner).copied().unwrap_or_default();
            let own = live.get(&owner).copied().unwrap_or_default();
            self.expect(taken == own, "O10", || {
                format!("owner {owner} has taken {taken:?} for {own:?}")
            });
        }
        let taken = state.all_places.get(at, &()).copied().unwrap_or_default();
        self.expect(taken == all, "O10", || {
            format!("{taken:?} are taken for {all:?}")
        });
    }
}
