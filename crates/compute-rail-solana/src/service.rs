//! Settling for others: the same way, to recipients of the operator's list.

use std::sync::Arc;

use async_trait::async_trait;
use compute_engine::StoredProof;
use compute_engine::ports::{Check, RailUnavailable, Settlement, Settler};
use compute_wallet::WalletAddress;
use compute_x402::exact_svm::SvmToken;
use compute_x402::{ErrorCode, ProofKey, TokenTerms};

use crate::fee_payer::Shop;
use crate::rail::{SolanaRail, unavailable, unknown};
use crate::settle::{Settling, declined, not_sent};

#[async_trait]
impl Settler for SolanaRail {
    /// The memo, and what the recipient is, belong to the offers of each shop.
    fn terms_for_others(&self) -> Option<Arc<TokenTerms>> {
        let terms = self.token.terms().clone().without_memo();
        let token = SvmToken::new(terms).with_limits(*self.token.limits());
        Some(Arc::new(TokenTerms::svm(token)))
    }

    async fn check_for_others(&self, proof: &StoredProof) -> Result<Check, RailUnavailable> {
        tokio::time::timeout(self.timeouts.call, self.try_check(Shop::Other, proof))
            .await
            .map_err(|_| unavailable("time ran out"))?
    }

    fn signer(&self) -> WalletAddress {
        self.fee_payer().into()
    }

    async fn settle_for_others(
        &self,
        proof: &StoredProof,
        proof_key: &ProofKey,
    ) -> (Settlement, Option<String>) {
        let settling = Settling {
            shop: Shop::Other,
            proof,
            proof_key: proof_key.as_str(),
            since: self.book.now(),
        };
        // What was sold for here is not sold for elsewhere, even if a recipient of this shop was
        // put on the list later.
        match self.book.is_own_sale(settling.proof_key).await {
            Ok(false) => {}
            Ok(true) => return (declined(ErrorCode::DuplicateSettlement.as_str()), None),
            Err(error) => return (not_sent(&error.to_string()), None),
        }
        let settle = self.settle_payment(&settling);
        let settlement = tokio::time::timeout(self.timeouts.call, settle).await;
        let settlement = settlement.unwrap_or_else(|_| unknown("time ran out"));
        if !matches!(settlement, Settlement::Unknown { .. }) {
            return (settlement, None);
        }
        let row = self.book.find(settling.proof_key).await;
        let transaction = row.ok().flatten().map(|row| row.hash);
        (settlement, transaction)
    }
}
