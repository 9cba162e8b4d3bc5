//! What a buyer pays with: keys, and nodes of the chains that must be asked before a payment is signed.

use std::sync::Arc;

use compute_wallet::EvmKey;
#[cfg(feature = "solana")]
use compute_wallet::SolanaKey;

use crate::node::Node;
use crate::ows::{OwsChain, OwsWallet};

/// What a buyer pays with. An empty one can only spend credits.
#[derive(Debug, Clone, Default)]
pub struct Purse {
    pub(crate) evm: Option<Arc<EvmKey>>,
    pub(crate) ows: Option<Arc<OwsWallet>>,
    pub(crate) megaeth_node: Option<Node>,
    #[cfg(feature = "solana")]
    pub(crate) solana: Option<Arc<SolanaKey>>,
    #[cfg(feature = "solana")]
    pub(crate) solana_node: Option<Node>,
}

impl Purse {
    /// Pays on EVM chains and on Tempo with this key.
    #[must_use]
    pub fn with_evm(self, key: Arc<EvmKey>) -> Self {
        Self {
            evm: Some(key),
            ..self
        }
    }

    /// Pays on Base with what this wallet signs, whose key stays where it is. Its account must be one of EVM chains.
    #[must_use]
    pub fn with_ows(self, wallet: Arc<OwsWallet>) -> Self {
        let ows = Some(wallet).filter(|wallet| wallet.chain() == OwsChain::Evm);
        Self { ows, ..self }
    }

    /// Asks this node of MegaETH for what a permit must name.
    #[must_use]
    pub fn with_megaeth_node(self, node: Node) -> Self {
        Self {
            megaeth_node: Some(node),
            ..self
        }
    }

    /// Pays on Solana with this key.
    #[cfg(feature = "solana")]
    #[must_use]
    pub fn with_solana(self, key: Arc<SolanaKey>) -> Self {
        Self {
            solana: Some(key),
            ..self
        }
    }

    /// Asks this node of Solana for what a payment must name.
    #[cfg(feature = "solana")]
    #[must_use]
    pub fn with_solana_node(self, node: Node) -> Self {
        Self {
            solana_node: Some(node),
            ..self
        }
    }

    /// Whether nothing can be signed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        #[cfg(feature = "solana")]
        if self.solana.is_some() {
            return false;
        }
        self.evm.is_none() && self.ows.is_none()
    }
}
