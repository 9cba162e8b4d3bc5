//! The clients' names for their purchases.

use async_trait::async_trait;
use compute_domain::id::OperationId;
use compute_domain::request_key::RequestKey;
use compute_domain::time::Timestamp;
use compute_engine::ports::{BoundKey, NameScope, RequestKeys, StoreError};

use crate::row::RowName;
use crate::statement::{contended, execute, fetch};
use crate::tx::StoreTx;

/// The statements for the names of one kind of scope: which table, and the column of whose they are.
macro_rules! names {
    ($table:literal, $whose:literal) => {
        Names {
            find: concat!(
                "SELECT operation_id, request_sha256
FROM ",
                $table,
                "
WHERE ",
                $whose,
                " = $1 AND request_key = $2"
            ),
            bind: concat!(
                "INSERT INTO ",
                $table,
                "
    (",
                $whose,
                ", request_key, request_sha256, operation_id, forget_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (",
                $whose,
                ", request_key) DO UPDATE
SET request_sha256 = excluded.request_sha256, operation_id = excluded.operation_id,
    forget_at = excluded.forget_at
WHERE ",
                $table,
                ".operation_id = $6"
            ),
            forget: concat!(
                "DELETE FROM ",
                $table,
                "
WHERE (",
                $whose,
                ", request_key) IN (
    SELECT ",
                $whose,
                ", request_key FROM ",
                $table,
                "
    WHERE forget_at <= $1
    ORDER BY forget_at
    LIMIT $2)"
            ),
        }
    };
}

struct Names {
    find: &'static str,
    /// A name that stands for something else is left alone. `$6` is the operation it may stand for.
    bind: &'static str,
    forget: &'static str,
}

const OF_OWNERS: Names = names!("request_keys", "owner_id");
const OF_PAYERS: Names = names!("payer_request_keys", "payer");

/// The statements for a scope, and whose it is.
fn names_of(scope: NameScope) -> (&'static Names, String) {
    match scope {
        NameScope::Owner(owner) => (&OF_OWNERS, owner.to_string()),
        NameScope::Payer(wallet) => (&OF_PAYERS, wallet.to_string()),
    }
}

#[async_trait]
impl RequestKeys for StoreTx {
    async fn find_request_key(
        &mut self,
        scope: NameScope,
        key: &RequestKey,
    ) -> Result<Option<BoundKey>, StoreError> {
        let (names, whose) = names_of(scope);
        let row: Option<(String, Vec<u8>)> = fetch!(
            fetch_optional,
            self,
            "request_keys",
            names.find,
            whose,
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
        scope: NameScope,
        key: &RequestKey,
        bound: &BoundKey,
        replaces: Option<OperationId>,
        forget_at: Timestamp,
    ) -> Result<Option<BoundKey>, StoreError> {
        let (names, whose) = names_of(scope);
        // The name in the way may be forgotten between the two statements, but not for ever.
        for _ in 0..8 {
            let rows = execute!(
                self,
                "request_keys",
                names.bind,
                &whose,
                key.as_str(),
                bound.request_digest.as_slice(),
                bound.operation.to_string(),
                forget_at.millis(),
                replaces.map(|operation| operation.to_string()),
            )?;
            if rows == 1 {
                return Ok(None);
            }
            if let Some(other) = self.find_request_key(scope, key).await? {
                return Ok(Some(other));
            }
        }
        Err(self.fail(contended()))
    }

    async fn forget_request_keys(&mut self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let (now, limit) = (now.millis(), i64::from(limit));
        let mut forgotten: u64 = 0;
        for names in [&OF_OWNERS, &OF_PAYERS] {
            let left = limit.saturating_sub(i64::try_from(forgotten).unwrap_or(limit));
            let rows = execute!(self, "request_keys", names.forget, now, left)?;
            forgotten = forgotten.saturating_add(rows);
        }
        Ok(forgotten)
    }
}
