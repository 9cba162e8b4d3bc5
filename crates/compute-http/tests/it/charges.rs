//! Purchases paid by challenge and credential (MPP).

mod beside;
mod books;
mod bounds;
mod keys;
mod limits;
mod network;
pub(crate) mod payer;
mod purchase;
mod quotes;
mod sent;
mod table;
