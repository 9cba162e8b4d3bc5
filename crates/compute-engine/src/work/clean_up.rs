//! The janitor: forgets what has served its time.

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::TxMode;

impl Engine {
    /// One round: forgets old nonces and old names of purchases, and erases passwords that nobody
    /// read in time.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn clean_up(&self) -> Result<(), Error> {
        let now = self.now();
        let mut tx = self.store.begin(TxMode::Write).await?;
        let nonces = tx.forget_nonces(now).await?;
        let names = tx.forget_request_keys(now).await?;
        let passwords = tx
            .expire_passwords(now.minus(self.timing().password_life), now)
            .await?;
        tx.commit().await?;
        if nonces + names + passwords > 0 {
            tracing::info!(
                nonces,
                names,
                passwords,
                "old nonces, names of purchases and unread passwords erased"
            );
        }
        Ok(())
    }
}
