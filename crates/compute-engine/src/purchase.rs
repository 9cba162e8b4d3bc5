//! Every purchase, whatever is bought and however it is paid: recognise a repeat, price, verify,
//! and have it claimed.

use std::sync::Arc;

use compute_domain::id::{InstanceId, OperationId};
use compute_domain::money::Usd;
use compute_domain::operation::Operation;
use compute_domain::owner::Scope;
use compute_domain::request_key::RequestKey;
use compute_mpp::ProblemType;

use crate::challenges::RequestFacts;
use crate::checks::{CheckGate, Entry};
use crate::engine::Engine;
use crate::error::{AuthFailure, Error, PaymentProblem};
use crate::identity::Caller;
use crate::names::{Named, owner_of_names};
use crate::payment::{Bought, Identified};
use crate::ports::{Lease, TxMode};
use crate::proof::PaymentProof;
use crate::sent::is_sent_proof;
use crate::stock::Need;
use crate::subject::Subject;

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
    /// Who lets its payment through to the payment network, when it is a credential; without one it
    /// always gets through.
    pub gate: Option<Arc<dyn CheckGate>>,
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
            gate: None,
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
    pub(crate) gate: Option<Arc<dyn CheckGate>>,
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
            gate: terms.gate,
        };
        match terms.funding {
            Funding::Unpaid => Err(self.ask(&purchase, None).await),
            Funding::Unreadable(kind, detail) => {
                if let Some(refusal) = self.refuse_credential(&purchase).await {
                    return Err(refusal);
                }
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
        let is_charge = matches!(proof, PaymentProof::Mpp(_));
        // A credential does not say whose machine it is, so it shows nobody what time it bought.
        if is_charge
            && purchase.is_time_for_anybody()
            && let Some(refusal) = self.refuse_credential(purchase).await
        {
            return Err(refusal);
        }
        let identified = self.identify(&proof).await?;
        if let Some(identified) = &identified {
            match self.find_bought(identified).await? {
                Bought::This(bought) => {
                    self.check_x402_payer(purchase, &proof, identified).await?;
                    return join(&bought, &purchase.digest);
                }
                Bought::Another => return Err(Error::PaymentAlreadyUsed),
                Bought::Nothing => {}
            }
        }
        // Only what is new needs a shop that still takes it.
        if is_charge && let Some(refusal) = self.refuse_credential(purchase).await {
            return Err(refusal);
        }
        let Some(identified) = identified else {
            return self.settle_later(purchase, proof).await;
        };
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

    /// What is said to a credential where none can pay; nothing where one can. In a shop that takes no
    /// challenges the header means nothing.
    async fn refuse_credential(&self, purchase: &Purchase<'_>) -> Option<Error> {
        if !self.takes_credentials() {
            return Some(self.ask(purchase, None).await);
        }
        if purchase.is_time_for_anybody() {
            return Some(AuthFailure::Required.into());
        }
        let is_credits = matches!(purchase.subject, Subject::Credits(_));
        is_credits.then_some(Error::MethodUnsupported)
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
        let payer = identified.payer.as_ref();
        let named = match owner_of_names(tx.as_mut(), purchase.caller, payer).await? {
            Some(owner) => Self::names_in(tx.as_mut(), owner.into(), purchase).await,
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
        let _turn = match self.enter_check(purchase, &verified).await? {
            Entry::Check(turn) => turn,
            Entry::Bought(submitted) => return Ok(submitted),
        };
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
        match self.find_bought(identified).await? {
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
}

impl Purchase<'_> {
    /// Whether it is more time that nobody in particular asks for.
    const fn is_time_for_anybody(&self) -> bool {
        matches!(
            (&self.subject, self.caller),
            (Subject::Time { .. }, Caller::Anonymous)
        )
    }

    /// Refuses a price that the request does not allow, before anything is settled or spent.
    pub(crate) fn check_price(&self, price: Usd) -> Result<(), Error> {
        match self.max_total {
            Some(maximum) if price > maximum => Err(Error::PriceAboveMaximum { price, maximum }),
            _ => Ok(()),
        }
    }
}

pub(crate) fn join(bought: &Operation, digest: &[u8; 32]) -> Result<Submitted, Error> {
    if bought.request_digest == *digest {
        Ok(Submitted::replay(bought))
    } else {
        Err(Error::PaymentAlreadyUsed)
    }
}
