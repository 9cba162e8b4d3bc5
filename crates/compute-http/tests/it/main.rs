//! The whole API in process: router, engine, SQLite, scripted cloud and payment network.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod blocked;
mod caches;
mod catalogue;
mod charges;
mod credits;
mod discovery;
mod dropped;
mod events;
mod extending;
mod extensions;
mod history;
mod identity;
mod ledger;
mod limits;
mod machines;
mod manners;
mod names;
mod purchase;
mod purchase_limit;
mod quotes;
mod refusals;
mod resizing;
mod shop;
mod stepped_timer;
mod topup;
mod visitor;
mod waiting;
mod webhooks;
