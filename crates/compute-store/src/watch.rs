//! What machines do at their providers, and destructions that no owner asked for.

use async_trait::async_trait;
use compute_domain::catalog::{PlanId, ProviderId, ProviderInstanceId};
use compute_domain::id::{InstanceId, OperationId};
use compute_domain::time::Timestamp;
use compute_engine::ports::{PlanDrift, Quarantine, Sighting, StoreError, Suspect, Watch, Watched};

use crate::dialect::{CLAIM_WATCHED, LOCK_DESTRUCTIONS};
use crate::row::{RowName, millis, moment};
use crate::statement::{execute, fetch};
use crate::tx::StoreTx;

macro_rules! watched_columns {
    () => {
        "id, provider, provider_instance_id, misses, missing_since"
    };
}
pub(crate) use watched_columns;

const FIND: &str = concat!(
    "SELECT ",
    watched_columns!(),
    "
FROM instances
WHERE id = $1 AND state = 'active'"
);

const LIST_MISSING: &str = concat!(
    "SELECT ",
    watched_columns!(),
    "
FROM instances
WHERE state = 'active' AND misses >= $1
ORDER BY missing_since, id
LIMIT $2"
);

const SAVE_SIGHTING: &str = "UPDATE instances
SET misses = $2, missing_since = $3, suspended_since = $4, ip_address = COALESCE($5, ip_address)
WHERE id = $1 AND state = 'active'";

const NOTE_DRIFT: &str = "INSERT INTO plan_drifts (instance_id, plan_id, first_seen_at, looks)
VALUES ($1, $2, $3, 1)
ON CONFLICT (instance_id) DO UPDATE
SET plan_id = excluded.plan_id,
    first_seen_at = CASE WHEN plan_drifts.plan_id = excluded.plan_id
        THEN plan_drifts.first_seen_at ELSE excluded.first_seen_at END,
    looks = CASE WHEN plan_drifts.plan_id = excluded.plan_id
        THEN plan_drifts.looks + 1 ELSE 1 END
RETURNING instance_id, plan_id, first_seen_at, looks";

const FORGET_DRIFT: &str = "DELETE FROM plan_drifts
WHERE instance_id = $1";

const LIST_DRIFTS: &str =
    "SELECT plan_drifts.instance_id, plan_drifts.plan_id, plan_drifts.first_seen_at, plan_drifts.looks
FROM plan_drifts
JOIN instances ON instances.id = plan_drifts.instance_id AND instances.state = 'active'
WHERE plan_drifts.looks >= $1
ORDER BY plan_drifts.first_seen_at, plan_drifts.instance_id
LIMIT $2";

const LIST_ACTIVE: &str = "SELECT provider_instance_id
FROM instances
WHERE provider = $1 AND state = 'active'";

const COUNT_LIVE: &str = "SELECT value
FROM counters
WHERE name = 'instances'";

const SUSPECT: &str = "INSERT INTO suspects
    (provider, machine_id, operation_id, first_seen_at, last_seen_at, rounds)
VALUES ($1, $2, $3, $4, $4, 1)
ON CONFLICT (provider, machine_id) DO UPDATE
SET operation_id = excluded.operation_id, last_seen_at = excluded.last_seen_at,
    rounds = suspects.rounds + 1
RETURNING provider, machine_id, operation_id, first_seen_at, rounds";

const LIST_SUSPECTS: &str = "SELECT provider, machine_id, operation_id, first_seen_at, rounds
FROM suspects
ORDER BY first_seen_at, provider, machine_id";

const LIST_MACHINES_OF_SUSPECTS: &str = "SELECT machine_id
FROM suspects
WHERE provider = $1";

const ACQUIT: &str = "DELETE FROM suspects
WHERE provider = $1 AND machine_id = $2";

const FIND_QUARANTINE: &str = "SELECT since, cause
FROM quarantine
WHERE id = 1";

const BEGIN_QUARANTINE: &str = "INSERT INTO quarantine (id, since, cause)
VALUES (1, $1, $2)
ON CONFLICT (id) DO NOTHING";

const END_QUARANTINE: &str = "DELETE FROM quarantine
WHERE id = 1";

const NOTE_DESTRUCTION: &str = "INSERT INTO unasked_destructions (at, cause, subject)
VALUES ($1, $2, $3)";

const COUNT_DESTRUCTIONS: &str = "SELECT COUNT(DISTINCT cause || ' ' || subject)
FROM unasked_destructions
WHERE at >= $1";

const FORGET_DESTRUCTIONS: &str = "DELETE FROM unasked_destructions
WHERE at < $1";

#[derive(Debug, sqlx::FromRow)]
struct WatchedRow {
    id: String,
    provider: String,
    provider_instance_id: Option<String>,
    misses: i64,
    missing_since: Option<i64>,
}

impl WatchedRow {
    fn parse(self) -> Result<Watched, StoreError> {
        let name = RowName::new("instances", &self.id);
        let machine = self.provider_instance_id.as_deref().unwrap_or_default();
        Ok(Watched {
            instance: name.text("id", &self.id)?,
            provider: name.present("provider", ProviderId::parse(&self.provider))?,
            machine: name.check("provider_instance_id", ProviderInstanceId::parse(machine))?,
            misses: name.number("misses", self.misses)?,
            missing_since: moment(self.missing_since),
        })
    }
}

#[derive(Debug, sqlx::FromRow)]
struct SuspectRow {
    provider: String,
    machine_id: String,
    operation_id: String,
    first_seen_at: i64,
    rounds: i64,
}

impl SuspectRow {
    fn parse(self) -> Result<Suspect, StoreError> {
        let name = RowName::new("suspects", &self.machine_id);
        Ok(Suspect {
            provider: name.present("provider", ProviderId::parse(&self.provider))?,
            machine: name.check("machine_id", ProviderInstanceId::parse(&self.machine_id))?,
            operation: name.text("operation_id", &self.operation_id)?,
            first_seen_at: Timestamp::from_millis(self.first_seen_at),
            rounds: name.number("rounds", self.rounds)?,
        })
    }
}

#[derive(Debug, sqlx::FromRow)]
struct DriftRow {
    instance_id: String,
    plan_id: String,
    first_seen_at: i64,
    looks: i64,
}

impl DriftRow {
    fn parse(self) -> Result<PlanDrift, StoreError> {
        let name = RowName::new("plan_drifts", &self.instance_id);
        Ok(PlanDrift {
            instance: name.text("instance_id", &self.instance_id)?,
            plan: name.check("plan_id", PlanId::parse(&self.plan_id))?,
            since: Timestamp::from_millis(self.first_seen_at),
            looks: name.number("looks", self.looks)?,
        })
    }
}

#[async_trait]
impl Watch for StoreTx {
    async fn claim_watched(
        &mut self,
        now: Timestamp,
        next: Timestamp,
        limit: u32,
    ) -> Result<Vec<Watched>, StoreError> {
        let rows: Vec<WatchedRow> = fetch!(
            fetch_all,
            self,
            "instances",
            CLAIM_WATCHED,
            now.millis(),
            next.millis(),
            i64::from(limit),
        )?;
        let mut claimed = Vec::with_capacity(rows.len());
        for row in rows {
            match row.parse() {
                Ok(watched) => claimed.push(watched),
                // The others must be looked at all the same.
                Err(error) => tracing::error!(%error, "an instance cannot be watched"),
            }
        }
        Ok(claimed)
    }

    async fn find_watched(&mut self, instance: InstanceId) -> Result<Option<Watched>, StoreError> {
        let row: Option<WatchedRow> = fetch!(
            fetch_optional,
            self,
            "instances",
            FIND,
            instance.to_string()
        )?;
        row.map(WatchedRow::parse).transpose()
    }

    async fn list_missing(&mut self, misses: u32, limit: u32) -> Result<Vec<Watched>, StoreError> {
        let rows: Vec<WatchedRow> = fetch!(
            fetch_all,
            self,
            "instances",
            LIST_MISSING,
            i64::from(misses),
            i64::from(limit),
        )?;
        rows.into_iter().map(WatchedRow::parse).collect()
    }

    async fn save_sighting(
        &mut self,
        instance: InstanceId,
        sighting: &Sighting,
    ) -> Result<(), StoreError> {
        // No row is no fault: the instance came to its end while its machine was looked at.
        execute!(
            self,
            "instances",
            SAVE_SIGHTING,
            instance.to_string(),
            i64::from(sighting.misses),
            millis(sighting.missing_since),
            millis(sighting.suspended_since),
            sighting.address.map(|address| address.to_string()),
        )
        .map(|_| ())
    }

    async fn note_plan_drift(
        &mut self,
        instance: InstanceId,
        plan: &PlanId,
        now: Timestamp,
    ) -> Result<PlanDrift, StoreError> {
        let row: DriftRow = fetch!(
            fetch_one,
            self,
            "plan_drifts",
            NOTE_DRIFT,
            instance.to_string(),
            plan.as_str(),
            now.millis(),
        )?;
        row.parse()
    }

    async fn forget_plan_drift(&mut self, instance: InstanceId) -> Result<bool, StoreError> {
        let rows = execute!(self, "plan_drifts", FORGET_DRIFT, instance.to_string())?;
        Ok(rows == 1)
    }

    async fn list_plan_drifts(
        &mut self,
        looks: u32,
        limit: u32,
    ) -> Result<Vec<PlanDrift>, StoreError> {
        let rows: Vec<DriftRow> = fetch!(
            fetch_all,
            self,
            "plan_drifts",
            LIST_DRIFTS,
            i64::from(looks),
            i64::from(limit),
        )?;
        rows.into_iter().map(DriftRow::parse).collect()
    }

    async fn list_active_machines(
        &mut self,
        provider: ProviderId,
    ) -> Result<Vec<ProviderInstanceId>, StoreError> {
        let provider = provider.as_str();
        let rows: Vec<(String,)> = fetch!(fetch_all, self, "instances", LIST_ACTIVE, provider)?;
        let name = RowName::new("instances", provider);
        rows.into_iter()
            .map(|(machine,)| {
                name.check("provider_instance_id", ProviderInstanceId::parse(&machine))
            })
            .collect()
    }

    async fn count_live(&mut self) -> Result<u64, StoreError> {
        let (live,): (i64,) = fetch!(fetch_one, self, "counters", COUNT_LIVE)?;
        RowName::new("counters", "instances").number("value", live)
    }

    async fn suspect(
        &mut self,
        provider: ProviderId,
        machine: &ProviderInstanceId,
        operation: OperationId,
        now: Timestamp,
    ) -> Result<Suspect, StoreError> {
        let row: SuspectRow = fetch!(
            fetch_one,
            self,
            "suspects",
            SUSPECT,
            provider.as_str(),
            machine.as_str(),
            operation.to_string(),
            now.millis(),
        )?;
        row.parse()
    }

    async fn acquit_others(
        &mut self,
        provider: ProviderId,
        still: &[ProviderInstanceId],
    ) -> Result<(), StoreError> {
        let provider = provider.as_str();
        let rows: Vec<(String,)> = fetch!(
            fetch_all,
            self,
            "suspects",
            LIST_MACHINES_OF_SUSPECTS,
            provider
        )?;
        let is_still = |id: &str| still.iter().any(|machine| machine.as_str() == id);
        for (machine,) in rows {
            if !is_still(&machine) {
                execute!(self, "suspects", ACQUIT, provider, machine)?;
            }
        }
        Ok(())
    }

    async fn list_suspects(&mut self) -> Result<Vec<Suspect>, StoreError> {
        let rows: Vec<SuspectRow> = fetch!(fetch_all, self, "suspects", LIST_SUSPECTS)?;
        rows.into_iter().map(SuspectRow::parse).collect()
    }

    async fn find_quarantine(&mut self) -> Result<Option<Quarantine>, StoreError> {
        let row: Option<(i64, String)> =
            fetch!(fetch_optional, self, "quarantine", FIND_QUARANTINE)?;
        Ok(row.map(|(since, cause)| Quarantine {
            since: Timestamp::from_millis(since),
            cause,
        }))
    }

    async fn begin_quarantine(&mut self, quarantine: &Quarantine) -> Result<bool, StoreError> {
        let rows = execute!(
            self,
            "quarantine",
            BEGIN_QUARANTINE,
            quarantine.since.millis(),
            &quarantine.cause,
        )?;
        Ok(rows == 1)
    }

    async fn end_quarantine(&mut self) -> Result<bool, StoreError> {
        let rows = execute!(self, "quarantine", END_QUARANTINE)?;
        Ok(rows == 1)
    }

    async fn note_unasked_destruction(
        &mut self,
        cause: &str,
        subject: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // Whoever counts afterwards must see what every other replica has noted.
        execute!(self, "unasked_destructions", LOCK_DESTRUCTIONS)?;
        let rows = execute!(
            self,
            "unasked_destructions",
            NOTE_DESTRUCTION,
            now.millis(),
            cause,
            subject
        )?;
        self.exactly_one("unasked_destructions", rows)
    }

    async fn count_unasked_destructions(&mut self, since: Timestamp) -> Result<u64, StoreError> {
        let (count,): (i64,) = fetch!(
            fetch_one,
            self,
            "unasked_destructions",
            COUNT_DESTRUCTIONS,
            since.millis()
        )?;
        RowName::new("unasked_destructions", "all").number("count", count)
    }

    async fn forget_unasked_destructions(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        execute!(
            self,
            "unasked_destructions",
            FORGET_DESTRUCTIONS,
            before.millis()
        )
    }
}
