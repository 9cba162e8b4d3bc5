//! Before a payment is claimed: what only the chain knows. Moves nothing.

use core::cmp::Ordering;

use compute_engine::ChargeProof;
use compute_engine::ports::{Check, RailUnavailable};
use compute_evm::NodeError;
use compute_mpp::tempo::{EXPIRING_NONCE_KEY, Transaction, VerifiedPull};

use crate::chain::Objection;
use crate::lookup::read;
use crate::paying::{Paying, Way, objection_code};
use crate::rail::{TempoRail, unavailable};
use crate::verdict::{Unclear, Verdict};

/// No receipt shows a transaction that its payer says to have sent.
const NOT_FOUND: &str = "transaction_not_found";
/// The chain would keep the transaction waiting for others that nobody may ever send.
const NONCE_GAP: &str = "nonce_too_high";

/// A hash costs its sender nothing, so that not many looks are spent on it: 3 s with the usual pause.
const MAX_PUSH_LOOKS: u32 = 6;

impl TempoRail {
    pub(crate) async fn try_check(&self, proof: &ChargeProof) -> Result<Check, RailUnavailable> {
        let paying = read(proof)?;
        let checked = match &paying.way {
            Way::Pull(transaction) => self.check_pull(&paying, transaction).await,
            Way::Push => self.check_push(&paying).await,
        };
        checked.map_err(|error| unavailable(&error))
    }

    async fn check_pull(
        &self,
        paying: &Paying<'_>,
        transaction: &Transaction,
    ) -> Result<Check, Unclear> {
        let pull = match paying.verify(transaction, self.clock.now().secs()) {
            Ok(pull) => pull,
            Err(error) => return Ok(refused(objection_code(&error))),
        };
        // Sent already, by an attempt whose answer was lost or by the payer: it is as good.
        if let Some(told) = tell(self.chain.look(paying).await?) {
            return Ok(told);
        }
        let Some(objection) = self.find_objection(paying, &pull).await? else {
            return Ok(Check::Fine);
        };
        // What speaks against it may be that it has just been carried out.
        if let Some(told) = tell(self.chain.look(paying).await?) {
            return Ok(told);
        }
        if self.chain.is_known(&paying.hash).await? {
            return Err(Unclear::Contradiction("the transaction is in no block yet"));
        }
        if objection == Objection::Nonce.code() {
            // Or been paid in another envelope, which settling will find.
            if self.chain.find_by_memo(paying).await?.is_some() {
                return Ok(Check::Fine);
            }
            self.confirm_nonce(paying, transaction).await?;
        }
        Ok(refused(objection))
    }

    /// Who is told that its nonce is used pays again. So the nonce must have been used in a block that
    /// every machine has by now, and all of them without this transaction; what is remembered of an
    /// expiring nonce is the payment itself, in this envelope or in another one.
    async fn confirm_nonce(
        &self,
        paying: &Paying<'_>,
        transaction: &Transaction,
    ) -> Result<(), Unclear> {
        let body = &transaction.body;
        let is_taken = body.nonce_key != EXPIRING_NONCE_KEY && {
            let head = self.chain.head().await?;
            let taken = self.chain.nonces_taken(paying.payer, body.nonce_key, head);
            taken.await? > body.nonce
        };
        if is_taken && matches!(self.chain.look(paying).await?, Verdict::Absent) {
            return Ok(());
        }
        Err(Unclear::Contradiction(
            "its nonce is used, perhaps by the payment itself",
        ))
    }

    /// What the chain has against a transaction that is not in.
    async fn find_objection(
        &self,
        paying: &Paying<'_>,
        pull: &VerifiedPull,
    ) -> Result<Option<&'static str>, NodeError> {
        let body = &pull.transaction.body;
        if body.nonce_key != EXPIRING_NONCE_KEY {
            let next = self.chain.next_nonce(pull.payer, body.nonce_key, None);
            match body.nonce.cmp(&next.await?) {
                Ordering::Less => return Ok(Some(Objection::Nonce.code())),
                Ordering::Greater => return Ok(Some(NONCE_GAP)),
                Ordering::Equal => {}
            }
        }
        let Err(error) = self.chain.simulate(pull).await else {
            return Ok(None);
        };
        let code = match Objection::of(&error) {
            Objection::Unclear => return Err(error),
            Objection::Reverts if self.chain.balance(pull.payer).await? < paying.charge.amount => {
                Objection::Funds.code()
            }
            objection => objection.code(),
        };
        Ok(Some(code))
    }

    async fn check_push(&self, paying: &Paying<'_>) -> Result<Check, Unclear> {
        // The payer's node may be faster than ours.
        for look in 0..self.looks.clamp(1, MAX_PUSH_LOOKS) {
            if look > 0 {
                tokio::time::sleep(self.timeouts.poll).await;
            }
            if let Some(told) = tell(self.chain.look(paying).await?) {
                return Ok(told);
            }
        }
        // Who is told that it is not there pays again: that must not be said of what is on its way.
        if self.chain.is_known(&paying.hash).await? {
            return Err(Unclear::Contradiction("the transaction is in no block yet"));
        }
        Ok(refused(NOT_FOUND))
    }
}

/// What is to be said about a transaction that the node shows.
fn tell(seen: Verdict) -> Option<Check> {
    match seen {
        Verdict::Absent => None,
        Verdict::Paid(_) => Some(Check::Fine),
        Verdict::Failed(code) => Some(refused(code)),
    }
}

fn refused(code: &str) -> Check {
    Check::Refused {
        code: code.to_owned(),
    }
}
