//! Doubles of cloud vendors behind a wire that tests can disturb; never a normal dependency.
//!
//! [`digitalocean`] plays the API of DigitalOcean; the double of Vultr is `compute_testkit::vultr`.
//! Either one can be put behind a [`wire::Wire`], which loses, delays, garbles and counts requests,
//! and compares every request and every answer with the vendor's own description of its API
//! ([`contract`]). Nothing here goes by a clock: what shows up late does so after a number of looks.

pub mod contract;
pub mod digitalocean;
pub mod wire;
