//! The claim: the payment and what it buys are bound together in one transaction, or nothing is.

use compute_domain::id::{OwnerId, PaymentId};
use compute_domain::operation::Operation;
use compute_domain::payment::{Payment, PaymentState};
use compute_domain::time::{Span, Timestamp};
use compute_wallet::WalletAddress;

use crate::engine::Engine;
use crate::error::Error;
use crate::identity::Caller;
use crate::names::Named;
use crate::payment::{AnyProof, VerifiedPayment};
use crate::ports::{ClaimOutcome, NameScope, Tx, TxMode};
use crate::purchase::{Purchase, Submitted, join};
use crate::sent::is_sent;
use crate::subject::Opened;

impl Engine {
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
        let scope = purchase.scope_of_names(verified, owner);
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
    pub(crate) const fn is_unclaimed(&self, verified: &VerifiedPayment) -> bool {
        matches!(
            (self.caller, &verified.proof),
            (Caller::Anonymous, AnyProof::Mpp(_))
        )
    }

    /// Whose names the purchase's are: the owner's, or the paying wallet's where the owner is as new as
    /// the purchase. Nobody's without either.
    fn scope_of_names(&self, verified: &VerifiedPayment, owner: OwnerId) -> Option<NameScope> {
        if self.is_unclaimed(verified) {
            verified.payer.map(NameScope::Payer)
        } else {
            Some(NameScope::Owner(owner))
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
