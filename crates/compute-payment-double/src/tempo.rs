//! A node of the Tempo chain.
//!
//! It takes transactions by JSON-RPC, decides by its own state whether they are good, and makes one
//! block for each. It shares the decoder of `compute-mpp` with the programs under test; that decoder,
//! and the receipts made here, are held against transactions and receipts of a real chain.
//!
//! `POST /control/faults` makes the next requests go wrong, as [`Handle::disturb`] does.

mod bank;
mod chain;
mod control;
mod fault;
mod handle;
mod rpc;
mod view;
mod wire;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use compute_wallet::EvmAddress;

pub use bank::{FEE_MANAGER, PATH_USD};
pub use fault::Fault;
pub use handle::{Handle, TransferRecord};

/// The token USDC.e of the main network, which the double takes to be the shop's.
pub const USDC_E: EvmAddress = EvmAddress::new([
    0x20, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xb9, 0x53, 0x7d, 0x11, 0xc6, 0x0e, 0x8b, 0x50,
]);

/// How the chain behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port on loopback; 0 takes a free one.
    pub port: u16,
    /// 4217 is the main network's.
    pub chain_id: u64,
    /// How far ahead an expiring nonce may reach, in seconds: 30 on the hard fork T4, 300 later.
    pub max_validity_s: u64,
    /// Units of 10⁻¹⁸ dollar that each unit of gas costs at least.
    pub base_fee: u128,
    /// The number of the block that it starts with.
    pub first_block: u64,
    /// Unix seconds at which its clock stands until a test moves it; without one it follows the
    /// system's.
    pub clock: Option<u64>,
    /// What every account holds of every token at first, in base units.
    pub opening_balance: u128,
    /// Whether it believes that every access key was authorised by its account.
    pub takes_access_keys: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            chain_id: 4217,
            max_validity_s: 300,
            base_fee: 7,
            first_block: 1_000,
            clock: None,
            opening_balance: 0,
            takes_access_keys: false,
        }
    }
}

/// Starts the node; it stops when the last handle is dropped.
///
/// # Errors
/// When the port is taken.
pub async fn spawn(options: Options) -> io::Result<Handle> {
    let port = options.port;
    let node = Arc::new(rpc::Node::new(options));
    let router = Router::new()
        .route("/", post(rpc::serve))
        .route(
            "/control/faults",
            get(control::report)
                .post(control::order)
                .delete(control::calm),
        )
        .with_state(Arc::clone(&node));
    let listening = crate::listen::listen(port, router).await?;
    Ok(Handle::new(node, listening))
}
