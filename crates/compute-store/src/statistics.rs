//! How much there is of everything.

use async_trait::async_trait;
use compute_domain::catalog::ProviderId;
use compute_domain::operation::OperationKind;
use compute_domain::payment::RailLabel;
use compute_domain::time::Timestamp;
use compute_engine::ports::{
    AccountKind, AccountSum, Lane, LiveMachines, LiveState, OpenWork, Queue, Sending, Statistics,
    StoreError,
};

use crate::row::{RowName, moment};
use crate::statement::fetch;
use crate::tx::StoreTx;

const COUNT_OPEN_WORK: &str = "SELECT kind, state, COUNT(*), MIN(created_at)
FROM operations
WHERE state IN ('running', 'stuck')
GROUP BY kind, state";

const COUNT_UNKNOWN: &str = "SELECT COUNT(*), MIN(settlement_unknown_since)
FROM operations
WHERE state IN ('running', 'stuck') AND settlement_unknown_since IS NOT NULL";

const COUNT_MACHINES: &str = "SELECT provider, state, COUNT(*),
    SUM(CASE WHEN state = 'active' AND misses > 0 THEN 1 ELSE 0 END),
    SUM(CASE WHEN suspended_since IS NOT NULL THEN 1 ELSE 0 END),
    SUM(CASE WHEN state = 'active' AND expires_at < $1 THEN 1 ELSE 0 END)
FROM instances
WHERE state IN ('pending', 'provisioning', 'active', 'destroying')
GROUP BY provider, state";

const COUNT_SENDING: &str = "SELECT lane, COUNT(*), MIN(created_at)
FROM chain_transactions
WHERE state = 'open'
GROUP BY lane";

const COUNT_REFUNDS: &str = "SELECT COUNT(*), MIN(created_at)
FROM card_reserves
WHERE state = 'held' AND kind = 'refund'";

/// Each transfer counts twice: it leaves one account, and arrives in another.
const SUM_ACCOUNTS: &str = "SELECT account, CAST(SUM(micros) AS BIGINT)
FROM (
    SELECT CASE WHEN credit_account LIKE 'credits:%' THEN 'credits' ELSE credit_account END AS account,
        amount_micros AS micros
    FROM ledger_transfers
    UNION ALL
    SELECT CASE WHEN debit_account LIKE 'credits:%' THEN 'credits' ELSE debit_account END,
        -amount_micros
    FROM ledger_transfers) AS moves
GROUP BY account";

/// Provider, state, how many, and of these: missing, suspended, overdue.
type MachineRow = (String, String, i64, i64, i64, i64);

fn queue(name: &RowName, count: i64, since: Option<i64>) -> Result<Queue, StoreError> {
    Ok(Queue {
        count: name.number("count", count)?,
        since: moment(since),
    })
}

fn account_kind(name: &RowName, text: &str) -> Result<AccountKind, StoreError> {
    match text {
        "credits" => Ok(AccountKind::Credits),
        "sales" => Ok(AccountKind::Sales),
        "suspense" => Ok(AccountKind::Suspense),
        _ => {
            let rail = name.present("account", text.strip_prefix("clearing:"))?;
            let rail = name.check("account", RailLabel::parse(rail))?;
            Ok(AccountKind::Clearing(rail))
        }
    }
}

#[async_trait]
impl Statistics for StoreTx {
    async fn count_open_work(&mut self) -> Result<Vec<OpenWork>, StoreError> {
        let rows: Vec<(String, String, i64, Option<i64>)> =
            fetch!(fetch_all, self, "operations", COUNT_OPEN_WORK)?;
        let name = RowName::new("operations", "all");
        let mut work = Vec::with_capacity(rows.len());
        for (kind, state, count, since) in rows {
            // A newer build may know more kinds.
            let Some(kind) = OperationKind::parse(&kind) else {
                continue;
            };
            work.push(OpenWork {
                kind,
                is_stuck: state == "stuck",
                queue: queue(&name, count, since)?,
            });
        }
        Ok(work)
    }

    async fn count_unknown_settlements(&mut self) -> Result<Queue, StoreError> {
        let (count, since): (i64, Option<i64>) =
            fetch!(fetch_one, self, "operations", COUNT_UNKNOWN)?;
        queue(&RowName::new("operations", "all"), count, since)
    }

    async fn count_machines(&mut self, now: Timestamp) -> Result<Vec<LiveMachines>, StoreError> {
        let rows: Vec<MachineRow> =
            fetch!(fetch_all, self, "instances", COUNT_MACHINES, now.millis())?;
        let name = RowName::new("instances", "all");
        let mut machines = Vec::with_capacity(rows.len());
        for (provider, state, count, missing, suspended, overdue) in rows {
            machines.push(LiveMachines {
                provider: name.present("provider", ProviderId::parse(&provider))?,
                state: name.present("state", LiveState::parse(&state))?,
                count: name.number("count", count)?,
                missing: name.number("misses", missing)?,
                suspended: name.number("suspended_since", suspended)?,
                overdue: name.number("expires_at", overdue)?,
            });
        }
        Ok(machines)
    }

    async fn count_sending(&mut self) -> Result<Vec<Sending>, StoreError> {
        let rows: Vec<(String, i64, Option<i64>)> =
            fetch!(fetch_all, self, "chain_transactions", COUNT_SENDING)?;
        let name = RowName::new("chain_transactions", "all");
        let mut sending = Vec::with_capacity(rows.len());
        for (lane, count, since) in rows {
            sending.push(Sending {
                lane: name.check("lane", Lane::parse(&lane))?,
                queue: queue(&name, count, since)?,
            });
        }
        Ok(sending)
    }

    async fn count_refunds(&mut self) -> Result<Queue, StoreError> {
        let (count, since): (i64, Option<i64>) =
            fetch!(fetch_one, self, "card_reserves", COUNT_REFUNDS)?;
        queue(&RowName::new("card_reserves", "all"), count, since)
    }

    async fn sum_accounts(&mut self) -> Result<Vec<AccountSum>, StoreError> {
        let rows: Vec<(String, i64)> = fetch!(fetch_all, self, "ledger_transfers", SUM_ACCOUNTS)?;
        let name = RowName::new("ledger_transfers", "all");
        let mut sums = Vec::with_capacity(rows.len());
        for (account, micros) in rows {
            sums.push(AccountSum {
                account: account_kind(&name, &account)?,
                micros,
            });
        }
        Ok(sums)
    }
}
