//! Buying a machine: from a request to a claimed payment and a leased operation.

use compute_domain::id::{InstanceId, OperationId, OwnerId, PaymentId};
use compute_domain::instance::{Instance, InstanceState};
use compute_domain::money::AssetAmount;
use compute_domain::operation::{Operation, OperationKind};
use compute_domain::payment::{Payment, PaymentState};
use compute_domain::time::{Span, Timestamp};
use compute_x402::{Identified, PaymentPayload};

use crate::engine::Engine;
use crate::error::Error;
use crate::identity::Caller;
use crate::offer::ProvisionRequest;
use crate::payment::VerifiedPayment;
use crate::ports::{ClaimOutcome, Lease, Opened, Tx, TxMode};

/// Work that was accepted. With a lease it is this process's turn to do it.
#[derive(Debug)]
pub struct Submitted {
    operation: OperationId,
    instance: InstanceId,
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

    /// On which instance.
    pub const fn instance(&self) -> InstanceId {
        self.instance
    }

    /// Whether it had been accepted before.
    pub const fn is_replay(&self) -> bool {
        self.is_replay
    }
}

impl Engine {
    /// Buys a machine. Without a payment it says how to pay and leaves no trace.
    ///
    /// The same payment with the same request joins what it already bought, at any later time, even
    /// when the plan is no longer sold; with another request it is refused.
    ///
    /// # Errors
    /// `PaymentRequired` without a good payment; everything else that can be wrong with the request,
    /// the caller or the payment. Nothing was settled when an error is returned.
    pub async fn provision(
        &self,
        caller: &Caller,
        request: &ProvisionRequest,
        payment: Option<PaymentPayload>,
        resource_url: &str,
    ) -> Result<Submitted, Error> {
        let Some(payload) = payment else {
            let sheet = Box::new(self.quote(request, resource_url)?);
            return Err(Error::PaymentRequired {
                sheet,
                problem: None,
            });
        };
        let digest = request.digest();
        let identified = self.identify(&payload);
        if let Some(identified) = &identified
            && let Some(bought) = self.find_bought(identified).await?
        {
            self.check_payer(caller, &identified.payer).await?;
            return join(&bought, &digest);
        }
        match self
            .buy(caller, request, digest, payload, resource_url)
            .await
        {
            Ok(submitted) => Ok(submitted),
            // Another copy of this payment may have been claimed in the meantime: what it spent (the
            // balance, the nonces) is no fault of this copy, which gets the same order.
            Err(error) => match &identified {
                Some(identified) => self.join_after(identified, &digest, error).await,
                None => Err(error),
            },
        }
    }

    async fn buy(
        &self,
        caller: &Caller,
        request: &ProvisionRequest,
        digest: [u8; 32],
        payload: PaymentPayload,
        resource_url: &str,
    ) -> Result<Submitted, Error> {
        let sheet = self.quote(request, resource_url)?;
        let verified = self.verify(payload, request, sheet).await?;
        self.check(caller, &verified).await?;
        self.claim(caller, request, digest, &verified).await
    }

    async fn join_after(
        &self,
        identified: &Identified,
        digest: &[u8; 32],
        error: Error,
    ) -> Result<Submitted, Error> {
        if matches!(error, Error::PayerMismatch) {
            return Err(error);
        }
        match self.find_bought(identified).await? {
            Some(bought) => join(&bought, digest),
            None => Err(error),
        }
    }

    /// Binds the payment to a new operation, in one transaction with everything that follows from
    /// it. After its commit the order exists and will be finished by some replica.
    async fn claim(
        &self,
        caller: &Caller,
        request: &ProvisionRequest,
        digest: [u8; 32],
        verified: &VerifiedPayment,
    ) -> Result<Submitted, Error> {
        let now = self.now();
        let entropy = self.entropy.as_ref();
        let id = InstanceId::generate(now, entropy);
        let mut tx = self.store.begin(TxMode::Write).await?;
        self.spend_nonce(tx.as_mut(), caller).await?;
        let owner = self.owner_for(tx.as_mut(), caller, verified, now).await?;
        let timing = self.timing();
        let since = now.minus(timing.hanging_window);
        // A settlement that takes longer than any call is one whose process died in it.
        let overdue = now.minus(Span::from_millis(timing.lease.millis() / 2));
        if let Some(hanging) = tx.find_hanging(owner, &digest, since, overdue).await? {
            tx.rollback().await?;
            return Err(Error::OperationInProgress {
                instance: hanging.instance,
            });
        }
        let instance = new_instance(id, owner, request, verified, now);
        let operation = Operation::open(
            OperationId::generate(now, entropy),
            OperationKind::Provision,
            owner,
            id,
            Some(request.machine()),
            digest,
            now,
        );
        let payment = Payment {
            id: PaymentId::generate(now, entropy),
            operation: operation.id,
            owner,
            rail: verified.rail.clone(),
            proof_key: verified.proof_key.clone(),
            payer: verified.payer,
            price: Self::price_of(verified),
            asset: AssetAmount {
                atomic: verified.proof.offer.amount().get(),
                decimals: verified.decimals,
            },
            void_after: Timestamp::from_secs(verified.valid_before_s),
            claimed_at: now,
            state: PaymentState::Claimed,
        };
        let sealed = self.seal_proof(&payment, &verified.proof)?;
        tx.insert_instance(&instance).await?;
        let until = now.plus(self.timing().lease);
        let lease = match tx
            .open_operation(&operation, &self.config.holder, until)
            .await?
        {
            Opened::Leased(lease) => lease,
            // The instance is new, so nobody can be working on it.
            Opened::InstanceBusy => return Err(Error::OperationInProgress { instance: id }),
        };
        match tx.claim_payment(&payment, &sealed).await? {
            ClaimOutcome::AlreadyClaimed(winner) => {
                tx.rollback().await?;
                return self.join_winner(&winner, &digest).await;
            }
            ClaimOutcome::Claimed => {}
        }
        let detail = format!("{{\"rail\":\"{}\"}}", payment.rail);
        tx.append_event(operation.id, now, &self.config.holder, "claimed", &detail)
            .await?;
        tx.commit().await?;
        tracing::info!(
            operation.id = %operation.id, instance.id = %id, owner.id = %owner,
            payment.rail = %payment.rail, price = %payment.price, "payment claimed"
        );
        Ok(Submitted::leased(&operation, lease))
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

fn join(bought: &Operation, digest: &[u8; 32]) -> Result<Submitted, Error> {
    if bought.request_digest == *digest {
        Ok(Submitted::replay(bought))
    } else {
        Err(Error::PaymentAlreadyUsed)
    }
}

fn new_instance(
    id: InstanceId,
    owner: OwnerId,
    request: &ProvisionRequest,
    verified: &VerifiedPayment,
    now: Timestamp,
) -> Instance {
    Instance {
        id,
        owner,
        provider: request.plan.provider(),
        plan: request.plan.clone(),
        region: request.region.clone(),
        os: request.os.clone(),
        label: request.label.clone(),
        rate: verified.sheet.rate,
        hours: request.hours,
        price: Engine::price_of(verified),
        access: request.access(),
        ip: None,
        created_at: now,
        state: InstanceState::Pending,
    }
}
