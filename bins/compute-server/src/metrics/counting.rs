//! What only the database knows, counted at a pace of its own: few questions over indexes, under a
//! time limit, and from time to time one over the whole ledger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use compute_domain::catalog::ProviderId;
use compute_domain::operation::OperationKind;
use compute_domain::time::{Clock as _, Span, Timestamp};
use compute_engine::DestroyGuard;
use compute_engine::ports::{AccountKind, LiveState, Queue, Store, StoreError, Tx, TxMode};
use metrics::gauge;

use super::workers::{note_failure, seconds};
use super::{Registry, flag, natural, number};
use crate::ambient::ServerClock;
use crate::settings::metrics::Metrics;
use crate::telemetry::error_chain;

/// The name of this worker.
pub(crate) const WORKER: &str = "statistics";

/// How long one round may keep a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Webhooks that have something to be sent are counted up to this: with more, something is wrong anyway.
const MOST_DUE: u32 = 1_000;

/// Thousandths in the whole.
const PERMILLE: u64 = 1_000;

/// Counts what the database holds.
#[derive(Debug)]
pub(crate) struct Counting {
    registry: Registry,
    store: Arc<dyn Store>,
    clock: Arc<ServerClock>,
    guard: DestroyGuard,
    guard_window: Span,
    providers: Vec<ProviderId>,
    every: Span,
    /// The ledger is summed in every round whose number this divides.
    sums_each: u32,
    rounds: AtomicU32,
}

/// How many machines may end without their owners' asking, and in which time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    pub(crate) guard: DestroyGuard,
    pub(crate) window: Span,
}

impl Counting {
    /// What is counted, of what, and how often.
    pub(crate) fn new(
        registry: Registry,
        store: Arc<dyn Store>,
        clock: Arc<ServerClock>,
        allowance: Allowance,
        providers: Vec<ProviderId>,
        settings: &Metrics,
    ) -> Self {
        let each = settings.sums_every.millis() / settings.every.millis().max(1);
        Self {
            registry,
            store,
            clock,
            guard: allowance.guard,
            guard_window: allowance.window,
            providers,
            every: settings.every,
            sums_each: u32::try_from(each).unwrap_or(u32::MAX).max(1),
            rounds: AtomicU32::new(0),
        }
    }

    /// How often to count.
    pub(crate) const fn every(&self) -> Span {
        self.every
    }

    /// Counts once. What fails is said, and the numbers stay as they were.
    pub(crate) async fn round(&self) {
        self.registry.tidy();
        let number = self.rounds.fetch_add(1, Ordering::Relaxed);
        let with_sums = number.checked_rem(self.sums_each) == Some(0);
        let counted = tokio::time::timeout(PATIENCE, self.count(with_sums)).await;
        match counted {
            Ok(Ok(())) => {
                gauge!("compute_statistics_last_timestamp_seconds").set(seconds(self.clock.now()));
            }
            Ok(Err(error)) => {
                note_failure(WORKER);
                tracing::warn!(
                    error = error_chain(&error),
                    "what there is could not be counted for the metrics"
                );
            }
            Err(_) => {
                note_failure(WORKER);
                tracing::warn!("counting for the metrics took too long and was given up");
            }
        }
    }

    async fn count(&self, with_sums: bool) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut tx = self.store.begin(TxMode::Read).await?;
        show_work(tx.as_mut(), now).await?;
        self.show_machines(tx.as_mut(), now).await?;
        self.show_dangers(tx.as_mut(), now).await?;
        show_money_under_way(tx.as_mut(), now).await?;
        let due = tx.list_due_webhooks(now, MOST_DUE).await?.len();
        gauge!("compute_webhooks_due").set(natural(u64::try_from(due).unwrap_or(u64::MAX)));
        if with_sums {
            show_sums(tx.as_mut()).await?;
        }
        tx.rollback().await
    }

    async fn show_machines(&self, tx: &mut dyn Tx, now: Timestamp) -> Result<(), StoreError> {
        let counted = tx.count_machines(now).await?;
        // Also those of which there are none any more.
        let known = self.providers.iter().copied();
        let known: BTreeMap<ProviderId, ()> = known
            .chain(counted.iter().map(|row| row.provider))
            .map(|provider| (provider, ()))
            .collect();
        for provider in known.into_keys() {
            let name = provider.as_str();
            let (mut missing, mut suspended, mut overdue) = (0, 0, 0);
            for state in LiveState::ALL {
                let row = counted
                    .iter()
                    .find(|row| row.provider == provider && row.state == *state);
                let count = row.map_or(0, |row| row.count);
                gauge!("compute_machines", "provider" => name, "state" => state.as_str())
                    .set(natural(count));
                if let Some(row) = row {
                    missing += row.missing;
                    suspended += row.suspended;
                    overdue += row.overdue;
                }
            }
            for (trouble, count) in [
                ("missing", missing),
                ("suspended", suspended),
                ("overdue", overdue),
            ] {
                gauge!("compute_machines_in_trouble", "provider" => name, "trouble" => trouble)
                    .set(natural(count));
            }
        }
        Ok(())
    }

    async fn show_dangers(&self, tx: &mut dyn Tx, now: Timestamp) -> Result<(), StoreError> {
        let suspects = tx.list_suspects().await?;
        let suspects = Queue {
            count: u64::try_from(suspects.len()).unwrap_or(u64::MAX),
            since: suspects.iter().map(|suspect| suspect.first_seen_at).min(),
        };
        gauge!("compute_suspects").set(natural(suspects.count));
        gauge!("compute_suspects_oldest_seconds").set(age(&suspects, now));
        let quarantine = tx.find_quarantine().await?;
        gauge!("compute_quarantine").set(flag(quarantine.is_some()));
        let since = now.minus(self.guard_window);
        let unasked = tx.count_unasked_destructions(since).await?;
        let live = tx.count_live().await?;
        let share = live.saturating_mul(u64::from(self.guard.permille)) / PERMILLE;
        let allowed = share.max(u64::from(self.guard.count));
        gauge!("compute_unasked_destructions").set(natural(unasked));
        gauge!("compute_unasked_destructions_allowed").set(natural(allowed));
        Ok(())
    }
}

async fn show_work(tx: &mut dyn Tx, now: Timestamp) -> Result<(), StoreError> {
    let work = tx.count_open_work().await?;
    for kind in OperationKind::ALL {
        for (is_stuck, state) in [(false, "running"), (true, "stuck")] {
            let row = work
                .iter()
                .find(|row| row.kind == *kind && row.is_stuck == is_stuck);
            let queue = row.map_or_else(Queue::default, |row| row.queue);
            gauge!("compute_operations", "kind" => kind.as_str(), "state" => state)
                .set(natural(queue.count));
            gauge!("compute_operations_oldest_seconds", "kind" => kind.as_str(), "state" => state)
                .set(age(&queue, now));
        }
    }
    let unknown = tx.count_unknown_settlements().await?;
    gauge!("compute_settlements_unknown").set(natural(unknown.count));
    gauge!("compute_settlements_unknown_oldest_seconds").set(age(&unknown, now));
    Ok(())
}

async fn show_money_under_way(tx: &mut dyn Tx, now: Timestamp) -> Result<(), StoreError> {
    let refunds = tx.count_refunds().await?;
    gauge!("compute_card_refunds_open").set(natural(refunds.count));
    gauge!("compute_card_refunds_oldest_seconds").set(age(&refunds, now));
    // Of all accounts together: which account of ours is nobody's business who reads metrics.
    let sending = tx.count_sending().await?;
    let all = sending.iter().fold(Queue::default(), |all, one| Queue {
        count: all.count.saturating_add(one.queue.count),
        since: [all.since, one.queue.since].into_iter().flatten().min(),
    });
    gauge!("compute_chain_transactions_open").set(natural(all.count));
    gauge!("compute_chain_transactions_oldest_seconds").set(age(&all, now));
    Ok(())
}

async fn show_sums(tx: &mut dyn Tx) -> Result<(), StoreError> {
    let sums = tx.sum_accounts().await?;
    for (account, word) in [
        (AccountKind::Credits, "credits"),
        (AccountKind::Sales, "sales"),
        (AccountKind::Suspense, "suspense"),
    ] {
        let sum = sums.iter().find(|sum| sum.account == account);
        gauge!("compute_ledger_micros", "account" => word, "rail" => "")
            .set(number(sum.map_or(0, |sum| sum.micros)));
    }
    for sum in sums {
        if let AccountKind::Clearing(rail) = sum.account {
            gauge!("compute_ledger_micros", "account" => "clearing", "rail" => rail.to_string())
                .set(number(sum.micros));
        }
    }
    Ok(())
}

/// How long the oldest waits, in seconds.
fn age(queue: &Queue, now: Timestamp) -> f64 {
    let waited = queue.since.map_or(Span::ZERO, |since| now.since(since));
    number(waited.millis() / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_has_an_age_and_nothing_has_none() {
        let now = Timestamp::from_millis(61_000);
        let waiting = Queue {
            count: 1,
            since: Some(Timestamp::from_millis(1_000)),
        };
        assert_eq!(age(&waiting, now).to_bits(), 60.0_f64.to_bits());
        assert_eq!(age(&Queue::default(), now).to_bits(), 0.0_f64.to_bits());
    }
}
