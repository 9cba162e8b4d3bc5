//! Looks ahead: extends machines from credits whose owners want that, and tells the others in time that
//! theirs come to an end.

use compute_domain::event::EventKind;
use compute_domain::id::{InstanceId, OperationId, TransferId};
use compute_domain::instance::{Instance, InstanceState};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::money::Usd;
use compute_domain::operation::CreditsSpent;
use compute_domain::payment::RailLabel;
use compute_domain::time::Span;
use serde_json::json;

use crate::ahead::{hours_left, next_notice};
use crate::catalog::Shelf;
use crate::challenges::RequestFacts;
use crate::engine::Engine;
use crate::error::Error;
use crate::events::Told;
use crate::identity::Caller;
use crate::offer::OfferSheet;
use crate::ports::{AutoExtension, Posted, Tx, TxMode};
use crate::purchase::Purchase;
use crate::subject::{Opened, Priced, Subject};
use crate::work::refusal::{Refusal, SHORTEST_PAUSE, next_try};

/// How many machines one round looks at, of each kind.
const BATCH: u32 = 50;

/// So long before its end a machine waits no more for the price of the moment.
const LAST_HOUR: Span = Span::from_hours(1);

/// What came of a try.
enum Tried {
    Extended,
    /// It was refused, or is not due any more.
    NotNow,
    /// There is a quarantine: nothing is extended.
    Quarantined,
}

/// What is not there yet is looked at again; what is gone is not.
const fn not_active(instance: &Instance) -> Refusal {
    match instance.state {
        InstanceState::Pending | InstanceState::Provisioning(_) => Refusal::Busy,
        _ => Refusal::Over,
    }
}

impl Engine {
    /// One round. Says how many machines it extended.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn look_ahead(&self) -> Result<usize, Error> {
        let extended = self.extend_due().await?;
        self.tell_of_ends().await?;
        Ok(extended)
    }

    async fn extend_due(&self) -> Result<usize, Error> {
        let shelf = self.shelf().ok();
        let mut tx = self.store.begin(TxMode::Read).await?;
        let due = tx.list_due_extensions(self.now(), BATCH).await?;
        tx.rollback().await?;
        if shelf.is_none() && !due.is_empty() {
            tracing::warn!(
                due = due.len(),
                "no catalogue: what ends within the hour is extended at its own rate, the rest waits"
            );
        }
        let mut extended = 0;
        for id in due {
            match self.extend_by_itself(id, shelf.as_deref()).await {
                Ok(Tried::Extended) => extended += 1,
                Ok(Tried::NotNow) => {}
                Ok(Tried::Quarantined) => break,
                // One that cannot be read must not keep the others from theirs.
                Err(error @ Error::Internal(_)) => tracing::error!(
                    instance.id = %id, error = %error, "a machine was not extended by itself"
                ),
                Err(error) => return Err(error),
            }
        }
        Ok(extended)
    }

    async fn extend_by_itself(
        &self,
        id: InstanceId,
        shelf: Option<&Shelf>,
    ) -> Result<Tried, Error> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        let Some((instance, wish)) = self.due_wish(tx.as_mut(), id).await? else {
            tx.commit().await?;
            return Ok(Tried::NotNow);
        };
        // The database may be older than the world: whoever paid for more time is not known here.
        if let Some(quarantine) = tx.find_quarantine().await? {
            tx.rollback().await?;
            tracing::warn!(
                instance.id = %id, quarantine.since = %quarantine.since.rfc3339(),
                "nothing is extended by itself in quarantine; waiting"
            );
            return Ok(Tried::Quarantined);
        }
        match self
            .try_extension(tx.as_mut(), &instance, &wish, shelf)
            .await?
        {
            Ok(price) => {
                tx.commit().await?;
                tracing::info!(
                    instance.id = %id, owner.id = %instance.owner, %price, "extended by itself"
                );
                Ok(Tried::Extended)
            }
            Err(refusal) => {
                // What was written before it was refused.
                tx.rollback().await?;
                self.note_refusal(&wish, &refusal).await?;
                Ok(Tried::NotNow)
            }
        }
    }

    /// What is to be extended now, under the lock of its instance. When its end was moved by a replica
    /// that does not know wishes, it is planned anew, and nothing is due; the caller must commit.
    async fn due_wish(
        &self,
        tx: &mut dyn Tx,
        id: InstanceId,
    ) -> Result<Option<(Instance, AutoExtension)>, Error> {
        let Some(instance) = tx.lock_instance(id).await? else {
            return Ok(None);
        };
        let wish = tx.find_auto_extension(id).await?;
        let now = self.now();
        let Some(wish) = wish.filter(|wish| wish.due_at.is_some_and(|at| at <= now)) else {
            return Ok(None);
        };
        if let InstanceState::Active(placement) = &instance.state {
            let planned = wish.planned(&instance, placement.expires_at);
            if planned.due_at.is_some_and(|at| at > now) {
                tx.set_auto_extension(&planned).await?;
                return Ok(None);
            }
        }
        Ok(Some((instance, wish)))
    }

    /// Debits, extends, and tells. The inner error is a refusal; the caller must roll back then.
    async fn try_extension(
        &self,
        tx: &mut dyn Tx,
        instance: &Instance,
        wish: &AutoExtension,
        shelf: Option<&Shelf>,
    ) -> Result<Result<Usd, Refusal>, Error> {
        let watched = tx.find_watched(instance.id).await?;
        if watched.is_some_and(|watched| watched.misses >= self.timing().lost_looks) {
            // Its owner may get back what is left: the watcher or a human decides.
            return Ok(Err(Refusal::Busy));
        }
        let blocked = &self.config.sales.blocked_payers;
        if !blocked.is_empty() {
            let wallets = tx.wallets_of(instance.owner).await?;
            if wallets.iter().any(|wallet| blocked.contains(wallet)) {
                return Ok(Err(Refusal::Refused));
            }
        }
        let priced = match self.price_of_time(instance, wish.hours, shelf) {
            Ok(priced) => priced,
            Err(Error::WrongState { .. }) => return Ok(Err(not_active(instance))),
            Err(error) => return Err(error),
        };
        let last_hour = instance.expires_at().minus(LAST_HOUR);
        if shelf.is_none() && self.now() < last_hour {
            return Ok(Err(Refusal::Busy));
        }
        let required = priced.price;
        let left = wish.max_total.checked_sub(wish.spent).unwrap_or_default();
        if required > left {
            return Ok(Err(Refusal::CapReached { required, left }));
        }
        let balance = tx.lock_credits(instance.owner).await?;
        if balance < required {
            return Ok(Err(Refusal::TooFewCredits { required, balance }));
        }
        if let Some(api_key) = wish.api_key
            && let Err(refusal) = self
                .charge_key(tx, instance.owner, api_key, required)
                .await?
        {
            return match refusal {
                Error::BudgetExceeded { required, .. } => Ok(Err(Refusal::OverBudget { required })),
                Error::Unauthenticated(_) => Ok(Err(Refusal::KeyEnded)),
                error => Err(error),
            };
        }
        self.extend_from_credits(tx, instance, wish, priced).await
    }

    /// The ordinary extension with credits, opened and done in the caller's transaction.
    async fn extend_from_credits(
        &self,
        tx: &mut dyn Tx,
        instance: &Instance,
        wish: &AutoExtension,
        priced: Priced,
    ) -> Result<Result<Usd, Refusal>, Error> {
        // No rail is asked for: credits pay.
        let network =
            RailLabel::parse("credits").map_err(|error| Error::Internal(Box::new(error)))?;
        let subject = Subject::Time {
            instance: Box::new(instance.clone()),
            hours: wish.hours,
            network: &network,
        };
        let purchase = Purchase {
            caller: &Caller::Anonymous,
            digest: subject.digest(),
            subject,
            request_keys: Vec::new(),
            max_total: None,
            resource_url: String::new(),
            facts: RequestFacts::default(),
            gate: None,
        };
        let spent = CreditsSpent {
            amount: priced.price,
            api_key: wish.api_key,
        };
        let sheet = OfferSheet::without_offers(priced, "", &network);
        let opened = self
            .open(tx, &purchase, instance.owner, &sheet, Some(spent))
            .await;
        let Opened { operation, lease } = match opened {
            Ok(opened) => opened,
            Err(Error::OperationInProgress { .. }) => return Ok(Err(Refusal::Busy)),
            Err(Error::WrongState { .. }) => return Ok(Err(Refusal::Over)),
            Err(error) => return Err(error),
        };
        let now = self.now();
        let transfer = Transfer {
            id: TransferId::generate(now, self.entropy.as_ref()),
            debit: Account::Credits(instance.owner),
            credit: Account::Sales,
            amount: spent.amount,
            reason: TransferReason::Spend,
            cause: operation.id.into(),
            created_at: now,
        };
        if self.post(tx, &transfer, Some(instance.id)).await? != Posted::New {
            // The account is locked and holds enough, and the operation is new.
            return Err(Error::Internal("credits vanished under a lock".into()));
        }
        let operation = self.finish_extension(tx, operation, &lease).await?;
        tx.release_lease(&lease).await?;
        self.count_extension(tx, wish, operation.id, spent.amount)
            .await?;
        Ok(Ok(spent.amount))
    }

    /// Charges the cap with an extension that was just written, and tells of it.
    async fn count_extension(
        &self,
        tx: &mut dyn Tx,
        wish: &AutoExtension,
        operation: OperationId,
        price: Usd,
    ) -> Result<(), Error> {
        let missing = || Error::Internal("an extension without its instance".into());
        let longer = tx.find_instance(wish.instance).await?.ok_or_else(missing)?;
        // The extension has planned the next one.
        let planned = tx.find_auto_extension(wish.instance).await?;
        let mut planned = planned.unwrap_or_else(|| wish.clone());
        let total = planned.spent.checked_add(price);
        planned.spent = total.map_err(|error| Error::Internal(Box::new(error)))?;
        tx.set_auto_extension(&planned).await?;
        let data = json!({
            "hours": wish.hours.get(), "price_usd": price.to_string(),
            "expires_at": longer.expires_at().rfc3339(),
            "spent_usd": planned.spent.to_string(), "max_total_usd": planned.max_total.to_string(),
        });
        let told = Told::new(EventKind::InstanceAutoExtended, data);
        self.tell(tx, longer.owner, Some(longer.id), Some(operation), told);
        Ok(())
    }

    /// Plans the next try, and tells the owner of a reason it has not heard yet.
    async fn note_refusal(&self, tried: &AutoExtension, refusal: &Refusal) -> Result<(), Error> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        let Some((instance, mut wish)) = self.due_wish(tx.as_mut(), tried.instance).await? else {
            return Ok(tx.commit().await?);
        };
        let now = self.now();
        wish.due_at = match refusal {
            Refusal::Over => None,
            Refusal::Busy => Some(now.plus(SHORTEST_PAUSE)),
            _ => Some(next_try(&wish, instance.expires_at(), now)),
        };
        if let Some((reason, mut data, what_to_do)) = refusal.told() {
            wish.failures = wish.failures.saturating_add(1);
            if wish.told.as_deref() != Some(reason) {
                wish.told = Some(reason.to_owned());
                if let Some(members) = data.as_object_mut() {
                    let end = instance.expires_at().rfc3339();
                    members.insert("reason".to_owned(), json!(reason));
                    members.insert("what_to_do".to_owned(), json!(what_to_do));
                    members.insert("expires_at".to_owned(), json!(end));
                }
                let told = Told::new(EventKind::InstanceAutoExtendFailed, data);
                self.tell(tx.as_mut(), instance.owner, Some(instance.id), None, told);
            }
        }
        tx.set_auto_extension(&wish).await?;
        Ok(tx.commit().await?)
    }

    async fn tell_of_ends(&self) -> Result<(), Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let due = tx.list_due_notices(self.now(), BATCH).await?;
        tx.rollback().await?;
        for id in due {
            match self.tell_of_end(id).await {
                Ok(()) => {}
                Err(error @ Error::Internal(_)) => tracing::error!(
                    instance.id = %id, error = %error, "an owner was not told of an end"
                ),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Tells of the end as it is now, once: a server that was away for long says only what is still
    /// true, and the next notice is planned in the same transaction.
    async fn tell_of_end(&self, id: InstanceId) -> Result<(), Error> {
        let now = self.now();
        let mut tx = self.store.begin(TxMode::Write).await?;
        let instance = tx.lock_instance(id).await?;
        let notice = tx.find_expiry_notice(id).await?;
        let (Some(instance), Some(_)) = (instance, notice.filter(|notice| notice.due_at <= now))
        else {
            return Ok(tx.rollback().await?);
        };
        let end = match &instance.state {
            InstanceState::Active(placement) => Some(placement.expires_at),
            _ => None,
        };
        let left = end.and_then(|end| Some((end, hours_left(end, now)?)));
        if let Some((end, hours)) = left {
            let is_on = tx.find_auto_extension(id).await?.is_some();
            let data = json!({
                "hours_left": hours, "expires_at": end.rfc3339(), "auto_extend": is_on,
            });
            let told = Told::new(EventKind::InstanceExpiring, data);
            self.tell(tx.as_mut(), instance.owner, Some(id), None, told);
        }
        match end.and_then(|end| next_notice(&instance, end, now)) {
            Some(next) => tx.set_expiry_notice(&next).await?,
            None => tx.clear_expiry_notice(id).await?,
        }
        Ok(tx.commit().await?)
    }
}
