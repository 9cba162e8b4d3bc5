//! Durable operations: what to do next (`plan`, pure), what an outcome means (`decide`, pure), and
//! the loop between them (`runner`, which talks to the world and decides nothing).
//!
//! For every step with an effect: commit that it begins, do it, commit what came of it. After a
//! crash a step that was begun is probed before it is repeated.

mod decide;
pub mod failpoints;
mod machine;
mod plan;
mod power;
mod provision;
mod resize;
mod runner;
mod settle;
mod teardown;
mod throttle;

pub(crate) use runner::chain;

#[cfg(test)]
mod tests;
