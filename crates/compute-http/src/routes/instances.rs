//! Machines of the caller: list, details, destroy.

use axum::extract::State;
use axum::response::Response;
use compute_domain::id::InstanceId;
use compute_domain::money::Usd;
use compute_engine::{Error, Goal};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::compress::compressible;
use crate::discovery::answers::{Changed, Known, Owned};
use crate::error::ApiError;
use crate::extract::{AnyBody, Authenticated, Id, NoBody, Paging};
use crate::render::money::Dollars;
use crate::render::order::Order;
use crate::render::private_json;

#[derive(Serialize, ToSchema)]
#[schema(as = InstancesReply)]
struct ListReply<'a> {
    instances: Vec<Order<'a>>,
    /// Where the next page begins, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    next_cursor: Option<InstanceId>,
}

/// Some published clients read `order`, others `instance`.
#[derive(Serialize, ToSchema)]
struct DetailsReply<'a> {
    order: &'a Order<'a>,
    instance: &'a Order<'a>,
}

#[derive(Serialize, ToSchema)]
struct DestroyReply<'a> {
    success: bool,
    order: &'a Order<'a>,
    instance: &'a Order<'a>,
    /// What was given back for the time that is left.
    credited: Dollars,
    #[serde(skip_serializing_if = "Option::is_none")]
    credited_to: Option<&'static str>,
}

/// The caller's machines, newest first, destroyed ones included.
#[utoipa::path(
    get,
    path = "/compute/instances",
    operation_id = "listInstances",
    tag = "Machines",
    security(("apiKey" = []), ("walletSignature" = [])),
    params(
        ("cursor" = Option<String>, Query, format = "uuid", description = "The `next_cursor` of the page before."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Machines in a page; 200 when absent."),
    ),
    responses((status = 200, description = "A page.", body = ListReply<'_>,
        links(
                ("details" = (operation_id = "getInstance", parameters(("id" = "$response.body#/instances/0/id")))),
                ("next" = (operation_id = "listInstances", parameters(("cursor" = "$response.body#/next_cursor")))),
            )), Known),
)]
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
    private_json(StatusCode::OK, &reply).map(compressible)
}

/// One machine. A destroyed one stays readable.
#[utoipa::path(
    get,
    path = "/compute/instances/{id}",
    operation_id = "getInstance",
    tag = "Machines",
    security(("apiKey" = []), ("walletSignature" = [])),
    params(("id" = String, Path, format = "uuid", description = "The order's id.")),
    responses((status = 200, description = "The machine.", body = DetailsReply<'_>,
        links(
                ("order" = (operation_id = "getOrder", parameters(("id" = "$response.body#/order/id")))),
            )), Owned),
)]
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

/// Destroys a machine.
///
/// 200 once the provider accepted it, or after a while; again when it is gone already. What is given
/// back for unused time is decided when the deletion is accepted here.
#[utoipa::path(
    delete,
    path = "/compute/instances/{id}",
    operation_id = "destroyInstance",
    tag = "Machines",
    security(("apiKey" = []), ("walletSignature" = [])),
    params(("id" = String, Path, format = "uuid", description = "The order's id.")),
    responses((status = 200, description = "It is going, or gone.", body = DestroyReply<'_>,
        links(
                ("details" = (operation_id = "getInstance", parameters(("id" = "$response.body#/order/id")))),
            )), Changed),
)]
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
