//! Finding our own transfers in the log of the token.

use compute_domain::payment::Evidence;
use compute_engine::ports::{ChainTransaction, Purpose};
use compute_evm::{Block, Moved, NodeError, Search};

use crate::paying::PermitPayment;
use crate::rail::EvmRail;

impl EvmRail {
    /// Our own transfer of what a permit approved, by the log of the token.
    pub(crate) async fn find_pull(
        &self,
        payment: &PermitPayment,
        sent: &[ChainTransaction],
        head: Block,
        since_s: u64,
    ) -> Result<Option<Evidence>, NodeError> {
        let pulls = || sent.iter().filter(|it| it.purpose == Purpose::Pull);
        if pulls().next().is_none() {
            return Ok(None);
        }
        let moved = self.pulled(payment);
        let is_own = |it: &Evidence| pulls().any(|pull| pull.hash == it.reference);
        let mut search = Search::from(head, since_s);
        while let Some(found) = self.chain.search_on(&mut search, &moved).await? {
            if let Some(evidence) = found.into_iter().find(is_own) {
                return Ok(Some(evidence));
            }
        }
        Ok(None)
    }

    /// The transfer of what a permit approved.
    pub(crate) const fn pulled(&self, payment: &PermitPayment) -> Moved {
        let rules = self.sender.wallet.rules();
        Moved {
            token: rules.token,
            from: payment.permit.owner,
            to: rules.treasury,
            amount: payment.amount,
        }
    }
}
