//! Forgets what has served its time.

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::TxMode;

impl Engine {
    /// One round: forgets old nonces and erases passwords that nobody read in time.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn clean_up(&self) -> Result<(), Error> {
        let now = self.now();
        let mut tx = self.store.begin(TxMode::Write).await?;
        let nonces = tx.forget_nonces(now).await?;
        let passwords = tx
            .expire_passwords(now.minus(self.timing().password_life), now)
            .await?;
        tx.commit().await?;
        if nonces + passwords > 0 {
            tracing::info!(nonces, passwords, "old nonces and unread passwords erased");
        }
        Ok(())
    }
}
