//! The database: one implementation for SQLite and PostgreSQL.
//!
//! [`Database`] implements the engine's `Store` port. Every statement has one text for both
//! databases; what has to differ is in `dialect`. A transaction in which anything failed cannot be
//! committed, on either database.

mod dialect;
mod file_lock;
mod meter;
mod row;
mod statement;

mod connect;
mod schema;
mod stamp;
mod tx;

mod accounts;
mod ahead;
mod api_keys;
mod arrivals;
mod audit;
mod backup;
mod catalogs;
mod events;
mod identities;
mod instances;
mod leases;
mod ledger;
mod lots;
mod management_keys;
mod operations;
mod outbox;
mod payments;
mod places;
mod request_keys;
mod reserves;
mod statistics;
mod vault;
mod watch;
mod webhooks;

pub use backup::{BackupError, check_copy, install, put_copy, require_vacant};
pub use connect::{ConnectError, Database, DatabaseConfig, PoolUse};
pub use schema::SchemaError;
pub use stamp::{Mode, Stamp, StampError};
