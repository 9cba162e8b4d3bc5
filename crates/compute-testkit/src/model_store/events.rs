//! The feeds of owners.

use async_trait::async_trait;
use compute_domain::id::OwnerId;
use compute_domain::time::Timestamp;
use compute_engine::ports::{NewEvent, OwnerEvent, OwnerEvents, StoreError};

use super::tx::{ModelTx, require};

impl ModelTx {
    /// Writes what was announced, as the last thing before a commit.
    pub(super) fn write_announced(&mut self) -> Result<(), StoreError> {
        let announced = core::mem::take(&mut self.announced);
        if announced.is_empty() {
            return Ok(());
        }
        self.write(|state| {
            for event in announced {
                let (version, owner) = (state.writing(), event.owner);
                require(state.owners.has(None, &owner), "an event has an owner")?;
                let last = state.event_counters.get(None, &owner).copied();
                let seq = last.unwrap_or_default().saturating_add(1);
                let end = (event.at, owner, seq);
                state.event_counters.put(version, owner, seq);
                state.owner_events_by_time.put(version, end, ());
                state.owner_events.put(version, (owner, seq), event);
            }
            Ok(())
        })
    }
}

#[async_trait]
impl OwnerEvents for ModelTx {
    fn announce(&mut self, event: NewEvent) {
        self.announced.push(event);
    }

    async fn owner_events(
        &mut self,
        owner: OwnerId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<OwnerEvent>, StoreError> {
        let Some(first) = after.checked_add(1) else {
            return Ok(Vec::new());
        };
        Ok(self.read(|state, at| {
            let rows = state.owner_events.range(at, (owner, first)..);
            rows.take_while(|((of, _), _)| *of == owner)
                .take(usize::try_from(limit).unwrap_or(usize::MAX))
                .map(|((_, seq), event)| OwnerEvent {
                    seq: *seq,
                    event: event.clone(),
                })
                .collect()
        }))
    }

    async fn forget_owner_events(
        &mut self,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.write(|state| {
            let version = state.writing();
            let old = state.owner_events_by_time.iter(None);
            let old: Vec<_> = old
                .map(|(end, ())| *end)
                .take_while(|(at, ..)| *at < before)
                .take(usize::try_from(limit).unwrap_or(usize::MAX))
                .collect();
            let mut forgotten: u64 = 0;
            for end in old {
                let (_, owner, seq) = end;
                state.owner_events_by_time.remove(version, &end);
                state.owner_events.remove(version, &(owner, seq));
                forgotten = forgotten.saturating_add(1);
            }
            Ok(forgotten)
        })
    }
}
