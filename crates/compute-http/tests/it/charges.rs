//! Purchases paid by challenge and credential (MPP).

mod books;
mod keys;
mod payer;
mod purchase;
mod table;
