//! API keys: never their text, only a keyed hash of it.

use async_trait::async_trait;
use compute_domain::id::{ApiKeyId, OwnerId};
use compute_domain::owner::ApiKey;
use compute_domain::text::Label;
use compute_domain::time::Timestamp;
use compute_engine::ports::{ApiKeys, StoreError};

use crate::dialect::LOCK_OWNER;
use crate::row::{RowName, millis, moment};
use crate::statement::{execute, fetch};
use crate::tx::StoreTx;

macro_rules! api_key_columns {
    () => {
        "id, owner_id, label, last4, created_at, revoked_at"
    };
}

const COUNT_LIVE: &str = "SELECT COUNT(*)
FROM api_keys
WHERE owner_id = $1 AND revoked_at IS NULL";

const INSERT: &str = "INSERT INTO api_keys
    (id, owner_id, label, last4, created_at, revoked_at, key_mac)
VALUES ($1, $2, $3, $4, $5, $6, $7)";

const FIND_BY_MAC: &str = concat!(
    "SELECT ",
    api_key_columns!(),
    "
FROM api_keys
WHERE key_mac = $1"
);

const LIST: &str = concat!(
    "SELECT ",
    api_key_columns!(),
    "
FROM api_keys
WHERE owner_id = $1
ORDER BY created_at DESC, id DESC"
);

const REVOKE: &str = concat!(
    "UPDATE api_keys
SET revoked_at = COALESCE(revoked_at, $3)
WHERE id = $1 AND owner_id = $2
RETURNING ",
    api_key_columns!()
);

#[derive(sqlx::FromRow)]
struct ApiKeyRow {
    id: String,
    owner_id: String,
    label: Option<String>,
    last4: String,
    created_at: i64,
    revoked_at: Option<i64>,
}

impl ApiKeyRow {
    fn parse(self) -> Result<ApiKey, StoreError> {
        let name = RowName::new("api_keys", &self.id);
        let label = self
            .label
            .map(|label| name.check("label", Label::parse(&label)));
        Ok(ApiKey {
            id: name.text("id", &self.id)?,
            owner: name.text("owner_id", &self.owner_id)?,
            label: label.transpose()?,
            last4: self.last4,
            created_at: Timestamp::from_millis(self.created_at),
            revoked_at: moment(self.revoked_at),
        })
    }
}

#[async_trait]
impl ApiKeys for StoreTx {
    async fn insert_api_key(
        &mut self,
        api_key: &ApiKey,
        mac: &[u8; 32],
        limit: u32,
    ) -> Result<bool, StoreError> {
        let owner = api_key.owner.to_string();
        // Counting is only right while nobody else adds: the owner's row is the lock.
        let _: Option<(String,)> = fetch!(fetch_optional, self, "owners", LOCK_OWNER, &owner)?;
        let (live,): (i64,) = fetch!(fetch_one, self, "api_keys", COUNT_LIVE, &owner)?;
        if live >= i64::from(limit) {
            return Ok(false);
        }
        let rows = execute!(
            self,
            "api_keys",
            INSERT,
            api_key.id.to_string(),
            owner,
            api_key.label.as_ref().map(Label::as_str),
            &api_key.last4,
            api_key.created_at.millis(),
            millis(api_key.revoked_at),
            mac.as_slice(),
        )?;
        self.exactly_one("api_keys", rows)?;
        Ok(true)
    }

    async fn find_api_key(&mut self, mac: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        let row: Option<ApiKeyRow> = fetch!(
            fetch_optional,
            self,
            "api_keys",
            FIND_BY_MAC,
            mac.as_slice()
        )?;
        row.map(ApiKeyRow::parse).transpose()
    }

    async fn list_api_keys(&mut self, owner: OwnerId) -> Result<Vec<ApiKey>, StoreError> {
        let rows: Vec<ApiKeyRow> = fetch!(fetch_all, self, "api_keys", LIST, owner.to_string())?;
        rows.into_iter().map(ApiKeyRow::parse).collect()
    }

    async fn revoke_api_key(
        &mut self,
        owner: OwnerId,
        id: ApiKeyId,
        now: Timestamp,
    ) -> Result<Option<ApiKey>, StoreError> {
        let row: Option<ApiKeyRow> = fetch!(
            fetch_optional,
            self,
            "api_keys",
            REVOKE,
            id.to_string(),
            owner.to_string(),
            now.millis(),
        )?;
        row.map(ApiKeyRow::parse).transpose()
    }
}
