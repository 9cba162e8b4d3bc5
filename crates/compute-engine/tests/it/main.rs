//! The engine with a real database, a scripted cloud and payment network, and a manual clock.

#![cfg(test)]

mod accounts;
mod ahead;
mod ahead_refusals;
mod arrivals;
mod blocked;
mod cards;
mod crashes;
mod credits;
mod endings;
mod events;
mod evidence;
mod extending;
mod hooks;
mod hooks_of_keys;
mod identity;
mod janitor;
mod lines;
mod names;
mod one_thread;
mod operator;
mod panics;
mod passwords;
mod payments;
mod prices;
mod promises;
mod provision;
mod purse;
mod resizing;
mod restored;
mod setup;
mod steps;
mod stock;
mod storeless;
mod teardown;
mod watching;
mod world;
