//! The engine with a real database, a scripted cloud and payment network, and a manual clock.

#![cfg(test)]

mod crashes;
mod identity;
mod passwords;
mod payments;
mod prices;
mod promises;
mod provision;
mod teardown;
mod world;
