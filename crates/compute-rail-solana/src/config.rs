//! What an operator decides about a fee payer.

use core::fmt;
use std::time::Duration;

use compute_outbound::{ConfigError, OutboundClient, OutboundConfig};
use compute_wallet::{SolanaAddress, SolanaKey};
use compute_x402::exact_svm::SvmLimits;
use secrecy::{ExposeSecret as _, SecretString};

/// The longest answer of a node that is read. A transaction with its record takes some 20 KiB.
const MAX_NODE_BYTES: usize = 1024 * 1024;

/// What a rail that pays fees itself needs.
pub struct SolanaConfig {
    /// The chain node. The URL may hold a key.
    pub rpc_url: SecretString,
    /// A private certificate authority of the node, in PEM form.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// The account that pays fees. It needs SOL and nothing else, and owns no tokens.
    pub fee_payer: SolanaKey,
    /// Whom else payers may pay, when the rail settles for other shops: wallets or token accounts.
    pub other_recipients: Vec<SolanaAddress>,
    /// The most that one payment may cost, whatever its offer allowed.
    pub limits: SvmLimits,
    /// The most that may be spent on fees within 24 hours, in lamports.
    pub max_lamports_per_day: u64,
    /// The rail is withdrawn while the fee payer has less than this, in lamports.
    pub min_balance_lamports: u64,
    /// A payer whose transactions failed on the chain this often within an hour, each at our expense,
    /// is refused for the rest of it.
    pub max_failures_per_payer: usize,
    /// Larger amounts, in atomic units of the token, must be final and not only confirmed.
    pub finalized_above: u128,
    /// How long things may take.
    pub timeouts: SolanaTimeouts,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SolanaTimeouts {
    /// One question to the node.
    pub node: Duration,
    /// One call of the rail: shorter than half a lease.
    pub call: Duration,
    /// Between two looks for a transaction.
    pub poll: Duration,
    /// After this many looks the transaction is handed to the node once more.
    pub looks_per_send: u32,
}

impl Default for SolanaTimeouts {
    fn default() -> Self {
        Self {
            node: Duration::from_secs(6),
            call: Duration::from_secs(25),
            poll: Duration::from_millis(500),
            looks_per_send: 4,
        }
    }
}

/// Why the rail cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SolanaConfigError {
    /// The chain node's address cannot be used.
    #[error("the settings of the chain node cannot be used")]
    Node(#[source] ConfigError),
    /// The token lives elsewhere.
    #[error("the token is not on Solana")]
    Token,
    /// The recipient lives elsewhere.
    #[error("the recipient is not an account on Solana")]
    Recipient,
    /// Offers would ask for transactions that this key cannot complete.
    #[error("the fee payer that offers name is not the account of this key")]
    FeePayer,
    /// Whoever receives the money would also sign for others.
    #[error("no recipient may be the fee payer")]
    RecipientIsFeePayer,
}

impl SolanaConfig {
    /// The usual limits: 0.1 SOL a day, 0.02 SOL at least, three failures, and finality from
    /// 1 000 units of a token with 6 decimals on.
    #[must_use]
    pub fn new(rpc_url: impl Into<SecretString>, fee_payer: SolanaKey) -> Self {
        Self {
            rpc_url: rpc_url.into(),
            extra_roots_pem: None,
            fee_payer,
            other_recipients: Vec::new(),
            limits: SvmLimits::default(),
            max_lamports_per_day: 100_000_000,
            min_balance_lamports: 20_000_000,
            max_failures_per_payer: 3,
            finalized_above: 1_000_000_000,
            timeouts: SolanaTimeouts::default(),
        }
    }

    pub(crate) fn connect(&self) -> Result<OutboundClient, SolanaConfigError> {
        OutboundClient::new(&OutboundConfig {
            extra_roots_pem: self.extra_roots_pem.clone(),
            max_body_bytes: MAX_NODE_BYTES,
            connect_timeout: self.timeouts.node / 2,
            read_timeout: self.timeouts.node,
            total_timeout: self.timeouts.node,
            ..OutboundConfig::new(self.rpc_url.expose_secret())
        })
        .map_err(SolanaConfigError::Node)
    }
}

impl fmt::Debug for SolanaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SolanaConfig")
            .field("fee_payer", &self.fee_payer.address())
            .finish_non_exhaustive()
    }
}
