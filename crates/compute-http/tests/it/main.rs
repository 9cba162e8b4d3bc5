//! The whole API in process: router, engine, SQLite, scripted cloud and payment network.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod catalogue;
mod identity;
mod limits;
mod machines;
mod purchase;
mod refusals;
mod shop;
mod stepped_timer;
mod visitor;
