//! The Payment HTTP authentication scheme (MPP) without a network.
//!
//! The crate knows nothing of a marketplace, a server or a clock: it takes bytes, text and the
//! current time as parameters and returns protocol values or typed errors.

pub mod tempo;
