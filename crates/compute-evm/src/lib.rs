//! EVM chains as a payment service sees them: a node, and what became of a payment.
//!
//! Signs nothing and keeps nothing. What a node does not say clearly is an error or
//! [`Fate::Unclear`], never an outcome.

pub mod abi;
mod arrivals;
mod chain;
mod node;
mod permit2;
mod search;
mod transfer;

pub use arrivals::{Inbox, InboxPart, InboxTransfer};
pub use chain::{Chain, Fate, MAX_LIFE_S, Mined, find_payment};
pub use node::{Block, Call, Log, Node, NodeError, Receipt, Transaction};
pub use permit2::{PermittedTransfer, Trace};
pub use search::{Moved, Search};
pub use transfer::AuthorizedTransfer;
