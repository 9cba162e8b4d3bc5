//! Doubles of payment networks on loopback that tests can disturb; never a normal dependency.
//!
//! [`tempo`] plays a node of the Tempo chain. It decides by itself whether a payment is good, keeps its
//! own record of what moved, and can be told to lose, delay or garble what it says. [`stripe`] plays the
//! part of Stripe that takes card payments, in the same way.

mod listen;

pub mod stripe;
pub mod tempo;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
