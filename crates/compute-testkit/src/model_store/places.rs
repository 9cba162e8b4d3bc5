//! Places for live instances.

use async_trait::async_trait;
use compute_domain::id::OwnerId;
use compute_domain::money::{HourlyRate, Usd};
use compute_engine::ports::{Caps, PlaceTaken, Places, StoreError};

use super::state::{Places as PlacesRow, State};
use super::tx::{ModelTx, no_row};
use crate::planted::PlantedBug;

impl State {
    /// The places of an owner, and of all.
    fn count_places(&self, owner: OwnerId) -> (PlacesRow, PlacesRow) {
        let own = self.places.get(None, &owner).copied();
        let all = self.all_places.get(None, &()).copied();
        (own.unwrap_or_default(), all.unwrap_or_default())
    }

    fn write_places(&mut self, owner: OwnerId, own: PlacesRow, all: PlacesRow) {
        let version = self.writing();
        self.places.put(version, owner, own);
        self.all_places.put(version, (), all);
    }
}

/// As many more places at this hourly price.
const fn moved(row: PlacesRow, count: i64, hourly: i64) -> PlacesRow {
    PlacesRow {
        live: row.live.saturating_add(count),
        hourly: row.hourly.saturating_add(hourly),
    }
}

#[async_trait]
impl Places for ModelTx {
    async fn take_place(
        &mut self,
        owner: OwnerId,
        rate: HourlyRate,
        caps: &Caps,
    ) -> Result<PlaceTaken, StoreError> {
        self.write(|state| {
            if !state.owners.has(None, &owner) {
                return Ok(PlaceTaken::OwnerFull);
            }
            let (own, all) = state.count_places(owner);
            let (own, all) = (moved(own, 1, rate.micros()), moved(all, 1, rate.micros()));
            if own.live > i64::from(caps.instances_per_owner) {
                return Ok(PlaceTaken::OwnerFull);
            }
            let is_too_much = caps
                .hourly_total
                .is_some_and(|most| all.hourly > most.micros());
            if all.live > i64::from(caps.instances_total) || is_too_much {
                return Ok(PlaceTaken::ShopFull);
            }
            if !state.has_bug(PlantedBug::PlaceNotCounted) {
                state.write_places(owner, own, all);
            }
            Ok(PlaceTaken::Yes)
        })
    }

    async fn change_place(
        &mut self,
        owner: OwnerId,
        from: HourlyRate,
        to: HourlyRate,
        most: Option<Usd>,
    ) -> Result<bool, StoreError> {
        self.write(|state| {
            let (own, all) = state.count_places(owner);
            let more = to.micros().saturating_sub(from.micros());
            let (own, all) = (moved(own, 0, more), moved(all, 0, more));
            if more > 0 && most.is_some_and(|most| all.hourly > most.micros()) {
                return Ok(false);
            }
            if all.hourly < 0 {
                return Err(no_row("counters"));
            }
            if !state.has_bug(PlantedBug::PlaceNotCounted) {
                state.write_places(owner, own, all);
            }
            Ok(true)
        })
    }

    async fn free_place(&mut self, owner: OwnerId, rate: HourlyRate) -> Result<(), StoreError> {
        self.write(|state| {
            if state.has_bug(PlantedBug::PlaceNotCounted) {
                return Ok(());
            }
            let (own, all) = state.count_places(owner);
            let (own, all) = (
                moved(own, -1, rate.micros().saturating_neg()),
                moved(all, -1, rate.micros().saturating_neg()),
            );
            let is_taken = own.live >= 0 && all.live >= 0 && all.hourly >= 0;
            if !is_taken {
                return Err(no_row("counters"));
            }
            state.write_places(owner, own, all);
            Ok(())
        })
    }
}
