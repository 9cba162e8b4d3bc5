//! What an operator decides about a rail of Tempo.

use core::fmt;
use std::time::Duration;

use compute_outbound::{ConfigError, OutboundClient, OutboundConfig};
use secrecy::{ExposeSecret as _, SecretString};

/// The longest answer of a node that is read: a few thousand log entries.
const MAX_NODE_BYTES: usize = 4 * 1024 * 1024;

/// What a rail of Tempo needs.
pub struct TempoConfig {
    /// The chain node. The URL may hold a key.
    pub rpc_url: SecretString,
    /// A private certificate authority of the node, in PEM form.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// A node whose newest block is older than this, in seconds, is not followed. So far may one of the
    /// machines behind its address lag behind another one, too: what has not been seen is given up only
    /// when the chain is this much beyond its end.
    pub max_head_age_s: u64,
    /// So many blocks behind the newest one arrivals are read. Blocks are final at once, but the
    /// machines behind one address do not all have the newest one.
    pub arrival_blocks: u64,
    /// How often a receipt is looked for that should be there, in one call.
    pub looks: u32,
    /// How long things may take.
    pub timeouts: TempoTimeouts,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TempoTimeouts {
    /// One question to the node.
    pub node: Duration,
    /// One call of the rail: shorter than half a lease.
    pub call: Duration,
    /// Between two looks for a receipt.
    pub poll: Duration,
}

impl Default for TempoTimeouts {
    fn default() -> Self {
        Self {
            node: Duration::from_secs(10),
            call: Duration::from_secs(25),
            poll: Duration::from_millis(500),
        }
    }
}

/// Why the rail cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TempoConfigError {
    /// The chain node's address cannot be used.
    #[error("the settings of the chain node cannot be used")]
    Node(#[source] ConfigError),
    /// Another method, or an address that is no token.
    #[error("the terms are not those of a TIP-20 token on Tempo")]
    Terms,
    /// Nobody can be paid there: transfers to the zero address and to tokens are undone.
    #[error("the recipient must be an account, not a token and not zero")]
    Recipient,
    /// Transactions that wait for a sponsor would be asked for, and nobody here can sign them.
    #[error("this rail does not pay the fees of buyers: fee_payer must be off")]
    FeePayer,
}

impl TempoConfig {
    /// The usual patience: a head of 60 s, arrivals one block behind it, 20 looks.
    #[must_use]
    pub fn new(rpc_url: impl Into<SecretString>) -> Self {
        Self {
            rpc_url: rpc_url.into(),
            extra_roots_pem: None,
            max_head_age_s: 60,
            arrival_blocks: 1,
            looks: 20,
            timeouts: TempoTimeouts::default(),
        }
    }

    pub(crate) fn connect(&self) -> Result<OutboundClient, TempoConfigError> {
        OutboundClient::new(&OutboundConfig {
            extra_roots_pem: self.extra_roots_pem.clone(),
            max_body_bytes: MAX_NODE_BYTES,
            connect_timeout: self.timeouts.node / 2,
            read_timeout: self.timeouts.node,
            total_timeout: self.timeouts.node,
            ..OutboundConfig::new(self.rpc_url.expose_secret())
        })
        .map_err(TempoConfigError::Node)
    }
}

impl fmt::Debug for TempoConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TempoConfig")
            .field("max_head_age_s", &self.max_head_age_s)
            .field("arrival_blocks", &self.arrival_blocks)
            .field("looks", &self.looks)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}
