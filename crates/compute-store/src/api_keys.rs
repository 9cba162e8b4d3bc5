//! API keys: never their text, only a keyed hash of it.

use async_trait::async_trait;
use compute_domain::id::{ApiKeyId, OwnerId};
use compute_domain::money::Usd;
use compute_domain::owner::{ApiKey, Scopes};
use compute_domain::request_key::RequestKey;
use compute_domain::text::Label;
use compute_domain::time::Timestamp;
use compute_engine::ports::{ApiKeys, FoundKey, KeyStored, StoreError};

use crate::dialect::LOCK_OWNER;
use crate::row::{RowName, millis, moment};
use crate::statement::{execute, fetch};
use crate::tx::StoreTx;

macro_rules! api_key_columns {
    () => {
        "id, owner_id, label, last4, scopes, budget_micros, spent_micros, created_at, expires_at,
    revoked_at"
    };
}

const COUNT_LIVE: &str = "SELECT COUNT(*)
FROM api_keys
WHERE owner_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)";

const INSERT: &str = concat!(
    "INSERT INTO api_keys (",
    api_key_columns!(),
    ", key_mac, request_key)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
);

const FIND_BY_NAME: &str = concat!(
    "SELECT ",
    api_key_columns!(),
    "
FROM api_keys
WHERE owner_id = $1 AND request_key = $2"
);

const FIND_BY_MAC: &str = concat!(
    "SELECT ",
    api_key_columns!(),
    ", (SELECT COUNT(*) FROM management_keys
        WHERE management_keys.api_key_id = api_keys.id AND sealed IS NOT NULL) AS texts
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

const COUNT_THIS_LIVE: &str = "SELECT COUNT(*)
FROM api_keys
WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)";

const CHARGE: &str = "UPDATE api_keys
SET spent_micros = spent_micros + $2
WHERE id = $1 AND (budget_micros IS NULL OR spent_micros + $2 <= budget_micros)
    AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3)";

const UNCHARGE: &str = "UPDATE api_keys
SET spent_micros = spent_micros - $2
WHERE id = $1 AND spent_micros >= $2";

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
    scopes: String,
    budget_micros: Option<i64>,
    spent_micros: i64,
    created_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct FoundRow {
    #[sqlx(flatten)]
    api_key: ApiKeyRow,
    texts: i64,
}

impl ApiKeyRow {
    fn parse(self) -> Result<ApiKey, StoreError> {
        let name = RowName::new("api_keys", &self.id);
        let label = self
            .label
            .map(|label| name.check("label", Label::parse(&label)));
        let budget = self
            .budget_micros
            .map(|micros| name.check("budget_micros", Usd::from_micros(micros)));
        Ok(ApiKey {
            id: name.text("id", &self.id)?,
            owner: name.text("owner_id", &self.owner_id)?,
            label: label.transpose()?,
            last4: self.last4,
            scopes: name.check("scopes", Scopes::parse(&self.scopes))?,
            budget: budget.transpose()?,
            spent: name.check("spent_micros", Usd::from_micros(self.spent_micros))?,
            created_at: Timestamp::from_millis(self.created_at),
            expires_at: moment(self.expires_at),
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
        name: Option<&RequestKey>,
        limit: u32,
    ) -> Result<KeyStored, StoreError> {
        let owner = api_key.owner.to_string();
        // Counting is only right while nobody else adds: the owner's row is the lock.
        let _: Option<(String,)> = fetch!(fetch_optional, self, "owners", LOCK_OWNER, &owner)?;
        if let Some(name) = name {
            let row: Option<ApiKeyRow> = fetch!(
                fetch_optional,
                self,
                "api_keys",
                FIND_BY_NAME,
                &owner,
                name.as_str()
            )?;
            if let Some(row) = row {
                return Ok(KeyStored::Before(Box::new(row.parse()?)));
            }
        }
        // A new key is made now, and what has expired by now is not live.
        let now = api_key.created_at.millis();
        let (live,): (i64,) = fetch!(fetch_one, self, "api_keys", COUNT_LIVE, &owner, now)?;
        if live >= i64::from(limit) {
            return Ok(KeyStored::Full);
        }
        let rows = execute!(
            self,
            "api_keys",
            INSERT,
            api_key.id.to_string(),
            owner,
            api_key.label.as_ref().map(Label::as_str),
            &api_key.last4,
            api_key.scopes.to_string(),
            api_key.budget.map(Usd::micros),
            api_key.spent.micros(),
            now,
            millis(api_key.expires_at),
            millis(api_key.revoked_at),
            mac.as_slice(),
            name.map(RequestKey::as_str),
        )?;
        self.exactly_one("api_keys", rows)?;
        Ok(KeyStored::New)
    }

    async fn find_api_key(&mut self, mac: &[u8; 32]) -> Result<Option<FoundKey>, StoreError> {
        let row: Option<FoundRow> = fetch!(
            fetch_optional,
            self,
            "api_keys",
            FIND_BY_MAC,
            mac.as_slice()
        )?;
        let Some(row) = row else {
            return Ok(None);
        };
        Ok(Some(FoundKey {
            is_text_kept: row.texts > 0,
            api_key: row.api_key.parse()?,
        }))
    }

    async fn list_api_keys(&mut self, owner: OwnerId) -> Result<Vec<ApiKey>, StoreError> {
        let rows: Vec<ApiKeyRow> = fetch!(fetch_all, self, "api_keys", LIST, owner.to_string())?;
        rows.into_iter().map(ApiKeyRow::parse).collect()
    }

    async fn is_api_key_live(&mut self, id: ApiKeyId, now: Timestamp) -> Result<bool, StoreError> {
        let (id, now) = (id.to_string(), now.millis());
        let (live,): (i64,) = fetch!(fetch_one, self, "api_keys", COUNT_THIS_LIVE, id, now)?;
        Ok(live == 1)
    }

    async fn charge_api_key(
        &mut self,
        id: ApiKeyId,
        amount: Usd,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let id = id.to_string();
        let (amount, now) = (amount.micros(), now.millis());
        let rows = execute!(self, "api_keys", CHARGE, id, amount, now)?;
        Ok(rows == 1)
    }

    async fn uncharge_api_key(&mut self, id: ApiKeyId, amount: Usd) -> Result<(), StoreError> {
        let id = id.to_string();
        let rows = execute!(self, "api_keys", UNCHARGE, id, amount.micros())?;
        self.exactly_one("api_keys", rows)
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
