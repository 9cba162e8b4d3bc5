//! The simulated settlement network: real signatures move play money.

mod accounts;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use compute_domain::WalletAddress;
use compute_domain::payment::Evidence;
use compute_domain::time::{Clock, Timestamp};
use compute_engine::StoredProof;
use compute_engine::ports::{
    Check, ClaimedPayment, Lookup, Rail, RailHealth, RailSpec, RailUnavailable, Settlement,
};
use compute_x402::{ErrorCode, Identified, identify};
use sha2::{Digest, Sha256};

pub(crate) use self::accounts::{Accounts, Transfer, TransferRefused};
use crate::error::SimulatorError;
use crate::permit::DevPermit;

/// How a simulated payment network is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettlementBehaviour {
    /// What every account holds before its first transfer, in whole tokens.
    pub opening_balance: u32,
}

impl Default for SettlementBehaviour {
    /// A million test dollars for everybody.
    fn default() -> Self {
        Self {
            opening_balance: 1_000_000,
        }
    }
}

/// A payment network of its own, with one token.
///
/// It checks signature, amount, recipient, time and balance as the token contract would, and
/// settles a proof once: a repeat answers with the same evidence and moves nothing.
#[derive(Debug)]
pub struct SimulatedSettlement {
    spec: RailSpec,
    clock: Arc<dyn Clock>,
    accounts: Mutex<Accounts>,
}

impl SimulatedSettlement {
    /// A network for the token of `spec`. Its transfers outlive the process when there is a
    /// journal.
    ///
    /// # Errors
    /// When the journal cannot be read or written, is not one, or is held by another process, and
    /// when the opening balance exceeds 128 bits in the token's atomic units.
    pub fn new(
        spec: RailSpec,
        _permit: DevPermit,
        clock: Arc<dyn Clock>,
        journal_path: Option<PathBuf>,
        behaviour: SettlementBehaviour,
    ) -> Result<Self, SimulatorError> {
        let opening_balance = opening_balance(spec.decimals, behaviour)?;
        let accounts = Mutex::new(Accounts::open(opening_balance, journal_path.as_deref())?);
        Ok(Self {
            spec,
            clock,
            accounts,
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

    /// What holds whatever the time and the balances: a proof that fails here never settles.
    fn identify(&self, proof: &StoredProof) -> Result<Identified, ErrorCode> {
        let found = identify(&proof.payload, &self.spec.token).map_err(|fault| fault.code())?;
        if proof.offer.token() != &*self.spec.token {
            return Err(ErrorCode::InvalidPaymentRequirements);
        }
        if found.pay_to != proof.offer.pay_to() {
            return Err(ErrorCode::EvmRecipientMismatch);
        }
        if found.value != proof.offer.amount() {
            return Err(ErrorCode::EvmAuthorizationValue);
        }
        Ok(found)
    }
}

#[async_trait]
impl Rail for SimulatedSettlement {
    fn spec(&self) -> &RailSpec {
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

    async fn check(&self, proof: &StoredProof) -> Result<Check, RailUnavailable> {
        let refuse = |code: &ErrorCode| {
            Ok(Check::Refused {
                code: code.to_string(),
            })
        };
        let payment = match self.identify(proof) {
            Ok(payment) => payment,
            Err(code) => return refuse(&code),
        };
        let mut accounts = self.accounts();
        let now = accounts.time(self.clock.now());
        if accounts.has_settled(payment.proof_key.as_str()) {
            return refuse(&ErrorCode::EvmNonceAlreadyUsed);
        }
        if let Err(code) = check_time(&payment, now) {
            return refuse(&code);
        }
        if accounts.balance_of(&payment.payer) < payment.value.get() {
            return refuse(&ErrorCode::InsufficientFunds);
        }
        Ok(Check::Fine)
    }

    async fn settle(&self, payment: &ClaimedPayment) -> Settlement {
        let decline = |code: &ErrorCode| Settlement::Declined {
            code: code.to_string(),
        };
        let payment = match self.identify(payment.proof()) {
            Ok(payment) => payment,
            Err(code) => return decline(&code),
        };
        let mut accounts = self.accounts();
        // Read under the lock: no settlement may follow a look that found the proof expired.
        let now = accounts.time(self.clock.now());
        if accounts.has_settled(payment.proof_key.as_str()) {
            return Settlement::Settled(evidence(&payment));
        }
        if let Err(code) = check_time(&payment, now) {
            return decline(&code);
        }
        let transfer = Transfer {
            proof_key: payment.proof_key.to_string(),
            payer: payment.payer,
            pay_to: payment.pay_to,
            value: payment.value.get(),
        };
        match accounts.transfer(&transfer, now) {
            Ok(()) => Settlement::Settled(evidence(&payment)),
            Err(TransferRefused::Funds) => decline(&ErrorCode::InsufficientFunds),
            Err(TransferRefused::Overflow) => decline(&ErrorCode::InvalidTransactionState),
            // The line may have reached the file after all, and then counts after a restart.
            Err(TransferRefused::Journal(error)) => Settlement::Unknown {
                reason: format!("the journal cannot be written: {error:?}"),
            },
        }
    }

    async fn lookup(&self, payment: &ClaimedPayment) -> Result<Lookup, RailUnavailable> {
        let payment = match self.identify(payment.proof()) {
            Ok(payment) => payment,
            Err(code) => {
                return Ok(Lookup::Never {
                    code: code.to_string(),
                });
            }
        };
        let mut accounts = self.accounts();
        let now = accounts.time(self.clock.now());
        if accounts.has_settled(payment.proof_key.as_str()) {
            return Ok(Lookup::Settled(evidence(&payment)));
        }
        if has_expired(&payment, now) {
            return Ok(Lookup::Never {
                code: ErrorCode::EvmValidBefore.to_string(),
            });
        }
        Ok(Lookup::NotYet)
    }
}

/// What every account holds at first, in atomic units.
pub(crate) fn opening_balance(
    decimals: u8,
    behaviour: SettlementBehaviour,
) -> Result<u128, SimulatorError> {
    let unit = 10_u128.checked_pow(decimals.into());
    unit.and_then(|unit| unit.checked_mul(behaviour.opening_balance.into()))
        .ok_or(SimulatorError::Decimals { decimals })
}

/// EIP-3009 takes an authorization while `validAfter < now < validBefore`; like servers that
/// verify, this network already takes it in the second of `validAfter`.
fn check_time(payment: &Identified, now: Timestamp) -> Result<(), ErrorCode> {
    if has_expired(payment, now) {
        return Err(ErrorCode::EvmValidBefore);
    }
    if now.secs() < payment.valid_after {
        return Err(ErrorCode::EvmValidAfter);
    }
    Ok(())
}

fn has_expired(payment: &Identified, now: Timestamp) -> bool {
    now.secs() >= payment.valid_before
}

/// The reference is a function of the proof, so it is the same in every answer and every run.
fn evidence(payment: &Identified) -> Evidence {
    let digest = Sha256::digest(payment.proof_key.as_str().as_bytes());
    Evidence {
        reference: format!("0x{}", hex::encode(digest)),
        log_index: None,
    }
}
