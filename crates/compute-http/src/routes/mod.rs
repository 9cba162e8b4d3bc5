//! The routes, one file per resource.

mod api_keys;
mod auto_extend;
mod catalog;
mod credits;
mod events;
mod extend;
mod health;
mod instances;
mod members;
mod notices;
mod operations;
mod orders;
mod password;
mod power;
mod provision;
mod purchase;
mod resize;
mod webhooks;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post, put};

use crate::app::App;
use crate::error::ApiError;
use crate::front_door::front_door;

/// The whole public API. What is not in this table does not exist: 404, or 405 with `Allow`.
///
/// The listener marks every request with the other end's address, as [`crate::Peer`] or axum's
/// `ConnectInfo<SocketAddr>` in its extensions.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/compute/plans", get(catalog::plans))
        .route("/compute/regions", get(catalog::regions))
        .route("/compute/os", get(catalog::images))
        .route("/compute/provision", post(provision::provision))
        .route("/compute/instances", get(instances::list))
        .route(
            "/compute/instances/{id}",
            get(instances::details).delete(instances::destroy),
        )
        .route("/compute/instances/{id}/password", post(password::take))
        .route("/compute/instances/{id}/extend", post(extend::extend))
        .route("/compute/instances/{id}/resize", post(resize::resize))
        .route("/compute/instances/{id}/actions", post(power::switch))
        .route("/compute/instances/{id}/protection", put(power::protect))
        .route(
            "/compute/instances/{id}/auto-extend",
            get(auto_extend::show).put(auto_extend::set),
        )
        .route("/compute/credits/balance", get(credits::balance))
        .route("/compute/credits/topup", post(credits::top_up))
        .route("/compute/orders/{id}", get(orders::status))
        .route("/compute/operations/{id}", get(operations::status))
        .route(
            "/compute/api-keys",
            post(api_keys::create).get(api_keys::list),
        )
        .route("/compute/api-keys/{id}", delete(api_keys::revoke))
        .route("/compute/events", get(events::list))
        .route(
            "/compute/webhooks",
            post(webhooks::create).get(webhooks::list),
        )
        .route("/compute/webhooks/{id}", delete(webhooks::remove))
        .route("/compute/webhooks/{id}/rotate", post(webhooks::rotate))
        .route("/compute/webhooks/{id}/ping", post(webhooks::ping))
        .route(
            "/compute/webhooks/{id}/deliveries",
            get(webhooks::deliveries),
        )
        .route("/compute/webhooks/stripe", post(notices::stripe))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(async || ApiError::NoSuchRoute)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(from_fn_with_state(app.clone(), front_door))
        .with_state(app)
}
