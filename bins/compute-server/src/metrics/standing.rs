//! What is in memory anyway, and shown when somebody asks: who sells, who can be paid, the clock, the
//! connections to the database.

use std::sync::Arc;

use compute_domain::time::Timestamp;
use compute_engine::{Closed, Engine, RailStanding};
use compute_store::Database;
use metrics::gauge;

use super::process::show_disk;
use super::workers::seconds;
use super::{flag, natural, number, wide};
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
        for rail in &standing.rails {
            show_rail(rail);
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

/// A rail that somebody else pays for has no wallet to show.
fn show_rail(rail: &RailStanding) {
    let label = rail.label.to_string();
    if let Some(wallet) = rail.wallet {
        let labels = [("rail", label.clone()), ("unit", wallet.unit.to_owned())];
        gauge!("compute_rail_wallet_atomic", &labels).set(wide(wallet.held));
        gauge!("compute_rail_wallet_floor_atomic", &labels).set(wide(wallet.floor));
    }
    gauge!("compute_rail_ready", "rail" => label).set(flag(rail.is_ready));
}

#[cfg(test)]
mod tests {
    use compute_domain::payment::RailLabel;
    use compute_engine::ports::WalletBalance;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn a_wallet_is_shown_where_there_is_one() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let rail = |label, wallet| RailStanding {
            label: RailLabel::parse(label).unwrap(),
            is_ready: true,
            wallet,
        };
        let wallet = WalletBalance {
            unit: "wei",
            held: 20_000_000_000_000_000_000,
            floor: 150_000,
        };
        metrics::with_local_recorder(&recorder, || {
            show_rail(&rail("base", Some(wallet)));
            show_rail(&rail("solana", None));
        });
        let text = recorder.handle().render();
        for line in [
            r#"compute_rail_wallet_atomic{rail="base",unit="wei"} 20000000000000000000"#,
            r#"compute_rail_wallet_floor_atomic{rail="base",unit="wei"} 150000"#,
            r#"compute_rail_ready{rail="base"} 1"#,
            r#"compute_rail_ready{rail="solana"} 1"#,
        ] {
            assert!(
                text.lines().any(|it| it == line),
                "{line} is not in\n{text}"
            );
        }
        assert_eq!(text.matches("wallet_atomic{").count(), 1, "{text}");
    }
}
