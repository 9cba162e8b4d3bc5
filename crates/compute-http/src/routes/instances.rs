//! Machines of the caller: list, details, destroy.

use axum::extract::State;
use axum::response::Response;
use compute_domain::id::InstanceId;
use compute_domain::money::Usd;
use compute_engine::{Error, Goal};
use http::StatusCode;
use serde::Serialize;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{AnyBody, Authenticated, Id, NoBody, Paging};
use crate::render::money::Dollars;
use crate::render::order::Order;
use crate::render::private_json;

#[derive(Serialize)]
struct ListReply<'a> {
    instances: Vec<Order<'a>>,
    /// Where the next page begins, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<InstanceId>,
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
    /// What was given back for the time that is left.
    credited: Dollars,
    #[serde(skip_serializing_if = "Option::is_none")]
    credited_to: Option<&'static str>,
}

/// `GET /compute/instances`, with `?cursor=` and `?limit=`: newest first, destroyed ones included.
pub(crate) async fn list(
    State(app): State<App>,
    Paging(page): Paging,
    Authenticated(call): Authenticated<NoBody>,
) -> Result<Response, ApiError> {
    let page = app.engine().instances(&call.caller, page).await?;
    let window = app.window().ok();
    let (instances, now) = (page.instances.iter(), app.engine().now());
    let reply = ListReply {
        instances: instances
            .map(|instance| Order::new(instance, window.as_deref()).seen_at(instance, now))
            .collect(),
        next_cursor: page.next,
    };
    private_json(StatusCode::OK, &reply)
}

/// `GET /compute/instances/{id}`.
pub(crate) async fn details(
    State(app): State<App>,
    id: Id,
    Authenticated(call): Authenticated<NoBody>,
) -> Result<Response, ApiError> {
    let instance = app.engine().instance(&call.caller, id.parse()?).await?;
    let window = app.window().ok();
    let order = Order::new(&instance, window.as_deref()).seen_at(&instance, app.engine().now());
    private_json(
        StatusCode::OK,
        &DetailsReply {
            order: &order,
            instance: &order,
        },
    )
}

/// `DELETE /compute/instances/{id}`: 200 once the provider accepted it, or after a while. What is
/// given back was decided when the deletion was accepted here.
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
    let instance = view.instance.as_ref().ok_or(Error::NotFound)?;
    let order = Order::new(instance, window.as_deref());
    let credited = view.credited().unwrap_or_default();
    let reply = DestroyReply {
        success: true,
        order: &order,
        instance: &order,
        credited: Dollars(credited),
        credited_to: (credited > Usd::ZERO).then_some("credits"),
    };
    private_json(StatusCode::OK, &reply)
}
