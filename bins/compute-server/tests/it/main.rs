//! Whole servers, started as their operator starts them, spoken to as clients speak.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests fail by panicking, and show the log of the server"
)]

#[path = "../../examples/paid_flow/http.rs"]
mod http;

mod arrivals;
mod backup;
mod bad_input;
mod buyer;
mod card_returns;
mod cards;
mod charges;
mod clouds;
mod configuration;
mod credits;
mod example;
mod facilitators;
mod files;
mod first_sale;
mod http2;
mod image;
mod metrics;
mod open_files;
mod ops;
mod rehearsal;
mod replay;
mod replicas;
mod secrets;
mod server;
mod shared_credits;
mod shutdown;
mod traces;
mod webhooks;
mod workers;

/// Makes two tests of each function: one on SQLite, one on PostgreSQL.
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::server::Backend::Sqlite).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::server::Backend::Postgres).await;
            })+
        }
    };
}

pub(crate) use on_both_databases;
