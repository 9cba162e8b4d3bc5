//! What is asked of a payment network about a credential costs somebody something: who may have it
//! asked, and how often. Copies of one payment are one question.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use compute_domain::time::Span;
use compute_wallet::WalletAddress;
use futures::lock::{Mutex as Turnstile, OwnedMutexGuard};

use crate::engine::Engine;
use crate::error::Error;
use crate::payment::{AnyProof, Bought, Identified, VerifiedPayment};
use crate::ports::{NameScope, TxMode};
use crate::purchase::{Purchase, Submitted, join};

/// Who pays, as far as that is known without the payment network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimant {
    /// This wallet, by its signature.
    Signed(WalletAddress),
    /// This wallet, by its own word.
    Named(WalletAddress),
    /// A card.
    Nobody,
}

/// Lets payments by credential through to their network.
pub trait CheckGate: core::fmt::Debug + Send + Sync {
    /// Asked once for each new payment that everything speaks for that can be known without the network;
    /// never for a repeat.
    ///
    /// # Errors
    /// How long to wait, when this claimant, or whoever sends for it, has asked too much of late.
    fn admit(&self, claimant: Claimant) -> Result<(), Span>;
}

/// Payments on their way from the check to the claim, so that copies of one wait for each other.
#[derive(Debug, Default)]
pub(crate) struct Checking(Mutex<BTreeMap<String, Arc<Turnstile<()>>>>);

impl Checking {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Turnstile<()>>>> {
        // Every change is one call that cannot stop half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other copy of this payment for this challenge is on its way.
    async fn turn(&self, proof_key: &str, challenge_id: Option<&str>) -> Turn<'_> {
        let key = format!("{proof_key} {}", challenge_id.unwrap_or_default());
        let place = Arc::clone(self.lock().entry(key.clone()).or_default());
        // Made before the wait, so that whoever gives up waiting leaves nothing behind.
        let mut turn = Turn {
            checking: self,
            key,
            held: None,
            has_waited: false,
        };
        turn.held = place.try_lock_owned();
        if turn.held.is_none() {
            turn.has_waited = true;
            turn.held = Some(place.lock_owned().await);
        }
        turn
    }
}

/// The right to have one payment checked and claimed.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    checking: &'a Checking,
    key: String,
    held: Option<OwnedMutexGuard<()>>,
    has_waited: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.held = None;
        let mut places = self.checking.lock();
        let is_last = |place: &Arc<Turnstile<()>>| Arc::strong_count(place) == 1;
        if places.get(&self.key).is_some_and(is_last) {
            places.remove(&self.key);
        }
    }
}

/// Whether a payment may be checked.
#[derive(Debug)]
pub(crate) enum Entry<'a> {
    /// It may; credentials hold their turn until they are claimed.
    Check(Option<Turn<'a>>),
    /// It need not: this was bought by a copy, or under its name.
    Bought(Submitted),
}

/// How long a copy is to stay away of a payment that was asked about just now and has bought nothing.
const AFTER_COPY: Span = Span::from_secs(1);

impl Engine {
    /// What comes between the verification of a payment and the question to its network.
    ///
    /// # Errors
    /// `PaymentAlreadyUsed`, `RequestKeyReused`, and `TooManyChecks` when the gate is closed, or when a copy
    /// was asked about just now and has bought nothing: so a copy waits for one question at most.
    pub(crate) async fn enter_check(
        &self,
        purchase: &Purchase<'_>,
        verified: &VerifiedPayment,
    ) -> Result<Entry<'_>, Error> {
        let AnyProof::Mpp(_) = &verified.proof else {
            return Ok(Entry::Check(None));
        };
        let challenge_id = verified.challenge_id.as_deref();
        let turn = self.checking.turn(&verified.proof_key, challenge_id).await;
        if turn.has_waited {
            let identified = Identified {
                proof_key: verified.proof_key.clone(),
                challenge_id: verified.challenge_id.clone(),
                payer: verified.payer,
            };
            match self.find_bought(&identified).await? {
                Bought::This(bought) => {
                    return join(&bought, &purchase.digest).map(Entry::Bought);
                }
                Bought::Another => return Err(Error::PaymentAlreadyUsed),
                Bought::Nothing => return Err(Error::TooManyChecks { wait: AFTER_COPY }),
            }
        }
        if let Some(named) = self.find_named_by_payer(purchase, verified).await? {
            return Ok(Entry::Bought(named));
        }
        if let Some(gate) = &purchase.gate {
            gate.admit(verified.claimant())
                .map_err(|wait| Error::TooManyChecks { wait })?;
        }
        Ok(Entry::Check(Some(turn)))
    }

    /// What a name already bought for the wallet that signed this payment, where nobody is authenticated.
    async fn find_named_by_payer(
        &self,
        purchase: &Purchase<'_>,
        verified: &VerifiedPayment,
    ) -> Result<Option<Submitted>, Error> {
        let Claimant::Signed(payer) = verified.claimant() else {
            return Ok(None);
        };
        if purchase.request_keys.is_empty() || !purchase.is_unclaimed(verified) {
            return Ok(None);
        }
        let mut tx = self.store.begin(TxMode::Read).await?;
        let named = Self::names_in(tx.as_mut(), NameScope::Payer(payer), purchase).await;
        tx.rollback().await?;
        Ok(named?.bought.map(|bought| Submitted::named(&bought)))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn copies_take_turns_and_leave_nothing_behind() {
        let checking = Checking::default();
        let first = checking.turn("a", None).now_or_never().unwrap();
        assert!(!first.has_waited);
        let other = checking.turn("b", None).now_or_never().unwrap();
        assert!(!other.has_waited, "another payment");
        let other_challenge = checking.turn("a", Some("c")).now_or_never().unwrap();
        assert!(!other_challenge.has_waited);
        drop(other_challenge);
        let mut second = Box::pin(checking.turn("a", None));
        let mut given_up = Box::pin(checking.turn("a", None));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(given_up.as_mut().now_or_never().is_none());
        drop(first);
        drop(given_up);
        let second = second.now_or_never().unwrap();
        assert!(second.has_waited);
        assert_eq!(checking.lock().len(), 2);
        drop((second, other));
        assert!(checking.lock().is_empty());
    }
}
