//! The simulated settlement of charges: real signatures move play money on a chain that does not exist.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use compute_domain::WalletAddress;
use compute_domain::payment::Evidence;
use compute_domain::time::{Clock, Timestamp};
use compute_engine::ports::{
    Check, ClaimedPayment, Lookup, Mpp, Rail, RailHealth, RailUnavailable, Settlement,
};
use compute_engine::{ChargeProof, ChargeSpec, ChargeTerms, Instrument};
use sha2::{Digest as _, Sha256};

use crate::error::SimulatorError;
use crate::permit::DevPermit;
use crate::settlement::{
    Accounts, SettlementBehaviour, Transfer, TransferRefused, opening_balance,
};

/// A Tempo of its own, with one token.
///
/// What the chain would check of a payment (balance, time, that it is included once), it checks; a
/// repeat answers with the same evidence and moves nothing. Nobody can have sent a transaction to it
/// before, so it takes signed transactions only.
#[derive(Debug)]
pub struct SimulatedCharge {
    spec: ChargeSpec,
    clock: Arc<dyn Clock>,
    accounts: Mutex<Accounts>,
}

/// What a proof would do.
struct Payment {
    key: String,
    transfer: Transfer,
    valid_before_s: u64,
}

impl SimulatedCharge {
    /// A network for the token of `spec`. Its transfers outlive the process when there is a journal.
    ///
    /// # Errors
    /// When the journal cannot be read or written, is not one, or is held by another process, and
    /// when the opening balance exceeds 128 bits in the token's atomic units.
    pub fn new(
        spec: ChargeSpec,
        _permit: DevPermit,
        clock: Arc<dyn Clock>,
        journal_path: Option<PathBuf>,
        behaviour: SettlementBehaviour,
    ) -> Result<Self, SimulatorError> {
        let opening_balance = opening_balance(spec.decimals, behaviour)?;
        let accounts = Accounts::open(opening_balance, journal_path.as_deref())?;
        Ok(Self {
            spec,
            clock,
            accounts: Mutex::new(accounts),
        })
    }

    /// What an account holds now, in the token's atomic units.
    pub fn balance_of(&self, account: &WalletAddress) -> u128 {
        self.accounts().balance_of(account)
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        // A transfer is complete or absent before the lock is given back.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The transaction of a proof; `None` for what this network does not know.
    fn read(&self, proof: &ChargeProof) -> Option<Payment> {
        let ChargeTerms::Tempo(terms) = &proof.terms else {
            return None;
        };
        let Some(Instrument::Transfer(transaction)) = proof.instrument() else {
            return None;
        };
        if proof.terms != self.spec.terms {
            return None;
        }
        let payer = WalletAddress::Evm(transaction.sender().ok()?);
        let key = format!("0x{}", hex::encode(transaction.hash()));
        Some(Payment {
            transfer: Transfer {
                proof_key: key.clone(),
                payer,
                pay_to: WalletAddress::Evm(terms.recipient),
                value: proof.atomic,
            },
            key,
            valid_before_s: transaction.body.valid_before.unwrap_or(u64::MAX),
        })
    }
}

#[async_trait]
impl Rail<Mpp> for SimulatedCharge {
    fn spec(&self) -> &ChargeSpec {
        &self.spec
    }

    async fn health(&self) -> RailHealth {
        if self.accounts().is_writable() {
            RailHealth::Ready
        } else {
            let reason = "the journal of the simulated settlement is damaged".to_owned();
            RailHealth::Withdrawn { reason }
        }
    }

    async fn check(&self, proof: &ChargeProof) -> Result<Check, RailUnavailable> {
        let refuse = |code: &str| {
            Ok(Check::Refused {
                code: code.to_owned(),
            })
        };
        let Some(payment) = self.read(proof) else {
            return refuse("transaction_not_found");
        };
        let mut accounts = self.accounts();
        let now = accounts.time(self.clock.now());
        if accounts.has_settled(&payment.key) {
            return refuse("nonce_used");
        }
        if payment.has_expired(now) {
            return refuse("transaction_expired");
        }
        if accounts.balance_of(&payment.transfer.payer) < payment.transfer.value {
            return refuse("insufficient_funds");
        }
        Ok(Check::Fine)
    }

    async fn settle(&self, payment: &ClaimedPayment<Mpp>) -> Settlement {
        let decline = |code: &str| Settlement::Declined {
            code: code.to_owned(),
        };
        let Some(payment) = self.read(payment.proof()) else {
            return decline("transaction_not_found");
        };
        let mut accounts = self.accounts();
        // Read under the lock: no settlement may follow a look that found the proof expired.
        let now = accounts.time(self.clock.now());
        if accounts.has_settled(&payment.key) {
            return Settlement::Settled(payment.evidence());
        }
        if payment.has_expired(now) {
            return decline("transaction_expired");
        }
        match accounts.transfer(&payment.transfer, now) {
            Ok(()) => Settlement::Settled(payment.evidence()),
            Err(TransferRefused::Funds) => decline("insufficient_funds"),
            Err(TransferRefused::Overflow) => decline("simulation_failed"),
            // The line may have reached the file after all, and then counts after a restart.
            Err(TransferRefused::Journal(error)) => Settlement::Unknown {
                reason: format!("the journal cannot be written: {error:?}"),
            },
        }
    }

    async fn lookup(&self, payment: &ClaimedPayment<Mpp>) -> Result<Lookup, RailUnavailable> {
        let never = |code: &str| {
            Ok(Lookup::Never {
                code: code.to_owned(),
            })
        };
        let Some(payment) = self.read(payment.proof()) else {
            return never("transaction_not_found");
        };
        let mut accounts = self.accounts();
        let now = accounts.time(self.clock.now());
        if accounts.has_settled(&payment.key) {
            return Ok(Lookup::Settled(payment.evidence()));
        }
        if payment.has_expired(now) {
            return never("transaction_expired");
        }
        Ok(Lookup::NotYet)
    }
}

impl Payment {
    fn has_expired(&self, now: Timestamp) -> bool {
        now.secs() >= self.valid_before_s
    }

    /// The reference is a function of the proof, so it is the same in every answer and every run. It is
    /// not the transaction's hash: that belongs to chains that exist.
    fn evidence(&self) -> Evidence {
        let digest = Sha256::digest(self.key.as_bytes());
        Evidence {
            reference: format!("0x{}", hex::encode(digest)),
            log_index: None,
        }
    }
}
