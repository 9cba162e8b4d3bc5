//! Root passwords: sealed, and readable once.

use async_trait::async_trait;
use compute_domain::id::InstanceId;
use compute_domain::time::Timestamp;
use compute_engine::ports::{StoreError, TakenPassword, Vault};

use crate::row::RowName;
use crate::statement::{Refusal, execute, fetch, rejected};
use crate::tx::StoreTx;

/// An unread password gives way to a later one; a taken one never becomes readable again.
const STORE: &str = "INSERT INTO root_passwords (instance_id, sealed, stored_at)
VALUES ($1, $2, $3)
ON CONFLICT (instance_id) DO UPDATE
SET sealed = excluded.sealed, stored_at = excluded.stored_at
WHERE root_passwords.taken_at IS NULL";

/// A machine that was set up anew has another password than the one that may have been taken. Written
/// twice, the second one changes nothing, so that it is read once.
const REPLACE: &str = "INSERT INTO root_passwords (instance_id, sealed, stored_at)
VALUES ($1, $2, $3)
ON CONFLICT (instance_id) DO UPDATE
SET sealed = excluded.sealed, stored_at = excluded.stored_at, taken_at = NULL
WHERE root_passwords.stored_at < excluded.stored_at";

/// The one that changes the row has won; only then is the value read, because `RETURNING` would
/// show the row as it is afterwards.
const MARK_TAKEN: &str = "UPDATE root_passwords
SET taken_at = $2
WHERE instance_id = $1 AND taken_at IS NULL";

const READ_SEALED: &str = "SELECT sealed
FROM root_passwords
WHERE instance_id = $1";

const ERASE_TAKEN: &str = "UPDATE root_passwords
SET sealed = NULL
WHERE instance_id = $1";

/// The mark that one was taken stays.
const ERASE_UNREAD: &str = "DELETE FROM root_passwords
WHERE instance_id = $1 AND taken_at IS NULL";

const EXPIRE: &str = "UPDATE root_passwords
SET sealed = NULL, taken_at = $2
WHERE taken_at IS NULL AND stored_at < $1";

#[async_trait]
impl Vault for StoreTx {
    async fn store_password(
        &mut self,
        instance: InstanceId,
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let id = instance.to_string();
        let rows = execute!(self, "root_passwords", STORE, id, sealed, now.millis())?;
        if rows == 0 {
            return Err(self.fail(rejected(Refusal::PasswordTaken)));
        }
        Ok(())
    }

    async fn replace_password(
        &mut self,
        instance: InstanceId,
        sealed: &[u8],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let id = instance.to_string();
        execute!(self, "root_passwords", REPLACE, id, sealed, at.millis()).map(|_| ())
    }

    async fn take_password(
        &mut self,
        instance: InstanceId,
        now: Timestamp,
    ) -> Result<TakenPassword, StoreError> {
        let id = instance.to_string();
        let won = execute!(self, "root_passwords", MARK_TAKEN, &id, now.millis())? == 1;
        let row: Option<(Option<Vec<u8>>,)> =
            fetch!(fetch_optional, self, "root_passwords", READ_SEALED, &id)?;
        match (won, row) {
            (true, Some((Some(sealed),))) => {
                let rows = execute!(self, "root_passwords", ERASE_TAKEN, &id)?;
                self.exactly_one("root_passwords", rows)?;
                Ok(TakenPassword::Sealed(sealed))
            }
            (true, _) => Err(self.fail(RowName::new("root_passwords", &id).bad("sealed"))),
            (false, Some(_)) => Ok(TakenPassword::AlreadyTaken),
            (false, None) => Ok(TakenPassword::None),
        }
    }

    async fn erase_password(&mut self, instance: InstanceId) -> Result<(), StoreError> {
        // No row is no fault: there was none, or it was taken.
        execute!(self, "root_passwords", ERASE_UNREAD, instance.to_string()).map(|_| ())
    }

    async fn expire_passwords(
        &mut self,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        execute!(
            self,
            "root_passwords",
            EXPIRE,
            before.millis(),
            now.millis()
        )
    }
}
