//! The loop: load, plan, commit the beginning, act, decide, commit the result.

use std::sync::Arc;

use compute_domain::id::{InstanceId, OperationId, TransferId};
use compute_domain::instance::Instance;
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::operation::{Operation, OperationKind, OperationState, Step};
use compute_domain::payment::Payment;
use compute_domain::prepaid::Prepaid;
use compute_domain::time::{Span, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use tracing::Instrument as _;

use super::decide::{Context, Decision, Outcome, PasswordWrite, Work, decide};
use super::failpoints;
use super::plan::{Effect, Next, plan};
use crate::charge::ChargeProof;
use crate::engine::Engine;
use crate::error::Error;
use crate::password::seal_context;
use crate::payment::AnyProof;
use crate::ports::{
    AnyRail, ClaimedPayment, Lease, Lookup, Mpp, Posted, Power, Quarantine, Rail, RailUnavailable,
    Settlement, StoreError, Tx, TxMode,
};
use crate::proof::StoredProof;
use crate::purchase::Submitted;
use crate::traced::step_span;

/// What a decision changes.
#[derive(Clone, Copy)]
struct Change<'a> {
    decision: &'a Decision,
    moves_instance: bool,
}

/// Whether there may be more to do at once.
enum Turn {
    Again,
    Done,
}

impl Engine {
    /// Does accepted work until it rests, must wait for long, or somebody else took it over. Run it
    /// on a task of its own: a client that goes away must stop nothing. After a failure the lease
    /// runs out and any replica goes on from what was committed.
    pub async fn work(&self, submitted: Submitted) {
        if let Some(lease) = submitted.lease {
            self.run(lease).await;
        }
    }

    pub(crate) async fn run(&self, lease: Lease) {
        loop {
            match self.turn(&lease).await {
                Ok(Turn::Again) => {}
                Ok(Turn::Done) => return,
                Err(Error::Internal(source)) if is_lease_lost(source.as_ref()) => {
                    tracing::info!(operation.id = %lease.operation, "taken over by another replica");
                    return;
                }
                Err(error) => {
                    tracing::error!(
                        operation.id = %lease.operation, error = %chain(&error),
                        "operation interrupted; it continues when its lease ends"
                    );
                    return;
                }
            }
        }
    }

    async fn turn(&self, lease: &Lease) -> Result<Turn, Error> {
        if self.is_stopping() {
            return self.give_back(lease).await;
        }
        let (work, quarantine) = self.load(lease.operation).await?;
        if quarantine.is_some_and(|quarantine| must_wait(&work.operation, &quarantine)) {
            return self.hold(work.operation, lease).await;
        }
        let effect = match plan(&work.operation, self.now()) {
            Next::Rest => return Ok(Turn::Done),
            Next::Wait(until) => return self.pause(lease, until).await,
            Next::Perform(effect) => effect,
            Next::Begin(effect) => {
                let begun = self.begin(&work, lease).await?;
                return self
                    .act(
                        Work {
                            operation: begun,
                            ..work
                        },
                        effect,
                        lease,
                    )
                    .await;
            }
        };
        self.act(work, effect, lease).await
    }

    async fn act(&self, work: Work, effect: Effect, lease: &Lease) -> Result<Turn, Error> {
        let span = step_span(&work.operation, work.step());
        let outcome = self.perform(&work, effect).instrument(span).await?;
        failpoints::reached(&work.operation, "effect.after");
        let (before, instance_before) = (work.operation.clone(), work.instance.clone());
        let mut jitter = [0_u8; 2];
        self.entropy.fill(&mut jitter);
        let now = self.now();
        let context = Context {
            now,
            timing: self.timing(),
            transfer_ids: core::array::from_fn(|_| {
                TransferId::generate(now, self.entropy.as_ref())
            }),
            jitter_permille: i64::from(u16::from_le_bytes(jitter) % 201) - 100,
        };
        let decision =
            decide(work, outcome, &context).map_err(|error| Error::Internal(Box::new(error)))?;
        failpoints::reached(&before, "result.before");
        let change = Change {
            decision: &decision,
            moves_instance: decision.work.instance != instance_before,
        };
        self.conclude_patiently(change, lease, now).await?;
        failpoints::reached(&before, "result.after");
        self.progress_of(lease.operation).notify(usize::MAX);
        report(&decision);
        Ok(Turn::Again)
    }

    async fn load(&self, id: OperationId) -> Result<(Work, Option<Quarantine>), Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let operation = tx
            .find_operation(id)
            .await?
            .ok_or_else(|| lost("operation"))?;
        // An extension that has let go of its instance must not touch it again.
        let instance = match operation.instance {
            Some(id) if operation.data.hold_released_at.is_none() => {
                let found = tx.find_instance(id).await?;
                Some(found.ok_or_else(|| lost("instance"))?)
            }
            _ => None,
        };
        let prepaid = match &instance {
            Some(instance)
                if matches!(
                    operation.kind,
                    OperationKind::Extend | OperationKind::Resize
                ) =>
            {
                tx.lots_of(instance.id).await?
            }
            _ => Prepaid::default(),
        };
        let payment = tx.payment_of(id).await?;
        let quarantine = tx.find_quarantine().await?;
        tx.rollback().await?;
        let work = Work {
            operation,
            instance,
            payment,
            prepaid,
        };
        Ok((work, quarantine))
    }

    /// Leaves an operation alone for as long as there is a quarantine.
    async fn hold(&self, operation: Operation, lease: &Lease) -> Result<Turn, Error> {
        let now = self.now();
        let is_news = !operation.data.was_held;
        let mut held = operation.look_again(now.plus(self.timing().retry_max));
        held.data.was_held = true;
        let mut tx = self.store.begin(TxMode::Write).await?;
        tx.save_operation(&held, lease, now.plus(self.timing().lease))
            .await?;
        if is_news {
            tx.append_event(held.id, now, &lease.holder, "held", "quarantine")
                .await?;
        }
        tx.release_lease(lease).await?;
        tx.commit().await?;
        tracing::warn!(operation.id = %held.id, "a purchase waits for the end of the quarantine");
        Ok(Turn::Done)
    }

    /// Sleeps through a short wait; gives the operation back for a long one.
    async fn pause(&self, lease: &Lease, until: Timestamp) -> Result<Turn, Error> {
        if until.since(self.now()) <= self.timing().linger {
            self.timer.sleep_until(until).await;
            return Ok(Turn::Again);
        }
        self.give_back(lease).await
    }

    async fn give_back(&self, lease: &Lease) -> Result<Turn, Error> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        tx.release_lease(lease).await?;
        tx.commit().await?;
        Ok(Turn::Done)
    }

    async fn begin(&self, work: &Work, lease: &Lease) -> Result<Operation, Error> {
        let now = self.now();
        failpoints::reached(&work.operation, "begin.before");
        let begun = work.operation.clone().begin(now);
        let mut tx = self.store.begin(TxMode::Write).await?;
        tx.save_operation(&begun, lease, now.plus(self.timing().lease))
            .await?;
        let event = work
            .step()
            .map_or_else(String::new, |step| format!("{step}.begun"));
        tx.append_event(begun.id, now, &lease.holder, &event, "")
            .await?;
        tx.commit().await?;
        failpoints::reached(&begun, "begin.after");
        Ok(begun)
    }

    /// What came of an effect may exist nowhere else (a root password, a facilitator's only answer),
    /// so a database that is away for a moment is tried again while the lease lasts. Writing the same
    /// decision twice changes nothing but the log.
    async fn conclude_patiently(
        &self,
        change: Change<'_>,
        lease: &Lease,
        since: Timestamp,
    ) -> Result<(), Error> {
        let give_up = since.plus(Span::from_millis(self.timing().lease.millis() / 2));
        let mut pause = Span::from_millis(50);
        loop {
            match self.conclude(change, lease).await {
                Err(Error::Unavailable(source)) if self.now() < give_up => {
                    tracing::warn!(
                        operation.id = %lease.operation, error = %chain(&source),
                        "a result could not be stored yet"
                    );
                }
                outcome => return outcome,
            }
            self.timer.sleep_until(self.now().plus(pause)).await;
            pause = pause.doubled(Span::from_secs(2));
        }
    }

    async fn conclude(&self, change: Change<'_>, lease: &Lease) -> Result<(), Error> {
        let decision = change.decision;
        let Work {
            operation,
            instance,
            payment,
            ..
        } = &decision.work;
        let now = self.now();
        let mut tx = self.store.begin(TxMode::Write).await?;
        // Instance, operation, accounts, places: every transaction locks in this order, so that no two
        // wait for each other.
        if let Some(instance) = instance
            && change.moves_instance
        {
            tx.lock_instance(instance.id).await?;
        }
        tx.save_operation(operation, lease, now.plus(self.timing().lease))
            .await?;
        let mut has_settled = false;
        for transfer in &decision.transfers {
            let is_new = self
                .write_transfer(tx.as_mut(), operation, transfer)
                .await?;
            has_settled |= is_new
                && matches!(
                    transfer.reason,
                    TransferReason::Sale | TransferReason::Topup
                );
        }
        if let Some(instance) = instance {
            if change.moves_instance {
                self.write_instance(tx.as_mut(), instance, operation.id)
                    .await?;
            }
            if let Some(prepaid) = &decision.prepaid {
                tx.save_lots(instance.id, prepaid).await?;
            }
            self.write_password(tx.as_mut(), instance.id, &decision.password, now)
                .await?;
        }
        if let Some(payment) = payment {
            tx.save_payment(payment).await?;
            if has_settled {
                self.claim_arrival(tx.as_mut(), payment, now).await?;
            }
        }
        tx.append_event(
            operation.id,
            now,
            &lease.holder,
            decision.event,
            &decision.detail,
        )
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Writes an instance; one that has just come to its end gives its place back, and one that costs
    /// another amount takes up as much. By what the database says, because this decision may have been
    /// written before.
    pub(crate) async fn write_instance(
        &self,
        tx: &mut dyn Tx,
        instance: &Instance,
        operation: OperationId,
    ) -> Result<(), Error> {
        let stored = tx.lock_instance(instance.id).await?;
        let mut instance = instance.clone();
        if let Some(stored) = &stored {
            // Its owner sets it whatever else is being done, and this decision is from before.
            instance.is_protected = stored.is_protected;
        }
        if let Some(stored) = stored.as_ref().filter(|stored| stored.is_live()) {
            let (owner, before, after) = (stored.owner, stored.place_rate(), instance.place_rate());
            if !instance.is_live() {
                tx.free_place(owner, before).await?;
            } else if before != after {
                tx.change_place(owner, before, after, None).await?;
            }
        }
        // An instance is written before anything is done about it.
        let stored = stored.ok_or(Error::NotFound)?;
        self.put_instance(tx, &stored, &instance, operation).await
    }

    /// Writes a transfer once, and says whether it is new. Credits that go back leave the budget of
    /// the key that spent them.
    async fn write_transfer(
        &self,
        tx: &mut dyn Tx,
        operation: &Operation,
        transfer: &Transfer,
    ) -> Result<bool, Error> {
        match self.post(tx, transfer, operation.instance).await? {
            Posted::New => {}
            // This very decision was written before, and its acknowledgement was lost.
            Posted::Already => return Ok(false),
            Posted::Insufficient => {
                return Err(Error::Internal(
                    "an operation would overdraw credits".into(),
                ));
            }
        }
        let api_key = operation.data.credits.and_then(|spent| spent.api_key);
        if let Some(api_key) = api_key
            && transfer.reason == TransferReason::SpendReversal
        {
            tx.uncharge_api_key(api_key, transfer.amount).await?;
        }
        if let (TransferReason::PaymentRefund, Account::Credits(owner)) =
            (transfer.reason, &transfer.credit)
        {
            self.freeze_given(tx, operation.id, *owner, transfer.amount)
                .await?;
        }
        Ok(true)
    }

    async fn write_password(
        &self,
        tx: &mut dyn Tx,
        instance: InstanceId,
        password: &PasswordWrite,
        now: Timestamp,
    ) -> Result<(), Error> {
        let seal = |password: &SecretString| {
            let bytes = password.expose_secret().as_bytes();
            let sealer = &self.secrets.sealer;
            sealer
                .seal(bytes, &seal_context(instance), self.entropy.as_ref())
                .map_err(|error| Error::Internal(Box::new(error)))
        };
        match password {
            PasswordWrite::Keep => {}
            PasswordWrite::Erase => tx.erase_password(instance).await?,
            PasswordWrite::Store(password) => {
                tx.store_password(instance, &seal(password)?, now).await?;
            }
            PasswordWrite::Replace(password, at) => {
                tx.replace_password(instance, &seal(password)?, *at).await?;
            }
        }
        Ok(())
    }

    async fn perform(&self, work: &Work, effect: Effect) -> Result<Outcome, Error> {
        Ok(match effect {
            Effect::Settle => Outcome::Settlement(match self.claimed(work).await? {
                Ok(claimed) => claimed.settle().await,
                Err(missing) => without_rail(work, missing.reason),
            }),
            Effect::LookUpPayment => Outcome::Lookup(match self.claimed(work).await? {
                Ok(claimed) => claimed.lookup().await,
                Err(missing) => Err(missing),
            }),
            Effect::CreateMachine => {
                let user_data = self.open_user_data(&work.operation)?;
                Outcome::Created(self.create_machine(work, user_data).await)
            }
            Effect::FindMachines => Outcome::Found(match self.provider_of(work) {
                Ok(provider) => provider.find(work.operation.id).await,
                Err(missing) => Err(missing),
            }),
            Effect::Observe => Outcome::Observed(self.observe(work).await),
            Effect::DestroyMachine => Outcome::Destroyed(self.destroy_machine(work).await),
            Effect::ConfirmGone => Outcome::Gone(self.confirm_gone(work).await),
            Effect::PostRefund => Outcome::Refund,
            Effect::PowerOff => Outcome::Switched(self.power(work, Power::Off).await),
            Effect::PowerOn => Outcome::Switched(self.power(work, Power::On).await),
            Effect::ChangePlan => Outcome::ChangeBegun(self.change_plan(work).await),
            Effect::ObserveChange => Outcome::ChangeSeen(self.observe_change(work).await),
            Effect::UseSwitch => Outcome::Switched(self.use_switch(work).await),
        })
    }

    /// The rail and the proof of a claimed payment. The inner error is a rail that is no longer
    /// configured: certainly nothing was sent this time.
    async fn claimed(&self, work: &Work) -> Result<Result<Claimed, RailUnavailable>, Error> {
        let payment = work.payment.clone().ok_or_else(|| lost("payment"))?;
        let Some(rail) = self.rail(&payment.rail).cloned() else {
            let reason = format!("rail {} is not configured", payment.rail);
            return Ok(Err(RailUnavailable { reason }));
        };
        let mut tx = self.store.begin(TxMode::Read).await?;
        let sealed = tx.load_sealed_proof(work.operation.id).await?;
        tx.rollback().await?;
        let sealed = sealed.ok_or_else(|| lost("sealed proof"))?;
        let bytes = self.open_proof(&payment, &sealed)?;
        let unreadable = |error| Error::Internal(Box::new(error));
        Ok(Ok(match rail {
            AnyRail::X402(rail) => {
                let proof = StoredProof::from_bytes(&bytes).map_err(unreadable)?;
                Claimed::X402(rail, ClaimedPayment::new(payment, proof))
            }
            AnyRail::Mpp(rail) => {
                let proof = ChargeProof::from_bytes(&bytes).map_err(unreadable)?;
                Claimed::Mpp(rail, ClaimedPayment::new(payment, proof))
            }
        }))
    }

    pub(crate) fn seal_proof(&self, payment: &Payment, proof: &AnyProof) -> Result<Vec<u8>, Error> {
        let bytes = match proof {
            AnyProof::X402(proof) => proof.to_bytes(),
            AnyProof::Mpp(proof) => proof.to_bytes(),
        };
        let bytes = bytes.map_err(|error| Error::Internal(Box::new(error)))?;
        let context = proof_context(payment);
        let sealed = self
            .secrets
            .sealer
            .seal(&bytes, &context, self.entropy.as_ref());
        sealed.map_err(|error| Error::Internal(Box::new(error)))
    }

    fn open_proof(&self, payment: &Payment, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let opened = self.secrets.sealer.open(sealed, &proof_context(payment));
        opened.map_err(|error| Error::Internal(Box::new(error)))
    }
}

/// A claimed payment and its rail.
#[expect(
    clippy::large_enum_variant,
    reason = "a value lives for one step; boxing it buys nothing"
)]
enum Claimed {
    X402(Arc<dyn Rail>, ClaimedPayment),
    Mpp(Arc<dyn Rail<Mpp>>, ClaimedPayment<Mpp>),
}

impl Claimed {
    async fn settle(&self) -> Settlement {
        match self {
            Self::X402(rail, payment) => rail.settle(payment).await,
            Self::Mpp(rail, payment) => rail.settle(payment).await,
        }
    }

    async fn lookup(&self) -> Result<Lookup, RailUnavailable> {
        match self {
            Self::X402(rail, payment) => rail.lookup(payment).await,
            Self::Mpp(rail, payment) => rail.lookup(payment).await,
        }
    }
}

/// The associated data of a sealed proof.
fn proof_context(payment: &Payment) -> String {
    format!("payments/{}", payment.id)
}

fn lost(what: &'static str) -> Error {
    Error::Internal(format!("the operation's {what} is missing").into())
}

/// Whether the world may know more of this purchase than the database: it was being delivered when the
/// quarantine began. Another machine must not be made for it, nor its own be taken back.
fn must_wait(operation: &Operation, quarantine: &Quarantine) -> bool {
    let step = operation.progress().map(|progress| progress.step);
    operation.kind == OperationKind::Provision
        && matches!(step, Some(Step::Create | Step::AwaitReady))
        && operation.created_at < quarantine.since
}

fn is_lease_lost(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(
        error.downcast_ref::<StoreError>(),
        Some(StoreError::LeaseLost)
    )
}

/// What is known of a payment whose rail is not configured any more. We sent nothing; but a transfer that a
/// credential shows is its sender's too, and may have been sent.
fn without_rail(work: &Work, reason: String) -> Settlement {
    let payment = work.payment.as_ref();
    if payment.is_some_and(|payment| payment.challenge_id.is_some() && payment.payer.is_some()) {
        Settlement::Unknown { reason }
    } else {
        Settlement::NotSent { reason }
    }
}

/// The whole chain of an error, for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn report(decision: &Decision) {
    let operation = &decision.work.operation;
    let instance = operation.instance.map(tracing::field::display);
    if decision.is_alarming {
        tracing::error!(
            operation.id = %operation.id, operation.kind = %operation.kind,
            instance.id = instance, event = decision.event, detail = %decision.detail,
            "operation makes no progress"
        );
    }
    let age = operation
        .finished_at
        .map_or(Span::ZERO, |at| at.since(operation.created_at));
    match &operation.state {
        OperationState::Running(_) => tracing::debug!(
            operation.id = %operation.id, event = decision.event, detail = %decision.detail,
            "operation moved"
        ),
        OperationState::Succeeded => tracing::info!(
            operation.id = %operation.id, operation.kind = %operation.kind,
            instance.id = instance, duration_ms = age.millis(), "operation succeeded"
        ),
        OperationState::Failed { code } => tracing::warn!(
            operation.id = %operation.id, operation.kind = %operation.kind,
            instance.id = instance, code = %code, detail = %decision.detail,
            "operation failed; the customer lost nothing"
        ),
        OperationState::Stuck { code, step } => tracing::error!(
            operation.id = %operation.id, operation.kind = %operation.kind,
            instance.id = instance, code = %code, operation.step = %step,
            "operation is stuck: a human must decide"
        ),
    }
}
