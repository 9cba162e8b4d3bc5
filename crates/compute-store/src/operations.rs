//! Operations, the leases on them, and their logs.

mod row;

use async_trait::async_trait;
use compute_domain::WalletAddress;
use compute_domain::id::{InstanceId, OperationId, OwnerId};
use compute_domain::operation::{OPERATION_FORMAT, Operation};
use compute_domain::time::Timestamp;
use compute_engine::ports::{Event, Lease, Opened, Operations, StoreError};

use crate::dialect::{CLAIM_DUE, LOCK_OPERATION};
use crate::statement::{execute, fetch};
use crate::tx::StoreTx;
use row::{EventRow, OperationRow};

macro_rules! operation_columns {
    () => {
        "id, kind, format, owner_id, instance_id, state, step, begun_at, attempt, run_at, data,
    request_sha256, failure_code, settlement_unknown_since, hold_released_at, lease_epoch,
    created_at, finished_at"
    };
}
pub(crate) use operation_columns;

const OPEN: &str = concat!(
    "INSERT INTO operations (",
    operation_columns!(),
    ", lease_holder, lease_until)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
ON CONFLICT (instance_id) WHERE state IN ('running', 'stuck') AND hold_released_at IS NULL
DO NOTHING"
);

const FIND: &str = concat!(
    "SELECT ",
    operation_columns!(),
    "
FROM operations
WHERE id = $1"
);

const LIST: &str = concat!(
    "SELECT ",
    operation_columns!(),
    "
FROM operations
WHERE instance_id = $1
ORDER BY created_at, id"
);

/// The first condition only names the index.
const LIST_UNRESOLVED: &str = concat!(
    "SELECT ",
    operation_columns!(),
    "
FROM operations
WHERE state IN ('running', 'stuck') AND (state = 'stuck' OR created_at < $1)
ORDER BY created_at, id
LIMIT $2"
);

const FIND_PROVISION: &str = concat!(
    "SELECT ",
    operation_columns!(),
    "
FROM operations
WHERE instance_id = $1 AND kind = 'provision'
ORDER BY created_at, id
LIMIT 1"
);

macro_rules! is_hanging {
    () => {
        "request_sha256 = $2 AND created_at >= $3
  AND state = 'running'
  AND (settlement_unknown_since IS NOT NULL OR (step = 'settle' AND begun_at < $4))"
    };
}

/// Two questions, each with an index of its own: with OR between them neither was used, and the whole
/// table was read under the lock of every claim.
const FIND_HANGING: &str = concat!(
    "SELECT ",
    operation_columns!(),
    "
FROM operations
WHERE owner_id = $1
  AND ",
    is_hanging!(),
    "
UNION ALL
SELECT ",
    operation_columns!(),
    "
FROM operations
WHERE id IN (SELECT operation_id FROM payments WHERE payer = $5 AND state = 'claimed')
  AND ",
    is_hanging!(),
    "
ORDER BY created_at DESC, id DESC
LIMIT 1"
);

/// What has come to its end stays so: a last decision that is written twice, because its confirmation was
/// lost, must not undo what began since.
const SAVE: &str = "UPDATE operations
SET format = $4, state = $5, step = $6, begun_at = $7, attempt = $8, run_at = $9, data = $10,
    failure_code = $11, settlement_unknown_since = $12, hold_released_at = $13, finished_at = $14,
    lease_until = $15
WHERE id = $1 AND lease_epoch = $2 AND lease_holder = $3 AND state NOT IN ('succeeded', 'failed')";

/// An operation of a newer build is as good as held.
const LEASE: &str = "UPDATE operations
SET lease_holder = $2, lease_until = $4, lease_epoch = lease_epoch + 1
WHERE id = $1 AND format <= $5 AND (lease_until IS NULL OR lease_until <= $3)
RETURNING lease_epoch";

const RELEASE: &str = "UPDATE operations
SET lease_holder = NULL, lease_until = NULL
WHERE id = $1 AND lease_epoch = $2 AND lease_holder = $3";

const APPEND_EVENT: &str = "INSERT INTO operation_events
    (operation_id, seq, at, holder, name, detail)
SELECT $1, COALESCE(MAX(seq) + 1, 0), $2, $3, $4, $5
FROM operation_events
WHERE operation_id = $1";

const LIST_EVENTS: &str = "SELECT seq, at, holder, name, detail
FROM operation_events
WHERE operation_id = $1
ORDER BY seq";

#[async_trait]
impl Operations for StoreTx {
    async fn open_operation(
        &mut self,
        operation: &Operation,
        holder: &str,
        until: Timestamp,
    ) -> Result<Opened, StoreError> {
        let epoch = 1;
        let row = OperationRow::of(operation, epoch).map_err(|error| self.fail(error))?;
        let rows = execute!(
            self,
            "operations",
            OPEN,
            row.id,
            row.kind,
            row.format,
            row.owner_id,
            row.instance_id,
            row.state,
            row.step,
            row.begun_at,
            row.attempt,
            row.run_at,
            row.data,
            row.request_sha256,
            row.failure_code,
            row.settlement_unknown_since,
            row.hold_released_at,
            row.lease_epoch,
            row.created_at,
            row.finished_at,
            holder,
            until.millis(),
        )?;
        if rows == 0 {
            return Ok(Opened::InstanceBusy);
        }
        Ok(Opened::Leased(Lease {
            operation: operation.id,
            holder: holder.to_owned(),
            epoch,
        }))
    }

    async fn find_operation(&mut self, id: OperationId) -> Result<Option<Operation>, StoreError> {
        let row: Option<OperationRow> =
            fetch!(fetch_optional, self, "operations", FIND, id.to_string())?;
        row.map(OperationRow::parse).transpose()
    }

    async fn operations_of(&mut self, instance: InstanceId) -> Result<Vec<Operation>, StoreError> {
        let instance = instance.to_string();
        let rows: Vec<OperationRow> = fetch!(fetch_all, self, "operations", LIST, instance)?;
        rows.into_iter().map(OperationRow::parse).collect()
    }

    async fn list_unresolved(
        &mut self,
        opened_before: Timestamp,
        limit: u32,
    ) -> Result<Vec<Operation>, StoreError> {
        let rows: Vec<OperationRow> = fetch!(
            fetch_all,
            self,
            "operations",
            LIST_UNRESOLVED,
            opened_before.millis(),
            i64::from(limit),
        )?;
        rows.into_iter().map(OperationRow::parse).collect()
    }

    async fn lease_operation(
        &mut self,
        id: OperationId,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>, StoreError> {
        let row: Option<(i64,)> = fetch!(
            fetch_optional,
            self,
            "operations",
            LEASE,
            id.to_string(),
            holder,
            now.millis(),
            until.millis(),
            i64::from(OPERATION_FORMAT),
        )?;
        Ok(row.map(|(epoch,)| Lease {
            operation: id,
            holder: holder.to_owned(),
            epoch,
        }))
    }

    async fn provision_of(
        &mut self,
        instance: InstanceId,
    ) -> Result<Option<Operation>, StoreError> {
        let row: Option<OperationRow> = fetch!(
            fetch_optional,
            self,
            "operations",
            FIND_PROVISION,
            instance.to_string()
        )?;
        row.map(OperationRow::parse).transpose()
    }

    async fn find_hanging(
        &mut self,
        owner: OwnerId,
        payer: Option<&WalletAddress>,
        request_digest: &[u8; 32],
        since: Timestamp,
        begun_before: Timestamp,
    ) -> Result<Option<Operation>, StoreError> {
        let row: Option<OperationRow> = fetch!(
            fetch_optional,
            self,
            "operations",
            FIND_HANGING,
            owner.to_string(),
            request_digest.as_slice(),
            since.millis(),
            begun_before.millis(),
            payer.map(ToString::to_string),
        )?;
        row.map(OperationRow::parse).transpose()
    }

    async fn claim_due(
        &mut self,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<(Operation, Lease)>, StoreError> {
        let mut rows: Vec<OperationRow> = fetch!(
            fetch_all,
            self,
            "operations",
            CLAIM_DUE,
            holder,
            now.millis(),
            until.millis(),
            i64::from(OPERATION_FORMAT),
            i64::from(limit),
        )?;
        // Neither database returns the rows of an update in order.
        rows.sort_by(|a, b| (a.run_at, &a.id).cmp(&(b.run_at, &b.id)));
        let mut claimed = Vec::with_capacity(rows.len());
        for row in rows {
            let epoch = row.lease_epoch;
            match row.parse() {
                Ok(operation) => {
                    let lease = Lease {
                        operation: operation.id,
                        holder: holder.to_owned(),
                        epoch,
                    };
                    claimed.push((operation, lease));
                }
                // It stays leased and unworked until a human looks; the others must go on.
                Err(error) => tracing::error!(%error, "an operation cannot be read"),
            }
        }
        Ok(claimed)
    }

    async fn save_operation(
        &mut self,
        operation: &Operation,
        lease: &Lease,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let row = OperationRow::of(operation, lease.epoch).map_err(|error| self.fail(error))?;
        let rows = execute!(
            self,
            "operations",
            SAVE,
            row.id,
            row.lease_epoch,
            &lease.holder,
            row.format,
            row.state,
            row.step,
            row.begun_at,
            row.attempt,
            row.run_at,
            row.data,
            row.failure_code,
            row.settlement_unknown_since,
            row.hold_released_at,
            row.finished_at,
            until.millis(),
        )?;
        if rows == 0 || lease.operation != operation.id {
            return Err(self.fail(StoreError::LeaseLost));
        }
        self.measured.saved(operation);
        Ok(())
    }

    async fn release_lease(&mut self, lease: &Lease) -> Result<(), StoreError> {
        // No row is no fault: the lease was lost, and somebody else's stays.
        execute!(
            self,
            "operations",
            RELEASE,
            lease.operation.to_string(),
            lease.epoch,
            &lease.holder,
        )
        .map(|_| ())
    }

    async fn append_event(
        &mut self,
        operation: OperationId,
        at: Timestamp,
        holder: &str,
        name: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        let id = operation.to_string();
        // Two writers would number their lines alike: the operation's row is the lock.
        let _: Option<(String,)> = fetch!(fetch_optional, self, "operations", LOCK_OPERATION, &id)?;
        let rows = execute!(
            self,
            "operation_events",
            APPEND_EVENT,
            id,
            at.millis(),
            holder,
            name,
            detail,
        )?;
        self.exactly_one("operation_events", rows)
    }

    async fn list_events(&mut self, operation: OperationId) -> Result<Vec<Event>, StoreError> {
        let rows: Vec<EventRow> = fetch!(
            fetch_all,
            self,
            "operation_events",
            LIST_EVENTS,
            operation.to_string()
        )?;
        Ok(rows.into_iter().map(EventRow::into_event).collect())
    }
}

#[cfg(test)]
#[path = "operations/plans.rs"]
mod plans;
