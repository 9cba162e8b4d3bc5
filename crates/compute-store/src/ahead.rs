//! What is to happen before the prepaid time of a machine ends.

use async_trait::async_trait;
use compute_domain::id::InstanceId;
use compute_domain::money::{Hours, Usd};
use compute_domain::time::Timestamp;
use compute_engine::ports::{Ahead, AutoExtension, ExpiryNotice, StoreError};

use crate::row::{RowName, millis, moment};
use crate::statement::{execute, fetch};
use crate::tx::StoreTx;

const SET_NOTICE: &str = "INSERT INTO expiry_notices (instance_id, expires_at, hours_left, due_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (instance_id) DO UPDATE
SET expires_at = excluded.expires_at, hours_left = excluded.hours_left, due_at = excluded.due_at";

const CLEAR_NOTICE: &str = "DELETE FROM expiry_notices
WHERE instance_id = $1";

const FIND_NOTICE: &str = "SELECT expires_at, hours_left, due_at
FROM expiry_notices
WHERE instance_id = $1";

const DUE_NOTICES: &str = "SELECT instance_id
FROM expiry_notices
WHERE due_at <= $1
ORDER BY due_at, instance_id
LIMIT $2";

const SET_EXTENSION: &str = "INSERT INTO auto_extensions
    (instance_id, hours, max_total_micros, spent_micros, api_key_id, due_at, failures, told)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (instance_id) DO UPDATE
SET hours = excluded.hours, max_total_micros = excluded.max_total_micros,
    spent_micros = excluded.spent_micros, api_key_id = excluded.api_key_id,
    due_at = excluded.due_at, failures = excluded.failures, told = excluded.told";

const CLEAR_EXTENSION: &str = "DELETE FROM auto_extensions
WHERE instance_id = $1";

const FIND_EXTENSION: &str = "SELECT hours, max_total_micros, spent_micros, api_key_id, due_at,
    failures, told
FROM auto_extensions
WHERE instance_id = $1";

const DUE_EXTENSIONS: &str = "SELECT instance_id
FROM auto_extensions
WHERE due_at <= $1
ORDER BY due_at, instance_id
LIMIT $2";

#[derive(sqlx::FromRow)]
struct ExtensionRow {
    hours: i64,
    max_total_micros: i64,
    spent_micros: i64,
    api_key_id: Option<String>,
    due_at: Option<i64>,
    failures: i64,
    told: Option<String>,
}

impl ExtensionRow {
    fn parse(self, instance: InstanceId) -> Result<AutoExtension, StoreError> {
        let name = RowName::new("auto_extensions", &instance.to_string());
        let api_key = self.api_key_id.as_deref();
        let api_key = api_key.map(|text| name.text("api_key_id", text));
        let max_total = Usd::from_micros(self.max_total_micros);
        Ok(AutoExtension {
            instance,
            hours: name.check("hours", Hours::new(name.number("hours", self.hours)?))?,
            max_total: name.check("max_total_micros", max_total)?,
            spent: name.check("spent_micros", Usd::from_micros(self.spent_micros))?,
            api_key: api_key.transpose()?,
            due_at: moment(self.due_at),
            failures: name.number("failures", self.failures)?,
            told: self.told,
        })
    }
}

fn ids(table: &'static str, rows: Vec<(String,)>) -> Result<Vec<InstanceId>, StoreError> {
    let parse = |(id,): (String,)| RowName::new(table, &id).text("instance_id", &id);
    rows.into_iter().map(parse).collect()
}

#[async_trait]
impl Ahead for StoreTx {
    async fn set_expiry_notice(&mut self, notice: &ExpiryNotice) -> Result<(), StoreError> {
        let rows = execute!(
            self,
            "expiry_notices",
            SET_NOTICE,
            notice.instance.to_string(),
            notice.expires_at.millis(),
            i64::from(notice.hours_left),
            notice.due_at.millis(),
        )?;
        self.exactly_one("expiry_notices", rows)
    }

    async fn clear_expiry_notice(&mut self, instance: InstanceId) -> Result<(), StoreError> {
        let id = instance.to_string();
        execute!(self, "expiry_notices", CLEAR_NOTICE, id)?;
        Ok(())
    }

    async fn find_expiry_notice(
        &mut self,
        instance: InstanceId,
    ) -> Result<Option<ExpiryNotice>, StoreError> {
        let id = instance.to_string();
        let row: Option<(i64, i64, i64)> =
            fetch!(fetch_optional, self, "expiry_notices", FIND_NOTICE, &id)?;
        row.map(|(expires_at, hours_left, due_at)| {
            let name = RowName::new("expiry_notices", &id);
            Ok(ExpiryNotice {
                instance,
                expires_at: Timestamp::from_millis(expires_at),
                hours_left: name.number("hours_left", hours_left)?,
                due_at: Timestamp::from_millis(due_at),
            })
        })
        .transpose()
    }

    async fn list_due_notices(
        &mut self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<InstanceId>, StoreError> {
        let (now, limit) = (now.millis(), i64::from(limit));
        let rows: Vec<(String,)> =
            fetch!(fetch_all, self, "expiry_notices", DUE_NOTICES, now, limit)?;
        ids("expiry_notices", rows)
    }

    async fn set_auto_extension(&mut self, wish: &AutoExtension) -> Result<(), StoreError> {
        let rows = execute!(
            self,
            "auto_extensions",
            SET_EXTENSION,
            wish.instance.to_string(),
            i64::from(wish.hours.get()),
            wish.max_total.micros(),
            wish.spent.micros(),
            wish.api_key.map(|id| id.to_string()),
            millis(wish.due_at),
            i64::from(wish.failures),
            &wish.told,
        )?;
        self.exactly_one("auto_extensions", rows)
    }

    async fn clear_auto_extension(&mut self, instance: InstanceId) -> Result<(), StoreError> {
        let id = instance.to_string();
        execute!(self, "auto_extensions", CLEAR_EXTENSION, id)?;
        Ok(())
    }

    async fn find_auto_extension(
        &mut self,
        instance: InstanceId,
    ) -> Result<Option<AutoExtension>, StoreError> {
        let id = instance.to_string();
        let row: Option<ExtensionRow> =
            fetch!(fetch_optional, self, "auto_extensions", FIND_EXTENSION, id)?;
        row.map(|row| row.parse(instance)).transpose()
    }

    async fn list_due_extensions(
        &mut self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<InstanceId>, StoreError> {
        let (now, limit) = (now.millis(), i64::from(limit));
        let rows: Vec<(String,)> = fetch!(
            fetch_all,
            self,
            "auto_extensions",
            DUE_EXTENSIONS,
            now,
            limit
        )?;
        ids("auto_extensions", rows)
    }
}
