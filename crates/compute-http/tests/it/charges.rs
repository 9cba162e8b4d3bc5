//! Purchases paid by challenge and credential (MPP).

mod bounds;
mod keys;
mod payer;
mod purchase;
mod sent;
mod table;
