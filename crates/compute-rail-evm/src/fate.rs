//! What the chain says became of a payment, for each way of paying.

use compute_domain::payment::Evidence;
use compute_engine::ports::{ChainTransaction, Purpose, SentState};
use compute_evm::{Block, Fate, Moved, NodeError, Trace, abi};
use compute_wallet::{EvmAddress, Uint256};
use compute_x402::permit2::PERMIT2;
use compute_x402::{Amount, ErrorCode, MethodCode};

use crate::paying::{Paying, Permit2Payment, PermitPayment};
use crate::rail::EvmRail;
use crate::settle::Settling;

/// How far a permit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Approval {
    /// It is the next one that the token takes from its owner.
    Next,
    /// Earlier ones of its owner come first.
    Ahead,
    /// It is taken, and enough is approved.
    Given,
    /// It is taken, and what it approved was used, changed or never enough.
    Gone,
}

impl EvmRail {
    /// What became of a payment whose transactions of ours are `sent`.
    ///
    /// Everything is asked about one head: the machines of one node may be at different ones, and two
    /// answers that do not belong together can look like a payment that never happened.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(crate) async fn fate(
        &self,
        settling: &Settling<'_>,
        sent: &[ChainTransaction],
    ) -> Result<Fate, NodeError> {
        let head = self.chain.node().block(None).await?;
        if head.number < settling.not_before {
            return Ok(Fate::Unclear("the node went back behind what it has said"));
        }
        let since_s = settling.since_s;
        let fate = match settling.paying {
            Paying::Authorization { transfer, .. } => {
                self.chain.fate_at(transfer, head, since_s).await?
            }
            Paying::Permit(payment) => self.fate_of_permit(payment, sent, head, since_s).await?,
            Paying::Permit2(payment) => self.fate_of_permit2(payment, sent, head, since_s).await?,
        };
        match fate {
            Fate::Paid(evidence) if !self.is_deep(&evidence).await? => {
                Ok(Fate::Unclear("paid, but not deep enough in the chain"))
            }
            // On another chain nothing was paid, whatever happened on ours.
            Fate::Void(_) if self.chain.node().chain_id().await? != self.chain_id() => {
                Ok(Fate::Unclear("the node serves another chain"))
            }
            fate => Ok(fate),
        }
    }

    async fn is_deep(&self, evidence: &Evidence) -> Result<bool, NodeError> {
        let confirmations = self.sender.limits.confirmations;
        if confirmations <= 1 {
            return Ok(true);
        }
        let node = self.chain.node();
        let receipt = node.receipt(&evidence.reference).await?;
        let block = receipt.and_then(|receipt| receipt.block());
        let head = node.block(None).await?.number.saturating_add(1);
        Ok(block.is_some_and(|block| head >= block.saturating_add(confirmations)))
    }

    // A permit moves nothing. What moves the money is our own second transaction, so the money has
    // moved exactly when that one says so.
    async fn fate_of_permit(
        &self,
        payment: &PermitPayment,
        sent: &[ChainTransaction],
        head: Block,
        since_s: u64,
    ) -> Result<Fate, NodeError> {
        let moved = self.pulled(payment);
        let pulls = || sent.iter().filter(|it| it.purpose == Purpose::Pull);
        for pull in pulls() {
            if let Some(evidence) = self.moved_by(&pull.hash, &moved).await? {
                return Ok(Fate::Paid(evidence));
            }
        }
        if pulls().any(|pull| pull.state == SentState::Open) {
            return Ok(Fate::Open);
        }
        // Ours is in, by what was seen before: that it is not shown now proves nothing.
        if pulls().any(is_mined) {
            return Ok(Fate::Unclear(
                "our transfer is in, and the node does not show it",
            ));
        }
        match self.approval(payment, head.number).await? {
            Approval::Given => return Ok(Fate::Open),
            Approval::Gone => {
                let firm = self.firm_block(head);
                if self.approval(payment, firm).await? != Approval::Gone {
                    let reason =
                        "the permit is used and the approval gone, but not yet beyond doubt";
                    return Ok(Fate::Unclear(reason));
                }
                // A node may keep the receipt of our own transfer back, or have lost it.
                return Ok(match self.find_pull(payment, sent, head, since_s).await? {
                    Some(evidence) => Fate::Paid(evidence),
                    None => Fate::Void(ErrorCode::Method(MethodCode::PERMIT_NONCE)),
                });
            }
            Approval::Next | Approval::Ahead => {}
        }
        if head.time <= payment.permit.deadline {
            return Ok(Fate::Open);
        }
        let firm = self.firm_block(head);
        let is_past = self.chain.node().block(Some(firm)).await?.time > payment.permit.deadline;
        let at_firm = self.approval(payment, firm).await?;
        if is_past && matches!(at_firm, Approval::Next | Approval::Ahead) {
            return Ok(Fate::Void(ErrorCode::EvmValidBefore));
        }
        Ok(Fate::Unclear("expired, but not yet beyond doubt"))
    }

    async fn fate_of_permit2(
        &self,
        payment: &Permit2Payment,
        sent: &[ChainTransaction],
        head: Block,
        since_s: u64,
    ) -> Result<Fate, NodeError> {
        let (transfer, chain) = (&payment.transfer, &self.chain);
        for own in sent.iter().filter(|it| it.purpose == Purpose::Settle) {
            if let Some(evidence) = self.moved_by(&own.hash, &transfer.moved).await? {
                return Ok(Fate::Paid(evidence));
            }
        }
        if chain.is_permit2_used(transfer, Some(head.number)).await? {
            let found = chain.find_permit2(transfer, head, since_s).await?;
            if let Trace::Paid(evidence) = found {
                return Ok(Fate::Paid(evidence));
            }
            // Nothing is void while money of this amount came from this payer and nobody can say
            // for what, or while ours is known to be in.
            if found == Trace::Unclear || sent.iter().any(is_mined) {
                return Ok(Fate::Unclear(
                    "used, but not in the blocks that were searched",
                ));
            }
            let firm = self.firm_block(head);
            return Ok(if chain.is_permit2_used(transfer, Some(firm)).await? {
                Fate::Void(ErrorCode::Method(MethodCode::PERMIT2_NONCE))
            } else {
                Fate::Unclear("cancelled or used otherwise, but not yet beyond doubt")
            });
        }
        if head.time <= transfer.deadline {
            return Ok(Fate::Open);
        }
        let firm = self.firm_block(head);
        let is_past = self.chain.node().block(Some(firm)).await?.time > transfer.deadline;
        if is_past && !chain.is_permit2_used(transfer, Some(firm)).await? {
            return Ok(Fate::Void(ErrorCode::Method(MethodCode::PERMIT2_DEADLINE)));
        }
        Ok(Fate::Unclear("expired, but not yet beyond doubt"))
    }

    /// How far a permit has come, as it was at a block.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(crate) async fn approval(
        &self,
        payment: &PermitPayment,
        block: u64,
    ) -> Result<Approval, NodeError> {
        let next = self.permit_nonce(payment, Some(block)).await?;
        if payment.permit.nonce > next {
            return Ok(Approval::Ahead);
        }
        if payment.permit.nonce == next {
            return Ok(Approval::Next);
        }
        let allowance = self.allowance(payment, Some(block)).await?;
        Ok(if allowance >= payment.amount {
            Approval::Given
        } else {
            Approval::Gone
        })
    }

    pub(crate) const fn firm_block(&self, head: Block) -> u64 {
        head.number
            .saturating_sub(self.sender.limits.finality_blocks)
    }

    /// The number of the next permit that the token takes from this owner.
    pub(crate) async fn permit_nonce(
        &self,
        payment: &PermitPayment,
        block: Option<u64>,
    ) -> Result<Uint256, NodeError> {
        let data = abi::nonces(payment.permit.owner);
        let answer = self.chain.node().call(payment.token, &data, block).await?;
        let word = abi::read_word(&answer);
        word.map(Uint256::from_be_bytes)
            .ok_or_else(|| NodeError::unusable("the token has no nonces"))
    }

    /// What an owner has approved this wallet to move.
    pub(crate) async fn allowance(
        &self,
        payment: &PermitPayment,
        block: Option<u64>,
    ) -> Result<Amount, NodeError> {
        let data = abi::allowance(payment.permit.owner, self.sender.address());
        self.read_amount(payment.token, &data, block).await
    }

    /// What an owner has approved Permit2 to move.
    pub(crate) async fn permit2_allowance(
        &self,
        payment: &Permit2Payment,
    ) -> Result<Amount, NodeError> {
        let moved = &payment.transfer.moved;
        let data = abi::allowance(moved.from, PERMIT2);
        self.read_amount(moved.token, &data, None).await
    }

    /// What an account holds of a token.
    pub(crate) async fn holds(
        &self,
        token: EvmAddress,
        account: EvmAddress,
        block: Option<u64>,
    ) -> Result<Amount, NodeError> {
        self.read_amount(token, &abi::balance_of(account), block)
            .await
    }

    // More than 128 bits is more than enough for everything: approvals without limit are.
    async fn read_amount(
        &self,
        token: EvmAddress,
        data: &str,
        block: Option<u64>,
    ) -> Result<Amount, NodeError> {
        let answer = self.chain.node().call(token, data, block).await?;
        let word = abi::read_word(&answer).map(Uint256::from_be_bytes);
        let word = word.ok_or_else(|| NodeError::unusable("the token does not say an amount"))?;
        Ok(Amount::new(word.to_u128().unwrap_or(u128::MAX)))
    }

    /// The transfer of a payment in one transaction, when that succeeded.
    async fn moved_by(&self, hash: &str, moved: &Moved) -> Result<Option<Evidence>, NodeError> {
        let receipt = self.chain.node().receipt(hash).await?;
        let receipt = receipt.filter(compute_evm::Receipt::is_success);
        Ok(receipt.and_then(|receipt| moved.in_logs(&receipt.logs, hash).next()))
    }
}

const fn is_mined(transaction: &ChainTransaction) -> bool {
    matches!(transaction.state, SentState::Mined { .. })
}
