//! Background duties. Each call does one round and re-reads the world; the binary calls them in
//! loops. Any number of replicas may run them at once.

mod accounts;
mod arrivals;
mod auditor;
mod cards;
mod clean_up;
mod driver;
mod expirer;
mod guard;
mod lookout;
mod postman;
mod refusal;
mod sweeper;
mod watcher;

pub(crate) use watcher::DRIFT_LOOKS;
