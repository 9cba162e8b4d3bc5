//! Credits: what an owner has, and buying with them.

use compute_domain::WalletAddress;
use compute_domain::id::{ApiKeyId, OperationId, OwnerId, TransferId};
use compute_domain::ledger::{Account, CreditAccount, Transfer, TransferReason};
use compute_domain::money::Usd;
use compute_domain::operation::{CreditsSpent, Operation, OperationState};
use compute_domain::owner::Scope;
use compute_domain::time::Span;

use crate::engine::Engine;
use crate::error::{AuthFailure, Error};
use crate::identity::Caller;
use crate::names::Named;
use crate::offer::OfferSheet;
use crate::ports::{Lease, Posted, StoreError, Tx, TxMode};
use crate::purchase::{Purchase, Submitted};
use crate::stock::Need;
use crate::subject::{Opened, Priced, Subject};

/// What an owner has in credits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// The caller's wallet, or the owner's first; an owner may have none.
    pub wallet: Option<WalletAddress>,
    /// The account.
    pub account: CreditAccount,
}

impl Engine {
    /// The caller's credits.
    ///
    /// # Errors
    /// `Unauthenticated` for an anonymous caller or a spent nonce, `ScopeMissing` for a key that may
    /// not read.
    pub async fn balance(&self, caller: &Caller) -> Result<Balance, Error> {
        caller.require(Scope::Read)?;
        let (mut tx, owner) = self.open_to_read(caller).await?;
        let account = match owner {
            Some(owner) => tx.credits_of(owner).await?,
            None => CreditAccount::default(),
        };
        let wallet = match (caller, owner) {
            (Caller::Wallet(wallet), _) => Some(wallet.address),
            (_, Some(owner)) => tx.wallets_of(owner).await?.into_iter().next(),
            _ => None,
        };
        tx.commit().await?;
        Ok(Balance { wallet, account })
    }

    /// Buys with the caller's credits. The debit, the operation and everything bought are one
    /// transaction; a signature's nonce is spent in any case (decisions.md 23).
    pub(crate) async fn buy_with_credits(
        &self,
        purchase: &Purchase<'_>,
    ) -> Result<Submitted, Error> {
        if matches!(purchase.caller, Caller::Anonymous) {
            return Err(AuthFailure::Required.into());
        }
        self.refresh_stock(&purchase.subject, Need::Sale).await;
        // A repeat must be recognised even when what it bought is sold no more, or not to this wallet.
        let priced = match self.refuse_blocked(purchase.caller, None).await {
            Ok(()) => self
                .shelf()
                .and_then(|shelf| self.price_of(&purchase.subject, &shelf)),
            Err(Error::PayerRefused) => Err(Error::PayerRefused),
            Err(error) => return Err(error),
        };
        let (mut tx, owner) = self.open_for(purchase.caller).await?;
        let Some(owner) = owner else {
            tx.commit().await?;
            return Err(Error::InsufficientCredits {
                required: priced?.price,
                balance: Usd::ZERO,
            });
        };
        if let Subject::Time { instance, .. } = &purchase.subject {
            // Before the account, as whoever ends a machine locks them.
            tx.lock_instance(instance.id).await?;
        }
        // Before the names are looked up: a copy of this request that is faster has written its name
        // when it lets the account go.
        let balance = tx.lock_credits(owner).await?;
        let named = match Self::names_in(tx.as_mut(), owner.into(), purchase).await {
            Ok(named) => named,
            Err(refusal @ Error::RequestKeyReused { .. }) => {
                tx.commit().await?;
                return Err(refusal);
            }
            Err(error) => return Err(error),
        };
        if let Some(bought) = &named.bought {
            let joined = Submitted::replay(bought);
            tx.commit().await?;
            return Ok(joined);
        }
        let affordable = self
            .afford(tx.as_mut(), purchase, owner, priced, balance)
            .await?;
        match affordable {
            Ok((sheet, spent)) => {
                let bought = self.spend(tx, purchase, owner, &sheet, spent, &named).await;
                if bought.as_ref().is_err_and(is_refusal) {
                    // Everything was undone, the nonce's spending too.
                    self.burn_nonce(purchase.caller).await?;
                }
                bought
            }
            Err(refusal) => {
                tx.commit().await?;
                Err(refusal)
            }
        }
    }

    /// Spends the nonce of a request that was refused after everything it wrote was undone: nobody
    /// may show it again and spend credits with it (decisions.md 23).
    pub(crate) async fn burn_nonce(&self, caller: &Caller) -> Result<(), Error> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        self.spend_nonce(tx.as_mut(), caller).await?;
        Ok(tx.commit().await?)
    }

    /// Whether the owner, and the API key that acts for it, can spend what this costs. The inner error
    /// is a refusal; nothing was written then.
    async fn afford(
        &self,
        tx: &mut dyn Tx,
        purchase: &Purchase<'_>,
        owner: OwnerId,
        priced: Result<Priced, Error>,
        balance: Usd,
    ) -> Result<Result<(OfferSheet, CreditsSpent), Error>, Error> {
        let priced = match priced {
            Ok(priced) => priced,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let required = priced.price;
        if let Err(refusal) = purchase.check_price(required) {
            return Ok(Err(refusal));
        }
        if balance < required {
            return Ok(Err(Error::InsufficientCredits { required, balance }));
        }
        let api_key = match purchase.caller {
            Caller::ApiKey { id, .. } => Some(*id),
            Caller::Anonymous | Caller::Wallet(_) => None,
        };
        if let Some(id) = api_key
            && let Err(refusal) = self.charge_key(tx, owner, id, required).await?
        {
            return Ok(Err(refusal));
        }
        let (url, network) = (&purchase.resource_url, purchase.subject.network());
        let sheet = OfferSheet::without_offers(priced, url, network);
        let spent = CreditsSpent {
            amount: required,
            api_key,
        };
        Ok(Ok((sheet, spent)))
    }

    /// Charges an API key of this owner. The inner error is a refusal; nothing was written then. A key
    /// may have ended since its caller was let in, or since it wanted something for later.
    pub(crate) async fn charge_key(
        &self,
        tx: &mut dyn Tx,
        owner: OwnerId,
        id: ApiKeyId,
        required: Usd,
    ) -> Result<Result<(), Error>, Error> {
        let now = self.now();
        if tx.charge_api_key(id, required, now).await? {
            return Ok(Ok(()));
        }
        let api_keys = tx.list_api_keys(owner).await?;
        let own = api_keys.into_iter().find(|api_key| api_key.id == id);
        Ok(Err(match own {
            None => AuthFailure::ApiKey.into(),
            Some(own) if own.revoked_at.is_some() => AuthFailure::ApiKey.into(),
            Some(own) if !own.is_live(now) => AuthFailure::ApiKeyExpired.into(),
            Some(own) => Error::BudgetExceeded {
                required,
                left: own.budget_left().unwrap_or_default(),
            },
        }))
    }

    async fn spend(
        &self,
        mut tx: Box<dyn Tx>,
        purchase: &Purchase<'_>,
        owner: OwnerId,
        sheet: &OfferSheet,
        spent: CreditsSpent,
        named: &Named,
    ) -> Result<Submitted, Error> {
        let now = self.now();
        let Opened {
            mut operation,
            lease,
        } = self
            .open(tx.as_mut(), purchase, owner, sheet, Some(spent))
            .await?;
        let transfer = Transfer {
            id: TransferId::generate(now, self.entropy.as_ref()),
            debit: Account::Credits(owner),
            credit: Account::Sales,
            amount: spent.amount,
            reason: TransferReason::Spend,
            cause: operation.id.into(),
            created_at: now,
        };
        if tx.post_transfer(&transfer).await? != Posted::New {
            // The account is locked and holds enough, and the operation is new.
            tx.rollback().await?;
            return Err(Error::Internal("credits vanished under a lock".into()));
        }
        if let Some(bound) = self
            .bind_names(tx.as_mut(), purchase, owner.into(), &operation, named)
            .await?
        {
            tx.rollback().await?;
            return self.join_named(bound).await;
        }
        if let Subject::Time { .. } = purchase.subject {
            operation = self
                .finish_extension(tx.as_mut(), operation, &lease)
                .await?;
        } else {
            tx.append_event(operation.id, now, &lease.holder, "spent", "")
                .await?;
        }
        if let Err(lost) = tx.commit().await {
            self.confirm_spending(owner, operation.id, lost).await?;
        }
        tracing::info!(
            operation.id = %operation.id, operation.kind = %operation.kind, owner.id = %owner,
            price = %spent.amount, "credits spent"
        );
        Ok(Submitted::leased(&operation, lease))
    }

    /// A commit failed, or only its confirmation was lost. Credits have no proof by which a repeat
    /// would be recognised, so a client that is told of a failure would buy twice: the database is
    /// asked what it has, for a while. Behind the account's lock, because a transaction that is still
    /// being committed holds it.
    async fn confirm_spending(
        &self,
        owner: OwnerId,
        id: OperationId,
        lost: StoreError,
    ) -> Result<(), Error> {
        let give_up = self
            .now()
            .plus(Span::from_millis(self.timing().lease.millis() / 2));
        let mut pause = Span::from_millis(50);
        loop {
            match self.is_spent(owner, id).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(lost.into()),
                Err(error) if self.now() >= give_up => return Err(error),
                Err(_) => {}
            }
            self.timer.sleep_until(self.now().plus(pause)).await;
            pause = pause.doubled(Span::from_secs(2));
        }
    }

    async fn is_spent(&self, owner: OwnerId, id: OperationId) -> Result<bool, Error> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        tx.lock_credits(owner).await?;
        let written = tx.find_operation(id).await?;
        tx.rollback().await?;
        Ok(written.is_some())
    }

    /// Ends an extension whose price was just debited: it needs nothing outside.
    pub(crate) async fn finish_extension(
        &self,
        tx: &mut dyn Tx,
        operation: Operation,
        lease: &Lease,
    ) -> Result<Operation, Error> {
        let now = self.now();
        tx.append_event(operation.id, now, &lease.holder, "spent", "")
            .await?;
        let operation = self.extend_now(tx, operation).await?;
        let until = now.plus(self.timing().lease);
        tx.save_operation(&operation, lease, until).await?;
        tx.append_event(operation.id, now, &lease.holder, "extended", "")
            .await?;
        Ok(operation)
    }

    /// Adds what the operation bought to its instance. Nothing outside is needed for it.
    async fn extend_now(&self, tx: &mut dyn Tx, operation: Operation) -> Result<Operation, Error> {
        let missing = || Error::Internal("an extension without instance or time".into());
        let id = operation.instance.ok_or_else(missing)?;
        let time = operation.data.time.ok_or_else(missing)?;
        let instance = tx.find_instance(id).await?.ok_or_else(missing)?;
        let lots = tx.lots_of(id).await?;
        let lots = lots
            .extend(operation.id, time.price, time.rate, time.hours)
            .map_err(|error| Error::Internal(Box::new(error)))?;
        let longer = instance.clone().extend(time.hours, time.price)?;
        self.put_instance(tx, &instance, &longer, operation.id)
            .await?;
        tx.save_lots(id, &lots).await?;
        Ok(operation.rest(OperationState::Succeeded, self.now()))
    }
}

/// Whether a purchase was refused for a reason of its own, and not because the database failed.
const fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::LimitReached { .. }
            | Error::OperationInProgress { .. }
            | Error::WrongState { .. }
            | Error::PayerMismatch
            | Error::RequestKeyReused { .. }
            | Error::NotFound
    )
}
