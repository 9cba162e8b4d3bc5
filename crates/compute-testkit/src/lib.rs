//! Doubles, conformance suites and stand-ins for tests; never a normal dependency.
//!
//! The stand-ins are small servers on loopback that play a partner faithfully, misbehave on
//! request, and keep their own record of what happened: who bought what is proven by that record,
//! not by our database alone.

mod explain;
mod faults;

pub mod ambient;
pub mod crash;
pub mod database;
pub mod facilitator;
pub mod faults_log;
pub mod journal;
pub mod listen;
pub mod market;
pub mod model_store;
pub mod node_proxy;
pub mod planted;
pub mod provider_suite;
pub mod race;
pub mod rail_suite;
pub mod scripted_charge;
pub mod scripted_provider;
pub mod scripted_rail;
pub mod scripted_stock;
pub mod simulation;
pub mod solana;
pub mod store_suite;
pub mod vultr;
