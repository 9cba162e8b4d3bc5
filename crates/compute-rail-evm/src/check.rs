//! The chain's word on a payment before it settles. Moves nothing.

use compute_engine::StoredProof;
use compute_engine::ports::{Check, RailUnavailable};
use compute_evm::{AuthorizedTransfer, Call as Simulated, NodeError};
use compute_wallet::EvmAddress;
use compute_x402::{Amount, ErrorCode, MethodCode};

use crate::calls::{self, Call};
use crate::paying::{Paying, Permit2Payment, PermitPayment};
use crate::rail::{EvmRail, unavailable};

/// How recently somebody else may have submitted a buyer's payment, in seconds, for it to count as
/// this purchase's. Longer would let old transfers to the same account be shown.
const OBSERVED_S: u64 = 120;

/// What the question to a contract wallet may burn: several owners and a passkey fit.
const CONTRACT_WALLET_GAS: u64 = 500_000;

/// The chain's code for a refusal; `None` for a yes.
type Verdict = Result<Option<ErrorCode>, NodeError>;

impl EvmRail {
    /// The same for another shop. What was used before is a no to it, however it was used: its own
    /// records are not here, and one payment must not be good for two things.
    pub(crate) async fn try_check_unused(
        &self,
        proof: &StoredProof,
    ) -> Result<Check, RailUnavailable> {
        let used = match Paying::of(proof) {
            Some(Paying::Authorization { transfer, .. }) => {
                let used = self.chain.is_used(&transfer, None).await;
                used.map(|used| used.then_some(ErrorCode::EvmNonceAlreadyUsed))
            }
            Some(Paying::Permit2(payment)) => {
                let code = ErrorCode::Method(MethodCode::PERMIT2_NONCE);
                let used = self.chain.is_permit2_used(&payment.transfer, None).await;
                used.map(|used| used.then_some(code))
            }
            Some(Paying::Permit(_)) | None => Ok(None),
        };
        match used.map_err(|error| unavailable(&error.to_string()))? {
            Some(code) => Ok(Check::Refused {
                code: code.as_str().to_owned(),
            }),
            None => self.try_check(proof).await,
        }
    }

    pub(crate) async fn try_check(&self, proof: &StoredProof) -> Result<Check, RailUnavailable> {
        let paying = Paying::of(proof)
            .ok_or_else(|| unavailable("the proof is no payment in this token"))?;
        let verdict = match &paying {
            Paying::Authorization {
                transfer,
                call,
                digest,
                contract_signature,
            } => {
                let signed = (digest, contract_signature.as_deref());
                self.check_authorization(transfer, call, signed).await
            }
            Paying::Permit(payment) => self.check_permit(payment).await,
            Paying::Permit2(payment) => self.check_permit2(payment).await,
        };
        match verdict {
            Ok(None) => Ok(Check::Fine),
            Ok(Some(code)) => Ok(Check::Refused {
                code: code.as_str().to_owned(),
            }),
            Err(error) => Err(unavailable(&error.to_string())),
        }
    }

    async fn check_authorization(
        &self,
        transfer: &AuthorizedTransfer,
        call: &Call,
        (digest, contract_signature): (&[u8; 32], Option<&[u8]>),
    ) -> Verdict {
        if let Some(signature) = contract_signature
            && !self
                .is_signed_by_contract(transfer.from, digest, signature)
                .await?
        {
            return Ok(Some(ErrorCode::EvmSignature));
        }
        if self.chain.is_used(transfer, None).await? {
            // It may be the buyer's own payment to us, submitted by somebody who saw it: the money
            // is here, so the order is due (x402 reference, section 13.4).
            let is_paid = self
                .chain
                .was_paid_since(transfer, self.observed_since())
                .await?;
            return Ok((!is_paid).then_some(ErrorCode::EvmNonceAlreadyUsed));
        }
        if self.holds(transfer.token, transfer.from, None).await? < transfer.amount {
            return Ok(Some(ErrorCode::InsufficientFunds));
        }
        self.simulate(call, ErrorCode::EvmSimulationFailed).await
    }

    async fn check_permit(&self, payment: &PermitPayment) -> Verdict {
        let owner = payment.permit.owner;
        let next = self.permit_nonce(payment, None).await?;
        if payment.permit.nonce < next {
            // Somebody who saw the permit may have submitted it: then the approval is there.
            let is_approved = self.allowance(payment, None).await? >= payment.amount;
            let is_last = payment
                .permit
                .nonce
                .to_u128()
                .and_then(|it| it.checked_add(1))
                == next.to_u128();
            if !is_approved || !is_last {
                return Ok(Some(ErrorCode::Method(MethodCode::PERMIT_NONCE)));
            }
            return self
                .check_balance(payment.token, owner, payment.amount)
                .await;
        }
        if payment.permit.nonce > next {
            return Ok(Some(ErrorCode::Method(MethodCode::PERMIT_NONCE)));
        }
        if let Some(code) = self
            .check_balance(payment.token, owner, payment.amount)
            .await?
        {
            return Ok(Some(code));
        }
        self.simulate(&payment.call, ErrorCode::EvmSimulationFailed)
            .await
    }

    async fn check_permit2(&self, payment: &Permit2Payment) -> Verdict {
        let transfer = &payment.transfer;
        if self.chain.is_permit2_used(transfer, None).await? {
            // As above: somebody may have submitted it just now.
            let since_s = self.observed_since();
            let is_paid = self.chain.was_permit2_paid_since(transfer, since_s).await?;
            let code = ErrorCode::Method(MethodCode::PERMIT2_NONCE);
            return Ok((!is_paid).then_some(code));
        }
        let moved = &transfer.moved;
        let balance = self.check_balance(moved.token, moved.from, moved.amount);
        if let Some(code) = balance.await? {
            return Ok(Some(code));
        }
        if !payment.is_sponsored && self.permit2_allowance(payment).await? < moved.amount {
            return Ok(Some(ErrorCode::Method(MethodCode::PERMIT2_ALLOWANCE)));
        }
        let code = ErrorCode::Method(MethodCode::PERMIT2_SIMULATION);
        self.simulate(&payment.call, code).await
    }

    fn observed_since(&self) -> u64 {
        self.sender.now().secs().saturating_sub(OBSERVED_S)
    }

    async fn check_balance(&self, token: EvmAddress, owner: EvmAddress, amount: Amount) -> Verdict {
        let balance = self.holds(token, owner, None).await?;
        Ok((balance < amount).then_some(ErrorCode::InsufficientFunds))
    }

    async fn simulate(&self, call: &Call, otherwise: ErrorCode) -> Verdict {
        let data = call.data_hex();
        let simulated = Simulated {
            from: self.sender.address(),
            to: call.to(),
            data: &data,
            gas: None,
        };
        match self.chain.node().simulate(&simulated, None).await {
            Ok(_) => Ok(None),
            Err(error) if error.is_revert() => Ok(Some(otherwise)),
            Err(error) => Err(error),
        }
    }

    /// Whether an account is a contract that says that it signed (ERC-1271). Whatever it does
    /// instead of saying so is a no.
    pub(crate) async fn is_signed_by_contract(
        &self,
        account: EvmAddress,
        digest: &[u8; 32],
        signature: &[u8],
    ) -> Result<bool, NodeError> {
        if self.chain.node().code(account).await?.is_empty() {
            return Ok(false);
        }
        let data = calls::is_valid_signature(digest, signature);
        let question = Simulated {
            from: self.sender.address(),
            to: account,
            data: &data,
            gas: Some(CONTRACT_WALLET_GAS),
        };
        match self.chain.node().simulate(&question, None).await {
            Ok(answer) => Ok(calls::is_yes(&answer)),
            // A node that limits requests has not asked the contract.
            Err(error) if error.is_failed_call() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
