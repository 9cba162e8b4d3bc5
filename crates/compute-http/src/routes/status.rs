//! How the shop stands, for anybody: what is for sale, and how it can be paid.

use axum::extract::State;
use axum::response::Response;
use compute_engine::{ProviderStanding, Standing};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::app::{App, Mode};
use crate::error::ApiError;
use crate::render::private_json;

/// Anybody may keep an answer for so long.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=10");

#[derive(Debug, Serialize)]
struct StatusReply {
    status: &'static str,
    mode: &'static str,
    version: &'static str,
    as_of: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    catalogue_age_seconds: Option<i64>,
    providers: Vec<Part>,
    networks: Vec<Part>,
}

/// One provider, or one way to pay.
#[derive(Debug, Serialize)]
struct Part {
    name: String,
    status: &'static str,
}

const UP: &str = "up";
const DEGRADED: &str = "degraded";
const DOWN: &str = "down";

/// `GET /status.json`: told from memory; nobody is asked, and why something is down is the operator's.
pub(crate) async fn show(State(app): State<App>) -> Result<Response, ApiError> {
    let (engine, settings) = (app.engine(), app.settings());
    let now = engine.now();
    let standing = engine.standing();
    let is_fresh = |provider: &ProviderStanding| {
        let confirmed = provider.confirmed_at;
        confirmed.is_some_and(|at| engine.is_fresh(at))
    };
    let confirmed = standing.providers.iter().filter_map(|it| it.confirmed_at);
    let oldest = confirmed.min();
    let parts = Parts::of(&standing, is_fresh);
    let reply = StatusReply {
        status: parts.verdict(standing.stores),
        mode: match settings.mode {
            Mode::Live => "live",
            Mode::Dev => "dev",
        },
        version: settings.version,
        as_of: now.rfc3339(),
        catalogue_age_seconds: oldest.map(|at| now.since(at).millis() / 1_000),
        providers: parts.providers,
        networks: parts.networks,
    };
    let mut response = private_json(StatusCode::OK, &reply)?;
    response.headers_mut().insert(CACHE_CONTROL, KEPT);
    Ok(response)
}

/// Everything that is up or not.
#[derive(Debug)]
struct Parts {
    providers: Vec<Part>,
    networks: Vec<Part>,
}

impl Parts {
    fn of(standing: &Standing, is_fresh: impl Fn(&ProviderStanding) -> bool) -> Self {
        let providers = standing.providers.iter().map(|it| Part {
            name: it.provider.to_string(),
            status: match it.closed {
                Some(_) => DOWN,
                None if is_fresh(it) => UP,
                None => DEGRADED,
            },
        });
        let networks = standing.rails.iter().map(|it| Part {
            name: it.label.to_string(),
            status: if it.is_ready { UP } else { DOWN },
        });
        Self {
            providers: providers.collect(),
            networks: networks.collect(),
        }
    }

    /// `up` when everything is, `down` when nothing can be sold.
    fn verdict(&self, stores: bool) -> &'static str {
        let all = || self.providers.iter().chain(&self.networks);
        let is_up = |part: &Part| part.status == UP;
        let sells = self.providers.iter().any(is_up) && self.networks.iter().any(is_up);
        if !stores || !sells {
            DOWN
        } else if all().all(is_up) {
            UP
        } else {
            DEGRADED
        }
    }
}

#[cfg(test)]
mod tests {
    use compute_domain::catalog::ProviderId;
    use compute_domain::payment::RailLabel;
    use compute_engine::{Closed, RailStanding};

    use super::*;

    fn check(closed: Option<Closed>, ready: [bool; 2], stores: bool, expected: &str) {
        let provider = |provider, closed| ProviderStanding {
            provider,
            closed,
            confirmed_at: None,
        };
        let rail = |label, is_ready| RailStanding {
            label: RailLabel::parse(label).unwrap(),
            is_ready,
            wallet: None,
        };
        let standing = Standing {
            providers: vec![
                provider(ProviderId::DigitalOcean, None),
                provider(ProviderId::Vultr, closed),
            ],
            rails: vec![rail("base", ready[0]), rail("solana", ready[1])],
            stores,
        };
        let parts = Parts::of(&standing, |_| true);
        assert_eq!(parts.verdict(stores), expected, "{parts:?}");
    }

    #[test]
    fn the_whole_is_as_good_as_what_can_be_sold() {
        check(None, [true, true], true, UP);
        check(Some(Closed::Locked), [true, true], true, DEGRADED);
        check(None, [true, false], true, DEGRADED);
        check(None, [false, false], true, DOWN);
        check(None, [true, true], false, DOWN);
    }

    #[test]
    fn a_provider_with_an_old_catalogue_is_degraded() {
        let standing = Standing {
            providers: vec![ProviderStanding {
                provider: ProviderId::Vultr,
                closed: None,
                confirmed_at: None,
            }],
            rails: Vec::new(),
            stores: true,
        };
        let parts = Parts::of(&standing, |_| false);
        assert_eq!(parts.providers[0].status, DEGRADED);
        assert_eq!(parts.verdict(true), DOWN);
    }
}
