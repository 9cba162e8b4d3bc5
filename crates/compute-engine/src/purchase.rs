//! Every purchase, whatever is bought and however it is paid: recognise a repeat, price, verify,
//! and bind the payment or the credits to an operation in one transaction.

use compute_domain::id::{InstanceId, OperationId, OwnerId, PaymentId};
use compute_domain::money::{AssetAmount, Usd};
use compute_domain::operation::Operation;
use compute_domain::owner::Scope;
use compute_domain::payment::{Payment, PaymentState};
use compute_domain::request_key::RequestKey;
use compute_domain::time::{Span, Timestamp};
use compute_wallet::WalletAddress;
use compute_x402::{Identified, PaymentPayload};

use crate::engine::Engine;
use crate::error::Error;
use crate::identity::Caller;
use crate::names::Named;
use crate::payment::VerifiedPayment;
use crate::ports::{ClaimOutcome, Lease, Tx, TxMode};
use crate::stock::Need;
use crate::subject::{Opened, Subject};

/// How a purchase is to be paid.
#[derive(Debug)]
pub enum Funding {
    /// Not yet: the caller wants to know how.
    Unpaid,
    /// With this payment.
    Payment(PaymentPayload),
    /// With the caller's credits.
    Credits,
}

/// What every purchase carries besides what it buys.
#[derive(Debug)]
pub struct PurchaseTerms {
    /// How it is paid.
    pub funding: Funding,
    /// The client's names for it.
    pub request_keys: Vec<RequestKey>,
    /// The most it may cost.
    pub max_total: Option<Usd>,
    /// The absolute URL of the request, which offers name.
    pub resource_url: String,
}

impl PurchaseTerms {
    /// Without names and without a limit.
    pub fn plain(funding: Funding, resource_url: &str) -> Self {
        Self {
            funding,
            request_keys: Vec::new(),
            max_total: None,
            resource_url: resource_url.to_owned(),
        }
    }
}

/// Work that was accepted. With a lease it is this process's turn to do it.
#[derive(Debug)]
pub struct Submitted {
    operation: OperationId,
    instance: Option<InstanceId>,
    pub(crate) lease: Option<Lease>,
    is_replay: bool,
}

impl Submitted {
    pub(crate) const fn leased(operation: &Operation, lease: Lease) -> Self {
        Self {
            operation: operation.id,
            instance: operation.instance,
            lease: Some(lease),
            is_replay: false,
        }
    }

    pub(crate) const fn replay(operation: &Operation) -> Self {
        Self {
            operation: operation.id,
            instance: operation.instance,
            lease: None,
            is_replay: true,
        }
    }

    /// The work.
    pub const fn operation(&self) -> OperationId {
        self.operation
    }

    /// On which instance; a top-up has none.
    pub const fn instance(&self) -> Option<InstanceId> {
        self.instance
    }

    /// Whether it had been accepted before.
    pub const fn is_replay(&self) -> bool {
        self.is_replay
    }
}

/// A purchase on its way.
#[derive(Debug)]
pub(crate) struct Purchase<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) subject: Subject<'a>,
    pub(crate) digest: [u8; 32],
    pub(crate) request_keys: Vec<RequestKey>,
    pub(crate) max_total: Option<Usd>,
    pub(crate) resource_url: String,
}

impl Engine {
    pub(crate) async fn purchase(
        &self,
        caller: &Caller,
        subject: Subject<'_>,
        terms: PurchaseTerms,
    ) -> Result<Submitted, Error> {
        caller.require(Scope::Spend)?;
        let purchase = Purchase {
            caller,
            digest: subject.digest(),
            subject,
            request_keys: terms.request_keys,
            max_total: terms.max_total,
            resource_url: terms.resource_url,
        };
        match terms.funding {
            Funding::Unpaid => {
                self.refresh_stock(&purchase.subject, Need::Quote).await;
                let sheet = self.quote(&purchase.subject, &purchase.resource_url)?;
                purchase.check_price(sheet.price)?;
                Err(Error::PaymentRequired {
                    sheet: Box::new(sheet),
                    problem: None,
                })
            }
            Funding::Payment(payload) => self.buy_with_payment(&purchase, payload).await,
            Funding::Credits => self.buy_with_credits(&purchase).await,
        }
    }

    /// The same payment with the same request joins what it already bought, at any later time, even
    /// when that is no longer sold; with another request it is refused. So is a name that the client
    /// used before.
    async fn buy_with_payment(
        &self,
        purchase: &Purchase<'_>,
        payload: PaymentPayload,
    ) -> Result<Submitted, Error> {
        let identified = self.identify(&payload).await?;
        if let Some(identified) = &identified {
            if let Some(bought) = self.find_bought(identified).await? {
                self.check_payer(purchase.caller, &identified.payer).await?;
                return join(&bought, &purchase.digest);
            }
            if let Some(named) = self.find_named(purchase, identified).await? {
                return Ok(named);
            }
            self.refuse_blocked(purchase.caller, Some(&identified.payer))
                .await?;
        }
        match self.settle_later(purchase, payload).await {
            Ok(submitted) => Ok(submitted),
            // Another copy of this payment may have been claimed in the meantime: what it spent (the
            // balance, the nonces) is no fault of this copy, which gets the same order.
            Err(error) => match &identified {
                Some(identified) => self.join_after(purchase, identified, error).await,
                None => Err(error),
            },
        }
    }

    /// What a name of this purchase already bought for the payer.
    async fn find_named(
        &self,
        purchase: &Purchase<'_>,
        identified: &Identified,
    ) -> Result<Option<Submitted>, Error> {
        if purchase.request_keys.is_empty() {
            return Ok(None);
        }
        self.check_payer(purchase.caller, &identified.payer).await?;
        let mut tx = self.store.begin(TxMode::Read).await?;
        let owner = match purchase.caller {
            Caller::ApiKey { owner, .. } => Some(*owner),
            Caller::Anonymous | Caller::Wallet(_) => tx.find_owner(&identified.payer).await?,
        };
        let named = match owner {
            Some(owner) => Self::names_in(tx.as_mut(), owner, purchase).await,
            None => Ok(Named::default()),
        };
        tx.rollback().await?;
        Ok(named?.bought.map(|bought| Submitted::replay(&bought)))
    }

    async fn settle_later(
        &self,
        purchase: &Purchase<'_>,
        payload: PaymentPayload,
    ) -> Result<Submitted, Error> {
        self.refresh_stock(&purchase.subject, Need::Quote).await;
        let sheet = self.quote(&purchase.subject, &purchase.resource_url)?;
        let verified = self.verify(payload, &purchase.subject, sheet).await?;
        purchase.check_price(verified.sheet.price)?;
        self.check(purchase, &verified).await?;
        // Nobody pays for what is gone since the price was named. Only now, so that what is no
        // payment asks no provider anything.
        self.refresh_stock(&purchase.subject, Need::Sale).await;
        let shelf = self.shelf()?;
        self.price_of(&purchase.subject, &shelf)?;
        self.claim(purchase, &verified).await
    }

    async fn join_after(
        &self,
        purchase: &Purchase<'_>,
        identified: &Identified,
        error: Error,
    ) -> Result<Submitted, Error> {
        if matches!(error, Error::PayerMismatch) {
            return Err(error);
        }
        if let Some(bought) = self.find_bought(identified).await? {
            return join(&bought, &purchase.digest);
        }
        // Or another payment under the same name.
        match self.find_named(purchase, identified).await? {
            Some(named) => Ok(named),
            None => Err(error),
        }
    }

    /// Binds the payment to a new operation, in one transaction with everything that follows from
    /// it. After its commit the operation exists and will be finished by some replica.
    async fn claim(
        &self,
        purchase: &Purchase<'_>,
        verified: &VerifiedPayment,
    ) -> Result<Submitted, Error> {
        let now = self.now();
        let mut tx = self.store.begin(TxMode::Write).await?;
        self.spend_nonce(tx.as_mut(), purchase.caller).await?;
        let owner = self
            .owner_for(tx.as_mut(), purchase.caller, verified, now)
            .await?;
        let named = Self::names_in(tx.as_mut(), owner, purchase).await?;
        if let Some(bought) = &named.bought {
            let joined = Submitted::replay(bought);
            tx.rollback().await?;
            return Ok(joined);
        }
        self.refuse_hanging(tx.as_mut(), owner, &verified.payer, purchase, now)
            .await?;
        let opened = self
            .open(tx.as_mut(), purchase, owner, &verified.sheet, None)
            .await?;
        let payment = self.payment_for(&opened.operation, verified, now);
        let sealed = self.seal_proof(&payment, &verified.proof)?;
        match tx.claim_payment(&payment, &sealed).await? {
            ClaimOutcome::AlreadyClaimed(winner) => {
                tx.rollback().await?;
                return self.join_winner(&winner, &purchase.digest).await;
            }
            ClaimOutcome::Claimed => {}
        }
        if let Some(bought) = self
            .bind_names(tx.as_mut(), purchase, &opened.operation, &named)
            .await?
        {
            tx.rollback().await?;
            return self.join_named(bought).await;
        }
        let detail = format!("{{\"rail\":\"{}\"}}", payment.rail);
        let Opened { operation, lease } = opened;
        tx.append_event(operation.id, now, &self.config.holder, "claimed", &detail)
            .await?;
        tx.commit().await?;
        tracing::info!(
            operation.id = %operation.id, operation.kind = %operation.kind, owner.id = %owner,
            payment.rail = %payment.rail, price = %payment.price, "payment claimed"
        );
        Ok(Submitted::leased(&operation, lease))
    }

    /// Refuses a second payment for a request whose first one hangs (decisions.md 3). A client that
    /// names its purchases differently means two.
    async fn refuse_hanging(
        &self,
        tx: &mut dyn Tx,
        owner: OwnerId,
        payer: &WalletAddress,
        purchase: &Purchase<'_>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let timing = self.timing();
        let since = now.minus(timing.hanging_window);
        // A settlement that takes longer than any call is one whose process died in it.
        let overdue = now.minus(Span::from_millis(timing.lease.millis() / 2));
        let hanging = tx
            .find_hanging(owner, Some(payer), &purchase.digest, since, overdue)
            .await?;
        match hanging {
            Some(hanging) if !purchase.is_named_apart_from(&hanging) => {
                Err(Error::OperationInProgress {
                    operation: Some(hanging.id),
                    instance: hanging.instance,
                })
            }
            _ => Ok(()),
        }
    }

    fn payment_for(
        &self,
        operation: &Operation,
        verified: &VerifiedPayment,
        now: Timestamp,
    ) -> Payment {
        Payment {
            id: PaymentId::generate(now, self.entropy.as_ref()),
            operation: operation.id,
            owner: operation.owner,
            rail: verified.rail.clone(),
            proof_key: verified.proof_key.clone(),
            challenge_id: None,
            payer: Some(verified.payer),
            price: verified.sheet.price,
            asset: AssetAmount {
                atomic: verified.proof.offer.amount().get(),
                decimals: verified.decimals,
            },
            void_after: Timestamp::from_secs(verified.valid_before_s),
            claimed_at: now,
            state: PaymentState::Claimed,
        }
    }

    async fn owner_for(
        &self,
        tx: &mut dyn Tx,
        caller: &Caller,
        verified: &VerifiedPayment,
        now: Timestamp,
    ) -> Result<OwnerId, Error> {
        match caller {
            Caller::ApiKey { owner, .. } => Ok(*owner),
            Caller::Anonymous | Caller::Wallet(_) => {
                let candidate = OwnerId::generate(now, self.entropy.as_ref());
                Ok(tx.ensure_owner(candidate, &verified.payer, now).await?)
            }
        }
    }

    /// Another copy of this payment was claimed a moment earlier.
    async fn join_winner(&self, winner: &Payment, digest: &[u8; 32]) -> Result<Submitted, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let operation = tx.find_operation(winner.operation).await?;
        tx.rollback().await?;
        join(&operation.ok_or(Error::PaymentAlreadyUsed)?, digest)
    }
}

impl Purchase<'_> {
    /// Refuses a price that the request does not allow, before anything is settled or spent.
    pub(crate) fn check_price(&self, price: Usd) -> Result<(), Error> {
        match self.max_total {
            Some(maximum) if price > maximum => Err(Error::PriceAboveMaximum { price, maximum }),
            _ => Ok(()),
        }
    }

    /// Whether the client named both purchases, and differently.
    fn is_named_apart_from(&self, other: &Operation) -> bool {
        let theirs = &other.data.request_keys;
        !self.request_keys.is_empty()
            && !theirs.is_empty()
            && !self.request_keys.iter().any(|key| theirs.contains(key))
    }
}

pub(crate) fn join(bought: &Operation, digest: &[u8; 32]) -> Result<Submitted, Error> {
    if bought.request_digest == *digest {
        Ok(Submitted::replay(bought))
    } else {
        Err(Error::PaymentAlreadyUsed)
    }
}
