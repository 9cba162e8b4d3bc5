//! What an operator decides about an embedded facilitator.

use core::fmt;
use std::time::Duration;

use compute_outbound::{ConfigError, OutboundClient, OutboundConfig};
use compute_wallet::{EvmAddress, EvmKey};
use secrecy::{ExposeSecret as _, SecretString};

/// The longest answer of a node that is read: a few thousand log entries.
const MAX_NODE_BYTES: usize = 4 * 1024 * 1024;

/// What an embedded facilitator needs.
pub struct EvmConfig {
    /// The chain node. The URL may hold a key.
    pub rpc_url: SecretString,
    /// A private certificate authority of the node, in PEM form.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// The account that pays for gas and sends everything.
    pub hot_wallet: EvmKey,
    /// Where the money ends up. Must not be the hot wallet.
    pub treasury: EvmAddress,
    /// Whom else payers may pay through this facilitator, when it serves others.
    pub other_recipients: Vec<EvmAddress>,
    /// How many blocks make a payment settled: 1 is the block that has it.
    pub confirmations: u64,
    /// How many blocks make something certain for ever.
    pub finality_blocks: u64,
    /// The most a transaction may pay, in gwei per gas.
    pub max_fee_per_gas_gwei: u64,
    /// The most that may be spent on gas within 24 hours, in gwei.
    pub max_gas_per_day_gwei: u64,
    /// The most money that may lie in the hot wallet, in atomic units of the token; above it the rail
    /// is withdrawn until it is swept. Less than a ten-thousandth of it moves on with the next sale only.
    pub sweep_cap: u128,
    /// Whether the node is asked to answer when a transaction is in a block
    /// (`eth_sendRawTransactionSync`, EIP-7966).
    pub sync_send: bool,
    /// How long things may take.
    pub timeouts: EvmTimeouts,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvmTimeouts {
    /// One question to the node.
    pub node: Duration,
    /// One call of the rail: shorter than half a lease.
    pub call: Duration,
    /// Between two looks for a receipt.
    pub poll: Duration,
    /// After this long a transaction that is next in line is paid more.
    pub bump_after: Duration,
}

impl Default for EvmTimeouts {
    fn default() -> Self {
        Self {
            node: Duration::from_secs(6),
            call: Duration::from_secs(25),
            poll: Duration::from_millis(500),
            bump_after: Duration::from_secs(12),
        }
    }
}

/// Why the rail cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvmConfigError {
    /// The chain node's address cannot be used.
    #[error("the settings of the chain node cannot be used")]
    Node(#[source] ConfigError),
    /// The money would stay in an account whose key is on this server.
    #[error("the treasury must not be the hot wallet")]
    TreasuryIsHotWallet,
    /// The token lives elsewhere, or is paid in a way that this rail does not know.
    #[error("the token is not paid by EIP-3009 or by permit on an EVM chain")]
    Token,
    /// Direct permits approve the recipient, which only the hot wallet can use.
    #[error("an offer that takes direct permits must pay the hot wallet, others the treasury")]
    Recipient,
    /// No block, or none that is certain.
    #[error("a payment needs at least one confirmation, and finality no fewer")]
    Confirmations,
}

impl EvmConfig {
    pub(crate) fn connect(&self) -> Result<OutboundClient, EvmConfigError> {
        OutboundClient::new(&OutboundConfig {
            extra_roots_pem: self.extra_roots_pem.clone(),
            max_body_bytes: MAX_NODE_BYTES,
            connect_timeout: self.timeouts.node / 2,
            read_timeout: self.timeouts.node,
            total_timeout: self.timeouts.node,
            ..OutboundConfig::new(self.rpc_url.expose_secret())
        })
        .map_err(EvmConfigError::Node)
    }
}

impl fmt::Debug for EvmConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvmConfig")
            .field("hot_wallet", &self.hot_wallet.address())
            .field("treasury", &self.treasury)
            .finish_non_exhaustive()
    }
}
