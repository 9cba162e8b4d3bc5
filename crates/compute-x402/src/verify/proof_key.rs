//! What makes two payments one.

use std::fmt;

use crate::exact_evm::Authorization;
#[cfg(feature = "svm")]
use crate::networks::Network;
use crate::permit::Permit;
use crate::permit2::Permit2Transfer;
use crate::token::EvmToken;

/// The identity of a payment, built from decoded bytes: `eip3009:<chain>:<token>:<from>:<nonce>`,
/// `erc2612:<chain>:<token>:<owner>:<nonce>`, `permit2:<chain>:<from>:<nonce>`, or
/// `svm:<genesis>:<SHA-256 of the message>`, where the genesis is the reference of the CAIP-2 id.
///
/// Two payments with one key are one payment, however their headers are written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProofKey(String);

impl ProofKey {
    pub(super) fn eip3009(token: &EvmToken, authorization: &Authorization) -> Self {
        Self(format!(
            "eip3009:{}:{}:{}:0x{}",
            token.chain_id(),
            token.contract(),
            authorization.from,
            hex::encode(authorization.nonce)
        ))
    }

    pub(super) fn erc2612(token: &EvmToken, permit: &Permit) -> Self {
        Self(format!(
            "erc2612:{}:{}:{}:{}",
            token.chain_id(),
            token.contract(),
            permit.owner,
            permit.nonce
        ))
    }

    pub(super) fn permit2(token: &EvmToken, transfer: &Permit2Transfer) -> Self {
        Self(format!(
            "permit2:{}:{}:{}",
            token.chain_id(),
            transfer.from,
            transfer.nonce
        ))
    }

    #[cfg(feature = "svm")]
    pub(super) fn svm(network: &Network, message_hash: &[u8; 32]) -> Self {
        let id = network.caip2();
        let genesis = id.split_once(':').map_or(id, |(_, reference)| reference);
        Self(format!("svm:{genesis}:{}", hex::encode(message_hash)))
    }

    /// The text, fit for a unique column.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, owned.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
