//! The janitor: forgets what has served its time.

use compute_domain::time::{Span, Timestamp};

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::TxMode;

/// How many rows of a kind one transaction deletes: nobody waits long for it.
const BATCH: u32 = 2_000;

/// The same for keys, which go one by one.
const KEY_BATCH: u32 = 200;

/// How long it stays known what became of a transaction of ours on a chain: longer than a buyer, a
/// payment network or an accountant takes to ask.
const SENT_LIFE: Span = Span::from_hours(90 * 24);

/// How long the delivery logs of webhooks reach back: somebody looks for what failed, and then mends it.
const DELIVERY_LIFE: Span = Span::from_hours(7 * 24);

impl Engine {
    /// One round: forgets old nonces, old names of purchases, old events, what was sent to a chain and
    /// concluded long ago, old destructions, and keys to purchases that came to nothing; and erases passwords that
    /// nobody read in time, and texts of management keys that nobody used.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn clean_up(&self) -> Result<(), Error> {
        let now = self.now();
        while self.clean_up_some(now).await? {}
        // A window more than the guard looks back, whatever a replica's clock says. On its own, because
        // the guard holds these rows while it waits for others.
        let window = self.timing().guard_window;
        let mut tx = self.store.begin(TxMode::Write).await?;
        tx.forget_unasked_destructions(now.minus(window).minus(window))
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Says whether there may be more.
    async fn clean_up_some(&self, now: Timestamp) -> Result<bool, Error> {
        let timing = self.timing();
        let mut tx = self.store.begin(TxMode::Write).await?;
        let nonces = tx.forget_nonces(now, BATCH).await?;
        let names = tx.forget_request_keys(now, BATCH).await?;
        let sent = tx
            .forget_chain_transactions(now.minus(SENT_LIFE), BATCH)
            .await?;
        let events = tx
            .forget_owner_events(now.minus(timing.event_life), BATCH)
            .await?;
        let deliveries = tx
            .forget_deliveries(now.minus(DELIVERY_LIFE), BATCH)
            .await?;
        let passwords = tx
            .expire_passwords(now.minus(timing.password_life), now)
            .await?;
        let unused = now.minus(timing.management_key_life);
        let vain = tx.forget_vain_keys(unused, KEY_BATCH).await?;
        // What has no text any more counts as used.
        let is_left = vain >= u64::from(KEY_BATCH);
        let keys = if is_left {
            0
        } else {
            tx.expire_management_keys(unused).await?
        };
        tx.commit().await?;
        if nonces + names + sent + events + deliveries + passwords + vain + keys > 0 {
            tracing::info!(
                nonces,
                names,
                sent,
                events,
                deliveries,
                passwords,
                vain,
                keys,
                "old nonces, names of purchases, chain transactions, events, deliveries, unread passwords, \
                 keys to nothing and texts of unused management keys erased"
            );
        }
        Ok(is_left || nonces.max(names).max(sent).max(events).max(deliveries) >= u64::from(BATCH))
    }
}
