//! What the chain says of a payment before it settles (x402 reference, section 7.2, rows 18 to 20).

use compute_engine::StoredProof;
use compute_engine::ports::{Check, RailUnavailable};
use compute_x402::ErrorCode;
use compute_x402::error_code::SvmCode;
use compute_x402::exact_svm::{SvmFault, SvmPayTo};

use crate::fee_payer::{Approved, Shop};
use crate::rail::{SolanaRail, unavailable};
use crate::rpc::RpcError;

/// Why a payment would not settle now, if anything speaks against it.
pub(crate) type Objection = Option<ErrorCode>;

impl SolanaRail {
    pub(crate) async fn try_check(
        &self,
        shop: Shop,
        proof: &StoredProof,
    ) -> Result<Check, RailUnavailable> {
        let now_s = self.book.now().secs();
        let approved = match self.fee_payer.approve(shop, proof, now_s) {
            Ok(approved) => approved,
            Err(code) => return Ok(refused(&code)),
        };
        let signed = self.book.find(&approved.proof_key).await;
        if signed
            .map_err(|error| unavailable(&error.to_string()))?
            .is_some()
        {
            return Ok(refused(&ErrorCode::DuplicateSettlement));
        }
        match self.find_objection(&approved).await {
            Ok(None) => Ok(Check::Fine),
            Ok(Some(code)) => Ok(refused(&code)),
            Err(error) => Err(unavailable(&error.to_string())),
        }
    }

    /// Accounts, age and a simulation.
    ///
    /// The simulation is asked for without our signature: we have checked the buyer's, and ours is
    /// good by construction. A complete transaction would be as good as sent, since whoever holds it
    /// can submit it; and nothing is sent before it is written down.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(crate) async fn find_objection(&self, approved: &Approved) -> Result<Objection, RpcError> {
        let transfer = &approved.transfer;
        if self.book.fails_too_often(transfer.authority) {
            return Ok(Some(ErrorCode::InvalidTransactionState));
        }
        let destination = self.find_token_account(&transfer.destination).await?;
        if destination.is_none() {
            if approved.shop == Shop::Own {
                tracing::error!(
                    payment.rail = %self.spec.label, account = %transfer.destination,
                    "the token account that is paid does not exist"
                );
            }
            return Ok(Some(ErrorCode::Svm(SvmCode::ReceiverAccountNotFound)));
        }
        // Of our own recipient we know what it is. Another shop's is a token account if the chain
        // says so, and then what belongs to it is out of everybody's reach.
        if let (Shop::Other, SvmPayTo::Wallet(wallet)) = (approved.shop, approved.pay_to)
            && self.find_token_account(&wallet).await?.is_some()
        {
            return Ok(Some(SvmFault::Recipient.code()));
        }
        let source = self.find_token_account(&transfer.source).await?;
        if source.is_none_or(|source| u128::from(source.amount) < transfer.amount.get()) {
            return Ok(Some(ErrorCode::InsufficientFunds));
        }
        if !self.node.is_blockhash_valid(&approved.blockhash()).await? {
            return Ok(Some(ErrorCode::Svm(SvmCode::SimulationFailed)));
        }
        if let Some(reason) = self.node.simulate(&approved.unsigned_wire()).await? {
            tracing::info!(reason, "a payment would fail on the chain");
            return Ok(Some(ErrorCode::Svm(SvmCode::SimulationFailed)));
        }
        Ok(None)
    }
}

fn refused(code: &ErrorCode) -> Check {
    Check::Refused {
        code: code.as_str().to_owned(),
    }
}
