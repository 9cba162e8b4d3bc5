//! Settling for others: the same way, to recipients of the operator's list.

use std::sync::Arc;

use async_trait::async_trait;
use compute_engine::StoredProof;
use compute_engine::ports::{Check, Purpose, RailUnavailable, Settlement, Settler};
use compute_evm::MAX_LIFE_S;
use compute_wallet::WalletAddress;
use compute_x402::{ErrorCode, Method, PermitPaths, ProofKey, TokenTerms};

use crate::paying::Paying;
use crate::rail::{EvmRail, unavailable, unknown};
use crate::sender::find_effective;
use crate::settle::{Settling, declined, not_sent};

#[async_trait]
impl Settler for EvmRail {
    /// Direct permits approve the hot wallet and can only pay this shop, so others are paid by
    /// authorization or through Permit2.
    fn terms_for_others(&self) -> Option<Arc<TokenTerms>> {
        let token = &self.spec.token;
        match token.method() {
            Method::Eip3009 { .. } => Some(Arc::clone(token)),
            Method::Permit { token: evm, paths } => {
                paths.permit2_separator()?;
                let paths = PermitPaths::none().with_permit2(evm.chain_id());
                let (network, contract) = (token.network().clone(), evm.contract());
                let (name, version) = (evm.domain_name(), evm.domain_version());
                let terms = TokenTerms::permit(network, contract, name, version, paths).ok()?;
                Some(Arc::new(terms))
            }
            _ => None,
        }
    }

    async fn check_for_others(&self, proof: &StoredProof) -> Result<Check, RailUnavailable> {
        let check = self.try_check_unused(proof);
        let checked = tokio::time::timeout(self.timeouts.call, check).await;
        checked.map_err(|_| unavailable("time ran out"))?
    }

    fn signer(&self) -> WalletAddress {
        self.hot_wallet().into()
    }

    async fn settle_for_others(
        &self,
        proof: &StoredProof,
        proof_key: &ProofKey,
    ) -> (Settlement, Option<String>) {
        let Some(paying) = Paying::of(proof) else {
            return (not_sent("the proof is no payment in this token"), None);
        };
        // What was sold for here is not sold for elsewhere, even if a recipient of this shop was
        // put on the list later.
        match self.sender.is_own_sale(proof_key.as_str()).await {
            Ok(false) => {}
            Ok(true) => return (declined(&ErrorCode::DuplicateSettlement), None),
            Err(error) => return (not_sent(&error.to_string()), None),
        }
        let settling = Settling {
            paying: &paying,
            proof_key: proof_key.as_str(),
            since_s: self.sender.now().secs().saturating_sub(MAX_LIFE_S),
            not_before: 0,
        };
        let settle = self.settle_payment(&settling);
        let settlement = tokio::time::timeout(self.timeouts.call, settle).await;
        let settlement = settlement.unwrap_or_else(|_| unknown("not in a block yet"));
        if !matches!(settlement, Settlement::Unknown { .. }) {
            return (settlement, None);
        }
        let sent = self.sender.sent_for(settling.proof_key).await;
        let sent = sent.unwrap_or_default();
        let transaction = find_effective(&sent, Purpose::Settle).map(|it| it.hash.clone());
        (settlement, transaction)
    }
}
