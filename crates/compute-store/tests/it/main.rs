//! The conformance suite on both databases, and what only a look behind the port can show.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod busy;
#[cfg(test)]
mod chain;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod file_lock;
#[cfg(test)]
mod files;
#[cfg(test)]
mod images;
#[cfg(test)]
mod migrations;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod restoring;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod standby;
#[cfg(test)]
mod suite;
