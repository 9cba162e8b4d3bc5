//! Purchases paid by challenge and credential (MPP).

mod keys;
mod payer;
mod purchase;
mod table;
