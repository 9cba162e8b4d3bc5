//! Places for live instances: running sums, changed under a condition. Counting rows instead would
//! let two replicas give the same place away.

use async_trait::async_trait;
use compute_domain::id::OwnerId;
use compute_domain::money::{HourlyRate, Usd};
use compute_engine::ports::{Caps, PlaceTaken, Places, StoreError};

use crate::statement::execute;
use crate::tx::StoreTx;

/// The counter of live instances.
const INSTANCES: &str = "instances";
/// The counter of what all live instances cost their owners an hour.
const HOURLY: &str = "hourly_micros";

const TAKE_OWN: &str = "UPDATE owners
SET live_instances = live_instances + 1
WHERE id = $1 AND live_instances < $2";

const FREE_OWN: &str = "UPDATE owners
SET live_instances = live_instances - 1
WHERE id = $1 AND live_instances > 0";

/// Subtracts from the maximum, because a sum could be more than a number can hold.
const RAISE: &str = "UPDATE counters
SET value = value + $2
WHERE name = $1 AND value <= $3 - $2";

const LOWER: &str = "UPDATE counters
SET value = value - $2
WHERE name = $1 AND value >= $2";

#[async_trait]
impl Places for StoreTx {
    /// The rows are locked in one order, here and in `free_place`: owner, instances, costs.
    async fn take_place(
        &mut self,
        owner: OwnerId,
        rate: HourlyRate,
        caps: &Caps,
    ) -> Result<PlaceTaken, StoreError> {
        let own = i64::from(caps.instances_per_owner);
        if execute!(self, "owners", TAKE_OWN, owner.to_string(), own)? == 0 {
            return Ok(PlaceTaken::OwnerFull);
        }
        let total = i64::from(caps.instances_total);
        if execute!(self, "counters", RAISE, INSTANCES, 1_i64, total)? == 0 {
            return Ok(PlaceTaken::ShopFull);
        }
        let hourly = caps.hourly_total.map_or(i64::MAX, Usd::micros);
        if execute!(self, "counters", RAISE, HOURLY, rate.micros(), hourly)? == 0 {
            return Ok(PlaceTaken::ShopFull);
        }
        Ok(PlaceTaken::Yes)
    }

    async fn change_place(
        &mut self,
        _owner: OwnerId,
        from: HourlyRate,
        to: HourlyRate,
        most: Option<Usd>,
    ) -> Result<bool, StoreError> {
        if to > from {
            let more = to.micros().saturating_sub(from.micros());
            let most = most.map_or(i64::MAX, Usd::micros);
            return Ok(execute!(self, "counters", RAISE, HOURLY, more, most)? == 1);
        }
        let less = from.micros().saturating_sub(to.micros());
        let rows = execute!(self, "counters", LOWER, HOURLY, less)?;
        self.exactly_one("counters", rows)?;
        Ok(true)
    }

    async fn free_place(&mut self, owner: OwnerId, rate: HourlyRate) -> Result<(), StoreError> {
        let rows = execute!(self, "owners", FREE_OWN, owner.to_string())?;
        self.exactly_one("owners", rows)?;
        let rows = execute!(self, "counters", LOWER, INSTANCES, 1_i64)?;
        self.exactly_one("counters", rows)?;
        let rows = execute!(self, "counters", LOWER, HOURLY, rate.micros())?;
        self.exactly_one("counters", rows)
    }
}
