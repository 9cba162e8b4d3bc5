//! The routes, one file per resource.

mod api_keys;
mod auto_extend;
mod catalog;
mod credits;
mod discovery;
mod events;
mod extend;
mod health;
mod instances;
mod ledger;
mod members;
mod notices;
mod operations;
mod orders;
mod password;
mod power;
mod provision;
mod purchase;
mod quote;
mod receipt;
mod resize;
mod status;
mod webhooks;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::error::ApiError;
use crate::front_door::front_door;

/// The whole public API. What is not in this table does not exist: 404, or 405 with `Allow`.
///
/// The listener marks every request with the other end's address, as [`crate::Peer`] or axum's
/// `ConnectInfo<SocketAddr>` in its extensions.
pub fn router(app: App) -> Router {
    let (described, _) = described().split_for_parts();
    described
        .merge(undescribed())
        .fallback(async || ApiError::NoSuchRoute)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(from_fn_with_state(app.clone(), front_door))
        .with_state(app)
}

/// The API, each route with its operation in the document `/openapi.json`.
pub(crate) fn described() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(catalog::plans))
        .routes(routes!(catalog::regions))
        .routes(routes!(catalog::images))
        .routes(routes!(quote::quote))
        .routes(routes!(provision::provision))
        .routes(routes!(instances::list))
        .routes(routes!(instances::details, instances::destroy))
        .routes(routes!(password::take))
        .routes(routes!(extend::extend))
        .routes(routes!(resize::resize))
        .routes(routes!(power::switch))
        .routes(routes!(power::protect))
        .routes(routes!(auto_extend::show, auto_extend::set))
        .routes(routes!(credits::balance))
        .routes(routes!(credits::top_up))
        .routes(routes!(orders::status))
        .routes(routes!(operations::status))
        .routes(routes!(receipt::receipt))
        .routes(routes!(ledger::list))
        .routes(routes!(api_keys::create, api_keys::list))
        .routes(routes!(api_keys::revoke))
        .routes(routes!(events::list))
        .routes(routes!(webhooks::create, webhooks::list))
        .routes(routes!(webhooks::remove))
        .routes(routes!(webhooks::rotate))
        .routes(routes!(webhooks::ping))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
}

/// What is no part of the API that clients call: messages of payment networks, whose form is theirs,
/// and the pages about the API.
fn undescribed() -> Router<App> {
    Router::new()
        .route("/compute/webhooks/stripe", post(notices::stripe))
        .route("/status.json", get(status::show))
        .route("/", get(discovery::index))
        .route("/openapi.json", get(discovery::document))
        .route("/docs", get(discovery::manual))
        .route("/.well-known/x402", get(discovery::well_known))
        .route("/llms.txt", get(discovery::llms))
        .route("/skill.md", get(discovery::skill))
        .route("/robots.txt", get(discovery::robots))
}
