//! The feeds of owners. Events are kept in memory until the commit, and written as its last statements.

use async_trait::async_trait;
use compute_domain::event::EventType;
use compute_domain::id::OwnerId;
use compute_domain::time::Timestamp;
use compute_engine::ports::{NewEvent, OwnerEvent, OwnerEvents, StoreError};

use crate::row::RowName;
use crate::statement::{execute, fetch};
use crate::tx::StoreTx;

/// Numbers for so many more events. Whoever else has something to tell this owner waits here until
/// the transaction has ended, and gets the numbers after these, or the same when it came to nothing.
const COUNT: &str = "INSERT INTO owner_event_counters (owner_id, last_seq)
VALUES ($1, $2)
ON CONFLICT (owner_id) DO UPDATE
SET last_seq = owner_event_counters.last_seq + excluded.last_seq
RETURNING last_seq";

const INSERT: &str = "INSERT INTO owner_events
    (owner_id, seq, id, kind, at, instance_id, operation_id, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const LIST: &str = "SELECT seq, id, kind, at, instance_id, operation_id, data
FROM owner_events
WHERE owner_id = $1 AND seq > $2
ORDER BY seq
LIMIT $3";

const FORGET: &str = "DELETE FROM owner_events
WHERE id IN (
    SELECT id FROM owner_events
    WHERE at < $1
    ORDER BY at
    LIMIT $2)";

#[derive(sqlx::FromRow)]
struct EventRow {
    seq: i64,
    id: String,
    kind: String,
    at: i64,
    instance_id: Option<String>,
    operation_id: Option<String>,
    data: String,
}

impl EventRow {
    fn parse(self, owner: OwnerId) -> Result<OwnerEvent, StoreError> {
        let name = RowName::new("owner_events", &self.id);
        let instance = self.instance_id.as_deref();
        let operation = self.operation_id.as_deref();
        Ok(OwnerEvent {
            seq: name.number("seq", self.seq)?,
            event: NewEvent {
                id: name.text("id", &self.id)?,
                owner,
                kind: EventType::parse(&self.kind),
                at: Timestamp::from_millis(self.at),
                instance: instance
                    .map(|text| name.text("instance_id", text))
                    .transpose()?,
                operation: operation
                    .map(|text| name.text("operation_id", text))
                    .transpose()?,
                data: self.data,
            },
        })
    }
}

impl StoreTx {
    /// Writes what was announced, owner by owner: two transactions that tell the same owners wait for
    /// each other in one direction only.
    pub(crate) async fn write_announced(&mut self) -> Result<(), StoreError> {
        let mut announced = core::mem::take(&mut self.announced);
        // Stable: what one owner is told stays in the order in which it happened.
        announced.sort_by_key(|event| event.owner);
        for events in announced.chunk_by(|one, next| one.owner == next.owner) {
            let Some(owner) = events.first().map(|event| event.owner.to_string()) else {
                continue;
            };
            let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
            let (last,): (i64,) = fetch!(
                fetch_one,
                self,
                "owner_event_counters",
                COUNT,
                &owner,
                count
            )?;
            let first = last.saturating_sub(count).saturating_add(1);
            for (seq, event) in (first..).zip(events) {
                execute!(
                    self,
                    "owner_events",
                    INSERT,
                    &owner,
                    seq,
                    event.id.to_string(),
                    event.kind.as_str(),
                    event.at.millis(),
                    event.instance.map(|id| id.to_string()),
                    event.operation.map(|id| id.to_string()),
                    &event.data,
                )?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl OwnerEvents for StoreTx {
    fn announce(&mut self, event: NewEvent) {
        self.announced.push(event);
    }

    async fn owner_events(
        &mut self,
        owner: OwnerId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<OwnerEvent>, StoreError> {
        // Above every number that was ever given there is nothing.
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let rows: Vec<EventRow> = fetch!(
            fetch_all,
            self,
            "owner_events",
            LIST,
            owner.to_string(),
            after,
            i64::from(limit)
        )?;
        rows.into_iter().map(|row| row.parse(owner)).collect()
    }

    async fn forget_owner_events(
        &mut self,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        execute!(
            self,
            "owner_events",
            FORGET,
            before.millis(),
            i64::from(limit)
        )
    }
}
