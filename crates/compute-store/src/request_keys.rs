//! The clients' names for their purchases.

use async_trait::async_trait;
use compute_domain::id::{OperationId, OwnerId};
use compute_domain::request_key::RequestKey;
use compute_domain::time::Timestamp;
use compute_engine::ports::{BoundKey, RequestKeys, StoreError};

use crate::row::RowName;
use crate::statement::{contended, execute, fetch};
use crate::tx::StoreTx;

const FIND: &str = "SELECT operation_id, request_sha256
FROM request_keys
WHERE owner_id = $1 AND request_key = $2";

/// A name that stands for something else is left alone. `$6` is the operation it may stand for.
const BIND: &str = "INSERT INTO request_keys
    (owner_id, request_key, request_sha256, operation_id, forget_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (owner_id, request_key) DO UPDATE
SET request_sha256 = excluded.request_sha256, operation_id = excluded.operation_id,
    forget_at = excluded.forget_at
WHERE request_keys.operation_id = $6";

const FORGET: &str = "DELETE FROM request_keys
WHERE (owner_id, request_key) IN (
    SELECT owner_id, request_key FROM request_keys
    WHERE forget_at <= $1
    ORDER BY forget_at
    LIMIT $2)";

#[async_trait]
impl RequestKeys for StoreTx {
    async fn find_request_key(
        &mut self,
        owner: OwnerId,
        key: &RequestKey,
    ) -> Result<Option<BoundKey>, StoreError> {
        let row: Option<(String, Vec<u8>)> = fetch!(
            fetch_optional,
            self,
            "request_keys",
            FIND,
            owner.to_string(),
            key.as_str(),
        )?;
        row.map(|(operation, digest)| {
            let name = RowName::new("request_keys", key.as_str());
            Ok(BoundKey {
                operation: name.text("operation_id", &operation)?,
                request_digest: name.digest("request_sha256", &digest)?,
            })
        })
        .transpose()
    }

    async fn bind_request_key(
        &mut self,
        owner: OwnerId,
        key: &RequestKey,
        bound: &BoundKey,
        replaces: Option<OperationId>,
        forget_at: Timestamp,
    ) -> Result<Option<BoundKey>, StoreError> {
        // The name in the way may be forgotten between the two statements, but not for ever.
        for _ in 0..8 {
            let rows = execute!(
                self,
                "request_keys",
                BIND,
                owner.to_string(),
                key.as_str(),
                bound.request_digest.as_slice(),
                bound.operation.to_string(),
                forget_at.millis(),
                replaces.map(|operation| operation.to_string()),
            )?;
            if rows == 1 {
                return Ok(None);
            }
            if let Some(other) = self.find_request_key(owner, key).await? {
                return Ok(Some(other));
            }
        }
        Err(self.fail(contended()))
    }

    async fn forget_request_keys(&mut self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let limit = i64::from(limit);
        execute!(self, "request_keys", FORGET, now.millis(), limit)
    }
}
