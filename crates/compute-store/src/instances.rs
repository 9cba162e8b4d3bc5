//! Instances.

use async_trait::async_trait;
use compute_domain::catalog::{OsId, PlanId, ProviderId, ProviderInstanceId, RegionId};
use compute_domain::id::{InstanceId, OwnerId};
use compute_domain::instance::{
    Access, EndReason, FailureCode, Instance, InstanceState, Placement, Resizing,
};
use compute_domain::money::{HourlyRate, Hours, Usd};
use compute_domain::text::Label;
use compute_domain::time::Timestamp;
use compute_engine::ports::{Instances, StoreError};

use crate::dialect::LOCK_INSTANCE;
use crate::row::{RowName, millis, moment};
use crate::statement::{execute, fetch};
use crate::tx::StoreTx;

macro_rules! instance_columns {
    () => {
        "id, owner_id, provider, plan_id, region_id, os_id, label, rate_hour_micros,
    prepaid_hours, extended_hours, price_micros, access, ip_address, state, provider_instance_id,
    expires_at, end_reason, failure_code, ended_at, suspended_since, created_at, resize_plan_id,
    resize_rate_micros, resize_expires_at, is_protected"
    };
}

const INSERT: &str = concat!(
    "INSERT INTO instances (",
    instance_columns!(),
    ")
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
    $21, $22, $23, $24, $25)"
);

/// What the reconciler found out (`suspended_since`, `misses`, `missing_since`, `watch_at`) stays out
/// of it: whoever saves an instance may have read it before the reconciler wrote.
const SAVE: &str = "UPDATE instances
SET provider = $2, plan_id = $3, region_id = $4, os_id = $5, label = $6, rate_hour_micros = $7,
    prepaid_hours = $8, extended_hours = $9, price_micros = $10, access = $11, ip_address = $12,
    state = $13, provider_instance_id = $14, expires_at = $15, end_reason = $16,
    failure_code = $17, ended_at = $18, resize_plan_id = $19, resize_rate_micros = $20,
    resize_expires_at = $21, is_protected = $22
WHERE id = $1";

const FIND: &str = concat!(
    "SELECT ",
    instance_columns!(),
    "
FROM instances
WHERE id = $1"
);

/// Ids grow with time, and their texts sort alike wherever digits come before lower-case letters, so
/// both lists are walks along one index. The owner is said as a range and in the order, because only
/// then no other index will do: for an owner with many instances PostgreSQL would rather walk along
/// all ids and throw the others' away, which for one whose instances are old means nearly all rows.
const LIST: &str = concat!(
    "SELECT ",
    instance_columns!(),
    "
FROM instances
WHERE owner_id >= $1 AND owner_id <= $1
ORDER BY owner_id DESC, id DESC
LIMIT $2"
);

const LIST_AFTER: &str = concat!(
    "SELECT ",
    instance_columns!(),
    "
FROM instances
WHERE owner_id >= $1 AND (owner_id, id) < ($1, $2)
ORDER BY owner_id DESC, id DESC
LIMIT $3"
);

const LIST_EXPIRED: &str = "SELECT id
FROM instances
WHERE state = 'active' AND expires_at < $1 AND misses < $2
ORDER BY expires_at, id
LIMIT $3";

#[derive(Debug, Clone, sqlx::FromRow)]
struct InstanceRow {
    id: String,
    owner_id: String,
    provider: String,
    plan_id: String,
    region_id: String,
    os_id: String,
    label: String,
    rate_hour_micros: i64,
    prepaid_hours: i64,
    extended_hours: i64,
    price_micros: i64,
    access: String,
    ip_address: Option<String>,
    state: String,
    provider_instance_id: Option<String>,
    expires_at: Option<i64>,
    end_reason: Option<String>,
    failure_code: Option<String>,
    ended_at: Option<i64>,
    suspended_since: Option<i64>,
    created_at: i64,
    resize_plan_id: Option<String>,
    resize_rate_micros: Option<i64>,
    resize_expires_at: Option<i64>,
    is_protected: i64,
}

impl InstanceRow {
    fn of(instance: &Instance) -> Self {
        let placement = instance.placement();
        let (end_reason, failure_code, ended_at) = match &instance.state {
            InstanceState::Pending | InstanceState::Provisioning(_) | InstanceState::Active(_) => {
                (None, None, None)
            }
            InstanceState::Destroying { reason, .. } => (Some(*reason), None, None),
            InstanceState::Destroyed { reason, at, .. } => (Some(*reason), None, Some(*at)),
            InstanceState::Failed { code, at } => (None, Some(*code), Some(*at)),
        };
        Self {
            id: instance.id.to_string(),
            owner_id: instance.owner.to_string(),
            provider: instance.provider.to_string(),
            plan_id: instance.plan.to_string(),
            region_id: instance.region.to_string(),
            os_id: instance.os.to_string(),
            label: instance.label.to_string(),
            rate_hour_micros: instance.rate.micros(),
            prepaid_hours: i64::from(instance.hours.get()),
            extended_hours: i64::from(instance.extended_hours),
            price_micros: instance.price.micros(),
            access: instance.access.to_string(),
            ip_address: instance.ip.map(|ip| ip.to_string()),
            state: instance.state.name().to_owned(),
            provider_instance_id: placement.map(|placement| placement.machine.to_string()),
            expires_at: placement.map(|placement| placement.expires_at.millis()),
            end_reason: end_reason.map(|reason| reason.to_string()),
            failure_code: failure_code.map(|code| code.to_string()),
            ended_at: millis(ended_at),
            suspended_since: millis(instance.suspended_since),
            created_at: instance.created_at.millis(),
            resize_plan_id: instance.resizing.as_ref().map(|it| it.to.to_string()),
            resize_rate_micros: instance.resizing.as_ref().map(|it| it.rate.micros()),
            resize_expires_at: instance.resizing.as_ref().map(|it| it.expires_at.millis()),
            is_protected: i64::from(instance.is_protected),
        }
    }

    fn parse(self) -> Result<Instance, StoreError> {
        let name = RowName::new("instances", &self.id);
        let hours = name.number("prepaid_hours", self.prepaid_hours)?;
        let ip = self
            .ip_address
            .as_deref()
            .map(|ip| name.text("ip_address", ip));
        Ok(Instance {
            id: name.text("id", &self.id)?,
            owner: name.text("owner_id", &self.owner_id)?,
            provider: name.present("provider", ProviderId::parse(&self.provider))?,
            plan: name.check("plan_id", PlanId::parse(&self.plan_id))?,
            region: name.check("region_id", RegionId::parse(&self.region_id))?,
            os: name.check("os_id", OsId::parse(&self.os_id))?,
            label: name.check("label", Label::parse(&self.label))?,
            rate: name.check(
                "rate_hour_micros",
                HourlyRate::from_micros(self.rate_hour_micros),
            )?,
            hours: name.check("prepaid_hours", Hours::new(hours))?,
            extended_hours: name.number("extended_hours", self.extended_hours)?,
            price: name.check("price_micros", Usd::from_micros(self.price_micros))?,
            access: name.present("access", Access::parse(&self.access))?,
            ip: ip.transpose()?,
            suspended_since: moment(self.suspended_since),
            resizing: self.parse_resizing(&name)?,
            is_protected: self.is_protected != 0,
            created_at: Timestamp::from_millis(self.created_at),
            state: self.parse_state(&name)?,
        })
    }

    fn parse_resizing(&self, name: &RowName) -> Result<Option<Resizing>, StoreError> {
        let columns = (
            &self.resize_plan_id,
            self.resize_rate_micros,
            self.resize_expires_at,
        );
        match columns {
            (Some(plan), Some(rate), Some(expires_at)) => Ok(Some(Resizing {
                to: name.check("resize_plan_id", PlanId::parse(plan))?,
                rate: name.check("resize_rate_micros", HourlyRate::from_micros(rate))?,
                expires_at: Timestamp::from_millis(expires_at),
            })),
            (None, None, None) => Ok(None),
            _ => Err(name.bad("resizing")),
        }
    }

    /// Exactly the columns that a state needs are filled.
    fn parse_state(&self, name: &RowName) -> Result<InstanceState, StoreError> {
        let placement = match (&self.provider_instance_id, self.expires_at) {
            (Some(machine), Some(expires_at)) => Some(Placement {
                machine: name.check("provider_instance_id", ProviderInstanceId::parse(machine))?,
                expires_at: Timestamp::from_millis(expires_at),
            }),
            (None, None) => None,
            _ => return Err(name.bad("placement")),
        };
        let reason = self.end_reason.as_deref();
        let reason = reason.map(|text| name.present("end_reason", EndReason::parse(text)));
        let code = self.failure_code.as_deref();
        let code = code.map(|text| name.present("failure_code", FailureCode::parse(text)));
        let ended_at = self.ended_at.map(Timestamp::from_millis);
        match (
            self.state.as_str(),
            placement,
            reason.transpose()?,
            code.transpose()?,
            ended_at,
        ) {
            ("pending", None, None, None, None) => Ok(InstanceState::Pending),
            ("provisioning", placement, None, None, None) => {
                Ok(InstanceState::Provisioning(placement))
            }
            ("active", Some(placement), None, None, None) => Ok(InstanceState::Active(placement)),
            ("destroying", Some(placement), Some(reason), None, None) => {
                Ok(InstanceState::Destroying { placement, reason })
            }
            ("destroyed", Some(placement), Some(reason), None, Some(at)) => {
                Ok(InstanceState::Destroyed {
                    placement,
                    reason,
                    at,
                })
            }
            ("failed", None, None, Some(code), Some(at)) => Ok(InstanceState::Failed { code, at }),
            _ => Err(name.bad("state")),
        }
    }
}

#[async_trait]
impl Instances for StoreTx {
    async fn insert_instance(&mut self, instance: &Instance) -> Result<(), StoreError> {
        let row = InstanceRow::of(instance);
        let rows = execute!(
            self,
            "instances",
            INSERT,
            row.id,
            row.owner_id,
            row.provider,
            row.plan_id,
            row.region_id,
            row.os_id,
            row.label,
            row.rate_hour_micros,
            row.prepaid_hours,
            row.extended_hours,
            row.price_micros,
            row.access,
            row.ip_address,
            row.state,
            row.provider_instance_id,
            row.expires_at,
            row.end_reason,
            row.failure_code,
            row.ended_at,
            row.suspended_since,
            row.created_at,
            row.resize_plan_id,
            row.resize_rate_micros,
            row.resize_expires_at,
            row.is_protected,
        )?;
        self.exactly_one("instances", rows)
    }

    async fn save_instance(&mut self, instance: &Instance) -> Result<(), StoreError> {
        let row = InstanceRow::of(instance);
        let rows = execute!(
            self,
            "instances",
            SAVE,
            row.id,
            row.provider,
            row.plan_id,
            row.region_id,
            row.os_id,
            row.label,
            row.rate_hour_micros,
            row.prepaid_hours,
            row.extended_hours,
            row.price_micros,
            row.access,
            row.ip_address,
            row.state,
            row.provider_instance_id,
            row.expires_at,
            row.end_reason,
            row.failure_code,
            row.ended_at,
            row.resize_plan_id,
            row.resize_rate_micros,
            row.resize_expires_at,
            row.is_protected,
        )?;
        self.exactly_one("instances", rows)
    }

    async fn find_instance(&mut self, id: InstanceId) -> Result<Option<Instance>, StoreError> {
        let row: Option<InstanceRow> =
            fetch!(fetch_optional, self, "instances", FIND, id.to_string())?;
        row.map(InstanceRow::parse).transpose()
    }

    async fn lock_instance(&mut self, id: InstanceId) -> Result<Option<Instance>, StoreError> {
        let row: Option<(String,)> = fetch!(
            fetch_optional,
            self,
            "instances",
            LOCK_INSTANCE,
            id.to_string()
        )?;
        match row {
            // A statement of its own, so that it sees what the previous holder committed.
            Some(_) => self.find_instance(id).await,
            None => Ok(None),
        }
    }

    async fn list_instances(
        &mut self,
        owner: OwnerId,
        after: Option<InstanceId>,
        limit: u32,
    ) -> Result<Vec<Instance>, StoreError> {
        let (owner, limit) = (owner.to_string(), i64::from(limit));
        let rows: Vec<InstanceRow> = match after {
            None => fetch!(fetch_all, self, "instances", LIST, owner, limit),
            Some(after) => {
                let after = after.to_string();
                fetch!(
                    fetch_all,
                    self,
                    "instances",
                    LIST_AFTER,
                    owner,
                    after,
                    limit
                )
            }
        }?;
        rows.into_iter().map(InstanceRow::parse).collect()
    }

    async fn list_expired(
        &mut self,
        before: Timestamp,
        misses: u32,
        limit: u32,
    ) -> Result<Vec<InstanceId>, StoreError> {
        let rows: Vec<(String,)> = fetch!(
            fetch_all,
            self,
            "instances",
            LIST_EXPIRED,
            before.millis(),
            i64::from(misses),
            i64::from(limit),
        )?;
        rows.into_iter()
            .map(|(id,)| RowName::new("instances", &id).text("id", &id))
            .collect()
    }
}

#[cfg(test)]
#[path = "instances/plans.rs"]
mod plans;
#[cfg(test)]
#[path = "instances/tests.rs"]
mod tests;
