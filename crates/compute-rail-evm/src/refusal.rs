//! Saying no: only when the chain, by one head of it that is fresh, would not take the payment.

use compute_engine::ports::{Purpose, Settlement};
use compute_evm::{Block, Call as Simulated, Fate, NodeError};
use compute_x402::ErrorCode;

use crate::calls::Call;
use crate::fate::Approval;
use crate::paying::Paying;
use crate::rail::{EvmRail, unknown};
use crate::sender::{MAX_FAILURES, SendError, count_failures, find_effective};
use crate::settle::{Settling, declined, not_sent};

impl EvmRail {
    /// The simulation said no, or there was no way to sign now.
    pub(crate) async fn unsigned(
        &self,
        settling: &Settling<'_>,
        purpose: Purpose,
        error: SendError,
    ) -> Settlement {
        match error {
            SendError::Reverts(reason) => {
                tracing::info!(reason, "a payment would fail on the chain");
                self.refused(settling, purpose).await
            }
            SendError::GivenUp => self.refused(settling, purpose).await,
            SendError::Unsure(_) => unknown(&error.to_string()),
            // The approval is ours already.
            SendError::NotNow(_) | SendError::FarAhead if purpose == Purpose::Pull => {
                unknown(&error.to_string())
            }
            SendError::NotNow(_) | SendError::FarAhead => {
                // Another replica may have signed it since we looked.
                match self.sender.sent_for(settling.proof_key).await {
                    Ok(sent) if find_effective(&sent, purpose).is_none() => {
                        not_sent(&error.to_string())
                    }
                    Ok(_) => unknown("a transaction of this payment is on its way"),
                    Err(unread) => unknown(&unread.to_string()),
                }
            }
        }
    }

    /// Ours is in and failed: somebody else's may have been faster.
    pub(crate) async fn after_failure(
        &self,
        settling: &Settling<'_>,
        purpose: Purpose,
    ) -> Settlement {
        self.refused(settling, purpose).await
    }

    /// Declines a payment that cannot settle now, unless it has, or the node cannot be believed.
    pub(crate) async fn refused(&self, settling: &Settling<'_>, purpose: Purpose) -> Settlement {
        // Another replica may have been faster than our simulation.
        let sent = match self.sender.sent_for(settling.proof_key).await {
            Ok(sent) => sent,
            Err(error) => return unknown(&error.to_string()),
        };
        if find_effective(&sent, purpose).is_some() {
            return unknown("a transaction of this payment is on its way");
        }
        match self.fate(settling, &sent).await {
            Ok(Fate::Open) => {}
            Ok(fate) => return self.outcome(settling, fate).await,
            Err(error) => return unknown(&error.to_string()),
        }
        let code = match self.find_objection(settling).await {
            Ok(Some(code)) => code,
            // Twice is enough, whatever the simulation says.
            Ok(None) if count_failures(&sent, purpose) >= MAX_FAILURES => {
                ErrorCode::InvalidTransactionState
            }
            Ok(None) if sent.is_empty() => return not_sent("the chain would take it by now"),
            Ok(None) => return unknown("the chain would take it by now"),
            Err(reason) => return unknown(&reason),
        };
        self.let_go(settling).await;
        declined(&code)
    }

    /// What the chain has against the next step of an open payment, by one fresh head.
    async fn find_objection(&self, settling: &Settling<'_>) -> Result<Option<ErrorCode>, String> {
        let told = |error: NodeError| error.to_string();
        let now_s = self.sender.now().secs();
        let head = self.chain.sound_head(self.chain_id(), now_s).await;
        let head = head.map_err(told)??;
        if head.number < settling.not_before {
            return Err("the node went back behind what it has said".to_owned());
        }
        let covered = self.is_covered(settling.paying, Some(head.number)).await;
        if !covered.map_err(told)? {
            return Ok(Some(ErrorCode::InsufficientFunds));
        }
        self.simulate_at(settling.paying, head).await.map_err(told)
    }

    async fn simulate_at(
        &self,
        paying: &Paying,
        head: Block,
    ) -> Result<Option<ErrorCode>, NodeError> {
        let simulate = async |call: &Call| {
            let data = call.data_hex();
            let simulated = Simulated {
                from: self.sender.address(),
                to: call.to(),
                data: &data,
                gas: None,
            };
            match self
                .chain
                .node()
                .simulate(&simulated, Some(head.number))
                .await
            {
                Ok(_) => Ok(None),
                Err(error) if error.is_revert() => Ok(Some(ErrorCode::EvmSimulationFailed)),
                Err(error) => Err(error),
            }
        };
        match paying {
            Paying::Authorization { call, .. } => simulate(call).await,
            Paying::Permit2(payment) => simulate(&payment.call).await,
            Paying::Permit(payment) => match self.approval(payment, head.number).await? {
                Approval::Next => simulate(&payment.call).await,
                Approval::Given => {
                    simulate(&payment.pull(self.sender.wallet.rules().treasury)).await
                }
                Approval::Ahead | Approval::Gone => Ok(None),
            },
        }
    }

    /// Whether the payer holds the amount, as it was at a block.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(crate) async fn is_covered(
        &self,
        paying: &Paying,
        block: Option<u64>,
    ) -> Result<bool, NodeError> {
        let (token, payer, amount) = match paying {
            Paying::Authorization { transfer, .. } => {
                (transfer.token, transfer.from, transfer.amount)
            }
            Paying::Permit(payment) => (payment.token, payment.permit.owner, payment.amount),
            Paying::Permit2(payment) => {
                let moved = &payment.transfer.moved;
                (moved.token, moved.from, moved.amount)
            }
        };
        Ok(self.holds(token, payer, block).await? >= amount)
    }
}
