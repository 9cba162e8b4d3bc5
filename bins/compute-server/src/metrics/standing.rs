//! What is in memory anyway, and shown when somebody asks: who sells, who can be paid, the clock, the
//! connections to the database.

use std::sync::Arc;

use compute_domain::time::Timestamp;
use compute_engine::{Closed, Engine};
use compute_store::Database;
use metrics::gauge;

use super::process::show_disk;
use super::workers::seconds;
use super::{flag, natural, number};
use crate::ambient::ServerClock;

/// Why a provider sells nothing new, each with its word.
const REASONS: [(Closed, &str); 5] = [
    (Closed::SwitchedOff, "switched_off"),
    (Closed::Refused, "refused"),
    (Closed::OtherAccount, "other_account"),
    (Closed::Locked, "locked"),
    (Closed::Full, "full"),
];

/// Where to look.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) engine: Arc<Engine>,
    pub(crate) clock: Arc<ServerClock>,
    pub(crate) database: Database,
    /// `live` or `dev`.
    pub(crate) mode: &'static str,
    pub(crate) started_at: Timestamp,
}

impl Standing {
    /// Shows how everything stands now.
    pub(super) fn show(&self) {
        gauge!("compute_build_info", "version" => env!("CARGO_PKG_VERSION"), "mode" => self.mode)
            .set(1.0);
        gauge!("process_start_time_seconds").set(seconds(self.started_at));
        gauge!("compute_clock_trusted").set(flag(self.clock.suspicion().is_none()));
        let standing = self.engine.standing();
        gauge!("compute_database_writable").set(flag(standing.stores));
        for provider in standing.providers {
            let name = provider.provider.as_str();
            gauge!("compute_provider_sells", "provider" => name)
                .set(flag(provider.closed.is_none()));
            for (reason, word) in REASONS {
                gauge!("compute_provider_closed", "provider" => name, "reason" => word)
                    .set(flag(provider.closed == Some(reason)));
            }
            if let Some(confirmed) = provider.confirmed_at {
                let age = self.engine.now().since(confirmed).millis() / 1_000;
                gauge!("compute_catalog_age_seconds", "provider" => name).set(number(age));
            }
        }
        for rail in standing.rails {
            gauge!("compute_rail_ready", "rail" => rail.label.to_string()).set(flag(rail.is_ready));
        }
        if let Some(folder) = self.database.folder() {
            show_disk(folder);
        }
        for pool in self.database.pools() {
            for (state, count) in [
                ("open", pool.open),
                ("idle", pool.idle),
                ("limit", pool.limit),
            ] {
                gauge!("compute_database_connections", "pool" => pool.name, "state" => state)
                    .set(natural(u64::from(count)));
            }
        }
    }
}
