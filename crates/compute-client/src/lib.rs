//! Buys and runs machines of an x402Compute shop: quotes, payments, a spending cap, and answers that get lost.
//!
//! A [`Shop`] answers what is for sale and what it costs. A [`Buyer`] pays for it, by x402 or by MPP, under a
//! spending cap that a [`Book`] keeps on disk: what is about to be sent is written down first, so that an answer
//! that gets lost, or a process that dies, never pays twice and never forgets what it has paid. The same purchase
//! is sent again until the shop has said for good what became of it.

mod answer;
mod book;
mod buyer;
mod clock;
mod identity;
mod model;
mod node;
mod offer;
mod ows;
mod purchase;
mod purse;
mod shop;
mod usd;

pub use answer::{Problem, Reply};
pub use book::{Book, BookError, Closed, Ending, Entry, Open};
pub use buyer::Buyer;
pub use identity::Identity;
pub use model::{Order, Plan};
pub use node::{Node, NodeError};
pub use offer::{Means, Offer, OfferError};
pub use ows::{OwsChain, OwsError, OwsWallet};
pub use purchase::{Bought, Outcome, PurchaseError, Quote, Wishes};
pub use purse::Purse;
pub use shop::{Shop, ShopError};
pub use usd::{Usd, UsdError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
