//! How much there is of everything.

use std::collections::BTreeMap;

use async_trait::async_trait;
use compute_domain::catalog::ProviderId;
use compute_domain::instance::{Instance, InstanceState};
use compute_domain::ledger::Account;
use compute_domain::operation::OperationState;
use compute_domain::reserve::{ReserveKind, ReserveState};
use compute_domain::time::Timestamp;
use compute_engine::ports::{
    AccountKind, AccountSum, LiveMachines, LiveState, OpenWork, Queue, Sending, SentState,
    Statistics, StoreError,
};

use super::tx::ModelTx;

fn add(queue: &mut Queue, since: Timestamp) {
    queue.count += 1;
    queue.since = Some(queue.since.map_or(since, |oldest| oldest.min(since)));
}

const fn live_state(instance: &Instance) -> Option<LiveState> {
    match instance.state {
        InstanceState::Pending => Some(LiveState::Pending),
        InstanceState::Provisioning(_) => Some(LiveState::Provisioning),
        InstanceState::Active(_) => Some(LiveState::Active),
        InstanceState::Destroying { .. } => Some(LiveState::Destroying),
        InstanceState::Destroyed { .. } | InstanceState::Failed { .. } => None,
    }
}

fn kind_of(account: &Account) -> AccountKind {
    match account {
        Account::Clearing(rail) => AccountKind::Clearing(rail.clone()),
        Account::Credits(_) => AccountKind::Credits,
        Account::Sales => AccountKind::Sales,
        Account::Suspense => AccountKind::Suspense,
    }
}

#[async_trait]
impl Statistics for ModelTx {
    async fn count_open_work(&mut self) -> Result<Vec<OpenWork>, StoreError> {
        let mut work: BTreeMap<_, Queue> = BTreeMap::new();
        self.read(|state, at| {
            for (_, row) in state.operations.iter(at) {
                let is_stuck = match row.operation.state {
                    OperationState::Running(_) => false,
                    OperationState::Stuck { .. } => true,
                    OperationState::Succeeded | OperationState::Failed { .. } => continue,
                };
                let queue = work.entry((row.operation.kind, is_stuck)).or_default();
                add(queue, row.operation.created_at);
            }
        });
        let work = work.into_iter().map(|((kind, is_stuck), queue)| OpenWork {
            kind,
            is_stuck,
            queue,
        });
        Ok(work.collect())
    }

    async fn count_unknown_settlements(&mut self) -> Result<Queue, StoreError> {
        let mut queue = Queue::default();
        self.read(|state, at| {
            let open = state.operations.iter(at).filter(|(_, row)| {
                let state = &row.operation.state;
                matches!(
                    state,
                    OperationState::Running(_) | OperationState::Stuck { .. }
                )
            });
            let unknown = open.filter_map(|(_, row)| row.operation.data.settlement_unknown_since);
            unknown.for_each(|since| add(&mut queue, since));
        });
        Ok(queue)
    }

    async fn count_machines(&mut self, now: Timestamp) -> Result<Vec<LiveMachines>, StoreError> {
        let mut machines: BTreeMap<(ProviderId, LiveState), LiveMachines> = BTreeMap::new();
        self.read(|tables, at| {
            for (id, instance) in tables.instances.iter(at) {
                let Some(state) = live_state(instance) else {
                    continue;
                };
                let provider = instance.provider;
                let row = machines.entry((provider, state)).or_insert(LiveMachines {
                    provider,
                    state,
                    count: 0,
                    missing: 0,
                    suspended: 0,
                    overdue: 0,
                });
                row.count += 1;
                row.suspended += u64::from(instance.suspended_since.is_some());
                if let InstanceState::Active(placement) = &instance.state {
                    let watched = tables.watched.get(at, id);
                    row.missing += u64::from(watched.is_some_and(|watched| watched.misses > 0));
                    row.overdue += u64::from(placement.expires_at < now);
                }
            }
        });
        Ok(machines.into_values().collect())
    }

    async fn count_sending(&mut self) -> Result<Vec<Sending>, StoreError> {
        let mut lanes: BTreeMap<_, Queue> = BTreeMap::new();
        self.read(|state, at| {
            for (_, sent) in state.chain_transactions.iter(at) {
                if sent.state == SentState::Open {
                    add(lanes.entry(sent.lane.clone()).or_default(), sent.created_at);
                }
            }
        });
        let lanes = lanes.into_iter();
        Ok(lanes.map(|(lane, queue)| Sending { lane, queue }).collect())
    }

    async fn count_refunds(&mut self) -> Result<Queue, StoreError> {
        let mut queue = Queue::default();
        self.read(|state, at| {
            let reserves = state.reserves.iter(at).map(|(_, reserve)| reserve);
            reserves
                .filter(|it| it.kind == ReserveKind::Refund && it.state == ReserveState::Held)
                .for_each(|it| add(&mut queue, it.created_at));
        });
        Ok(queue)
    }

    async fn sum_accounts(&mut self) -> Result<Vec<AccountSum>, StoreError> {
        let mut sums: BTreeMap<AccountKind, i64> = BTreeMap::new();
        self.read(|state, at| {
            for (_, row) in state.transfers.iter(at) {
                let micros = row.transfer.amount.micros();
                *sums.entry(kind_of(&row.transfer.credit)).or_default() += micros;
                *sums.entry(kind_of(&row.transfer.debit)).or_default() -= micros;
            }
        });
        let sums = sums.into_iter();
        Ok(sums
            .map(|(account, micros)| AccountSum { account, micros })
            .collect())
    }
}
