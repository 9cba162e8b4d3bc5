//! Every purchase, whatever is bought and however it is paid: recognise a repeat, price, verify,
//! and bind the payment or the credits to an operation in one transaction.

use compute_domain::id::{InstanceId, OperationId, OwnerId, PaymentId};
use compute_domain::money::Usd;
use compute_domain::operation::Operation;
use compute_domain::owner::Scope;
use compute_domain::payment::{Payment, PaymentState};
use compute_domain::request_key::RequestKey;
use compute_domain::time::{Span, Timestamp};
use compute_mpp::ProblemType;
use compute_wallet::WalletAddress;

use crate::challenges::RequestFacts;
use crate::engine::Engine;
use crate::error::{AuthFailure, Error, PaymentProblem};
use crate::identity::Caller;
use crate::names::Named;
use crate::payment::{AnyProof, Bought, Identified, VerifiedPayment};
use crate::ports::{ClaimOutcome, Lease, Tx, TxMode};
use crate::proof::PaymentProof;
use crate::sent::{is_sent, is_sent_proof};
use crate::stock::Need;
use crate::subject::{Opened, Subject};

/// How a purchase is to be paid.
#[derive(Debug)]
pub enum Funding {
    /// Not yet: the caller wants to know how.
    Unpaid,
    /// With this payment.
    Payment(PaymentProof),
    /// With a credential that cannot be read.
    Unreadable(ProblemType, String),
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
    /// What its challenges are bound to.
    pub facts: RequestFacts,
}

impl PurchaseTerms {
    /// Without names and without a limit.
    pub fn plain(funding: Funding, resource_url: &str) -> Self {
        Self {
            funding,
            request_keys: Vec::new(),
            max_total: None,
            resource_url: resource_url.to_owned(),
            facts: RequestFacts::default(),
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
    is_by_name: bool,
}

impl Submitted {
    pub(crate) const fn leased(operation: &Operation, lease: Lease) -> Self {
        Self {
            operation: operation.id,
            instance: operation.instance,
            lease: Some(lease),
            is_replay: false,
            is_by_name: false,
        }
    }

    pub(crate) const fn replay(operation: &Operation) -> Self {
        Self {
            operation: operation.id,
            instance: operation.instance,
            lease: None,
            is_replay: true,
            is_by_name: false,
        }
    }

    /// What was bought under the same name, perhaps with another payment.
    pub(crate) fn named(operation: &Operation) -> Self {
        Self {
            is_by_name: true,
            ..Self::replay(operation)
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

    /// Whether only its name was shown again, and not its payment: who shows a name may see what it
    /// bought, and gets no key to it.
    pub const fn is_by_name(&self) -> bool {
        self.is_by_name
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
    pub(crate) facts: RequestFacts,
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
            facts: terms.facts,
        };
        match terms.funding {
            Funding::Unpaid => Err(self.ask(&purchase, None).await),
            Funding::Unreadable(kind, detail) => {
                self.require_challenges(&purchase)?;
                let problem = PaymentProblem::mpp(kind, detail);
                Err(self.ask(&purchase, Some(problem)).await)
            }
            Funding::Payment(proof) => self.buy_with_payment(&purchase, proof).await,
            Funding::Credits => self.buy_with_credits(&purchase).await,
        }
    }

    /// The ways to pay, and what was wrong with the payment that was sent, if one was.
    async fn ask(&self, purchase: &Purchase<'_>, problem: Option<PaymentProblem>) -> Error {
        self.refresh_stock(&purchase.subject, Need::Quote).await;
        let sheet = match self.quote(purchase) {
            Ok(sheet) => sheet,
            Err(error) => return error,
        };
        if let Err(error) = purchase.check_price(sheet.price) {
            return error;
        }
        Error::PaymentRequired {
            sheet: Box::new(sheet),
            problem,
        }
    }

    /// The same payment with the same request joins what it already bought, at any later time, even
    /// when that is no longer sold; with another request it is refused. So is a name that the client
    /// used before.
    async fn buy_with_payment(
        &self,
        purchase: &Purchase<'_>,
        proof: PaymentProof,
    ) -> Result<Submitted, Error> {
        if matches!(proof, PaymentProof::Mpp(_)) {
            self.require_challenges(purchase)?;
        }
        let identified = self.identify(&proof).await?;
        let Some(identified) = identified else {
            return self.settle_later(purchase, proof).await;
        };
        match self.find_bought(&proof, &identified).await? {
            Bought::This(bought) => {
                self.check_x402_payer(purchase, &proof, &identified).await?;
                return join(&bought, &purchase.digest);
            }
            Bought::Another => return Err(Error::PaymentAlreadyUsed),
            Bought::Nothing => {}
        }
        // What was sent is not given away for a name: it is claimed first.
        let is_sent = is_sent_proof(&proof);
        if !is_sent && let Some(named) = self.find_named(purchase, &proof, &identified).await? {
            return Ok(named);
        }
        self.refuse_blocked(purchase.caller, identified.payer.as_ref())
            .await?;
        let copy = proof.clone();
        match self.settle_later(purchase, proof).await {
            Ok(submitted) => Ok(submitted),
            // Another copy of this payment may have been claimed in the meantime: what it spent (the
            // balance, the nonces) is no fault of this copy, which gets the same order.
            Err(error) => match self.join_after(purchase, &copy, &identified, error).await {
                Err(error) if is_sent => self.keep_sent(purchase, copy, error).await,
                joined => joined,
            },
        }
    }

    /// Refuses a credential where none can pay.
    fn require_challenges(&self, purchase: &Purchase<'_>) -> Result<(), Error> {
        match (&purchase.subject, purchase.caller) {
            _ if self.config.mpp.is_none() => Err(Error::MethodUnsupported),
            (Subject::Time { .. }, Caller::Anonymous) => Err(AuthFailure::Required.into()),
            (Subject::Credits(_), _) => Err(Error::MethodUnsupported),
            _ => Ok(()),
        }
    }

    /// Under x402 who pays for a caller must be one of its wallets.
    async fn check_x402_payer(
        &self,
        purchase: &Purchase<'_>,
        proof: &PaymentProof,
        identified: &Identified,
    ) -> Result<(), Error> {
        match (proof, &identified.payer) {
            (PaymentProof::X402(_), Some(payer)) => self.check_payer(purchase.caller, payer).await,
            _ => Ok(()),
        }
    }

    /// What a name of this purchase already bought for the payer.
    async fn find_named(
        &self,
        purchase: &Purchase<'_>,
        proof: &PaymentProof,
        identified: &Identified,
    ) -> Result<Option<Submitted>, Error> {
        // Nobody knows yet whose a credential is that has not been verified: its payer is what anybody
        // can copy from a public chain.
        let is_unknown = match (purchase.caller, proof) {
            (Caller::Anonymous, PaymentProof::Mpp(_)) => true,
            _ => purchase.request_keys.is_empty(),
        };
        if is_unknown {
            return Ok(None);
        }
        self.check_x402_payer(purchase, proof, identified).await?;
        let mut tx = self.store.begin(TxMode::Read).await?;
        let owner = match (purchase.caller, &identified.payer) {
            (Caller::ApiKey { owner, .. }, _) => Some(*owner),
            (Caller::Wallet(wallet), _) => tx.find_owner(&wallet.address).await?,
            (Caller::Anonymous, Some(payer)) => tx.find_owner(payer).await?,
            (Caller::Anonymous, None) => None,
        };
        let named = match owner {
            Some(owner) => Self::names_in(tx.as_mut(), owner, purchase).await,
            None => Ok(Named::default()),
        };
        tx.rollback().await?;
        Ok(named?.bought.map(|bought| Submitted::named(&bought)))
    }

    async fn settle_later(
        &self,
        purchase: &Purchase<'_>,
        proof: PaymentProof,
    ) -> Result<Submitted, Error> {
        self.refresh_stock(&purchase.subject, Need::Quote).await;
        let sheet = self.quote(purchase)?;
        let is_sent = is_sent_proof(&proof);
        let verified = self.verify(proof, purchase, sheet).await?;
        purchase.check_price(verified.sheet.price)?;
        self.check(purchase, &verified).await?;
        // Nobody pays for what is gone since the price was named. Only now, so that what is no
        // payment asks no provider anything.
        self.refresh_stock(&purchase.subject, Need::Sale).await;
        let shelf = self.shelf()?;
        self.price_of(&purchase.subject, &shelf)?;
        let claimed = self.claim(purchase, &verified).await?;
        if is_sent && claimed.is_by_name {
            // Its name stands for another order, and the money is here.
            return self.credit_sent(purchase, &verified).await;
        }
        Ok(claimed)
    }

    async fn join_after(
        &self,
        purchase: &Purchase<'_>,
        proof: &PaymentProof,
        identified: &Identified,
        error: Error,
    ) -> Result<Submitted, Error> {
        if matches!(error, Error::PayerMismatch) {
            return Err(error);
        }
        match self.find_bought(proof, identified).await? {
            Bought::This(bought) => return join(&bought, &purchase.digest),
            Bought::Another => return Err(Error::PaymentAlreadyUsed),
            Bought::Nothing => {}
        }
        if is_sent_proof(proof) {
            return Err(error);
        }
        // Or another payment under the same name.
        match self.find_named(purchase, proof, identified).await? {
            Some(named) => Ok(named),
            None => Err(error),
        }
    }

    /// Binds the payment to a new operation, in one transaction with everything that follows from
    /// it. After its commit the operation exists and will be finished by some replica.
    pub(crate) async fn claim(
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
        let scope = self
            .scope_of_names(tx.as_mut(), purchase, verified, owner, now)
            .await?;
        let named = match scope {
            Some(scope) => Self::names_in(tx.as_mut(), scope, purchase).await?,
            None => Named::default(),
        };
        if let Some(bought) = &named.bought {
            let joined = Submitted::named(bought);
            tx.rollback().await?;
            return Ok(joined);
        }
        self.refuse_hanging(tx.as_mut(), owner, verified.payer.as_ref(), purchase, now)
            .await?;
        let opened = self
            .open(tx.as_mut(), purchase, owner, &verified.sheet, None)
            .await?;
        self.refuse_crowd(tx.as_mut(), verified).await?;
        let payment = self.payment_for(&opened.operation, verified, now);
        let sealed = self.seal_proof(&payment, &verified.proof)?;
        match tx.claim_payment(&payment, &sealed).await? {
            ClaimOutcome::AlreadyClaimed(winner) => {
                tx.rollback().await?;
                return self.join_winner(&winner, verified, &purchase.digest).await;
            }
            ClaimOutcome::Claimed => {}
        }
        let bound = match scope {
            Some(scope) => {
                self.bind_names(tx.as_mut(), purchase, scope, &opened.operation, &named)
                    .await?
            }
            None => None,
        };
        if let Some(bought) = bound {
            tx.rollback().await?;
            return self.join_named(bought).await;
        }
        if purchase.is_unclaimed(verified) {
            self.make_management_key(tx.as_mut(), &opened.operation)
                .await?;
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
        payer: Option<&WalletAddress>,
        purchase: &Purchase<'_>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let timing = self.timing();
        let since = now.minus(timing.hanging_window);
        // A settlement that takes longer than any call is one whose process died in it.
        let overdue = now.minus(Span::from_millis(timing.lease.millis() / 2));
        let hanging = tx
            .find_hanging(owner, payer, &purchase.digest, since, overdue)
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

    /// Refuses one more transfer of a wallet that has many under way. Counted after the place was taken,
    /// whose row all purchases of machines wait for.
    async fn refuse_crowd(&self, tx: &mut dyn Tx, verified: &VerifiedPayment) -> Result<(), Error> {
        let (AnyProof::Mpp(proof), Some(payer)) = (&verified.proof, &verified.payer) else {
            return Ok(());
        };
        let most = self.config.mpp.as_ref().map(|mpp| mpp.unsettled_per_wallet);
        let is_crowd = match most {
            // What was sent is here already.
            Some(most) if !is_sent(&proof.credential) => tx.count_claimed_by(payer).await? >= most,
            _ => false,
        };
        if is_crowd {
            return Err(Error::OperationInProgress {
                operation: None,
                instance: None,
            });
        }
        Ok(())
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
            challenge_id: verified.challenge_id.clone(),
            payer: verified.payer,
            price: verified.sheet.price,
            asset: verified.asset,
            void_after: verified.void_after,
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
        let candidate = OwnerId::generate(now, self.entropy.as_ref());
        let wallet = match (caller, &verified.proof, &verified.payer) {
            (Caller::ApiKey { owner, .. }, ..) => return Ok(*owner),
            (_, AnyProof::X402(_), Some(payer)) => payer,
            (Caller::Wallet(wallet), ..) => &wallet.address,
            // A credential only pays. Who shows nothing else gets an owner of its own, and a key to it.
            (Caller::Anonymous, ..) => {
                tx.create_owner(candidate, now).await?;
                return Ok(candidate);
            }
        };
        Ok(tx.ensure_owner(candidate, wallet, now).await?)
    }

    /// Whose names the purchase's are: the owner's, or the paying wallet's where the owner is as new as
    /// the purchase. Nobody's without either.
    async fn scope_of_names(
        &self,
        tx: &mut dyn Tx,
        purchase: &Purchase<'_>,
        verified: &VerifiedPayment,
        owner: OwnerId,
        now: Timestamp,
    ) -> Result<Option<OwnerId>, Error> {
        if !purchase.is_unclaimed(verified) {
            return Ok(Some(owner));
        }
        match &verified.payer {
            Some(payer) if !purchase.request_keys.is_empty() => {
                let candidate = OwnerId::generate(now, self.entropy.as_ref());
                Ok(Some(tx.ensure_owner(candidate, payer, now).await?))
            }
            _ => Ok(None),
        }
    }

    /// Another copy of this payment was claimed a moment earlier, or another one that shares its
    /// transfer or its challenge.
    async fn join_winner(
        &self,
        winner: &Payment,
        verified: &VerifiedPayment,
        digest: &[u8; 32],
    ) -> Result<Submitted, Error> {
        let is_copy =
            winner.proof_key == verified.proof_key && winner.challenge_id == verified.challenge_id;
        if !is_copy {
            return Err(Error::PaymentAlreadyUsed);
        }
        let mut tx = self.store.begin(TxMode::Read).await?;
        let operation = tx.find_operation(winner.operation).await?;
        tx.rollback().await?;
        join(&operation.ok_or(Error::PaymentAlreadyUsed)?, digest)
    }
}

impl Purchase<'_> {
    /// Whether nobody but the holder of its key will own what is bought.
    const fn is_unclaimed(&self, verified: &VerifiedPayment) -> bool {
        matches!(
            (self.caller, &verified.proof),
            (Caller::Anonymous, AnyProof::Mpp(_))
        )
    }

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
