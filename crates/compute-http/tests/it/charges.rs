//! Purchases paid by challenge and credential (MPP).

mod beside;
mod books;
mod keys;
mod limits;
mod payer;
mod purchase;
mod table;
