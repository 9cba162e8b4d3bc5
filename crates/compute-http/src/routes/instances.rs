//! Machines of the caller: list, details, destroy.

use axum::extract::State;
use axum::response::Response;
use compute_engine::Goal;
use http::StatusCode;
use serde::Serialize;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{AnyBody, Authenticated, Id, NoBody};
use crate::render::order::Order;
use crate::render::private_json;

#[derive(Serialize)]
struct ListReply<'a> {
    instances: Vec<Order<'a>>,
}

/// Some published clients read `order`, others `instance`.
#[derive(Serialize)]
struct DetailsReply<'a> {
    order: &'a Order<'a>,
    instance: &'a Order<'a>,
}

#[derive(Serialize)]
struct DestroyReply<'a> {
    success: bool,
    order: &'a Order<'a>,
    instance: &'a Order<'a>,
}

/// `GET /compute/instances`: newest first, destroyed ones included.
pub(crate) async fn list(
    State(app): State<App>,
    Authenticated(call): Authenticated<NoBody>,
) -> Result<Response, ApiError> {
    let instances = app.engine().instances(&call.caller).await?;
    let window = app.window().ok();
    let instances = instances
        .iter()
        .map(|instance| Order::new(instance, window.as_deref()))
        .collect();
    private_json(StatusCode::OK, &ListReply { instances })
}

/// `GET /compute/instances/{id}`.
pub(crate) async fn details(
    State(app): State<App>,
    id: Id,
    Authenticated(call): Authenticated<NoBody>,
) -> Result<Response, ApiError> {
    let instance = app.engine().instance(&call.caller, id.parse()?).await?;
    let window = app.window().ok();
    let order = Order::new(&instance, window.as_deref());
    private_json(
        StatusCode::OK,
        &DetailsReply {
            order: &order,
            instance: &order,
        },
    )
}

/// `DELETE /compute/instances/{id}`: 200 once the provider accepted it, or after a while.
pub(crate) async fn destroy(
    State(app): State<App>,
    id: Id,
    Authenticated(call): Authenticated<AnyBody>,
) -> Result<Response, ApiError> {
    let submitted = app.engine().destroy(&call.caller, id.parse()?).await?;
    let operation = submitted.operation();
    app.work(submitted);
    let view = app
        .wait(operation, Goal::Accepted, app.settings().waits.destroy)
        .await?;
    let window = app.window().ok();
    let order = Order::new(&view.instance, window.as_deref());
    let reply = DestroyReply {
        success: true,
        order: &order,
        instance: &order,
    };
    private_json(StatusCode::OK, &reply)
}
