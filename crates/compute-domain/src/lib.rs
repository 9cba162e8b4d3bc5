//! The nouns of the marketplace and their lifecycles.
//!
//! No I/O, no async, no cryptography of its own. A stored lifecycle is an enum whose variants carry
//! exactly the data that exists in that state; transitions consume the old value.

pub mod address;
pub mod arrival;
pub mod catalog;
pub mod event;
pub mod id;
pub mod instance;
pub mod ledger;
pub mod money;
pub mod operation;
pub mod owner;
pub mod payment;
pub mod prepaid;
pub mod request_key;
pub mod reserve;
pub mod setup;
pub mod text;
pub mod time;
pub mod transition;

pub use compute_wallet::WalletAddress;
