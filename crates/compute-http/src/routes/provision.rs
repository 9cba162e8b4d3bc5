//! Buying a machine.

mod body;

use axum::extract::State;
use axum::response::Response;
use compute_domain::id::OperationId;
use compute_engine::{ProvisionRequest, RequestFacts};
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use self::body::{RawPurchase, Wish};
use super::purchase::{Bought, Goods, Purchase, Tender};
use crate::app::App;
use crate::discovery::answers::Paid;
use crate::discovery::shapes;
use crate::error::ApiError;
use crate::extract::{Open, Patience, Payment};
use crate::render::management::Management;
use crate::render::order::{Order, UnseenOrder};
use crate::render::paid::{self, Funds, PENDING_NOTE};

/// What a buyer gets. Neither `error` nor `detail` may stand here: clients take them for failure.
#[derive(Serialize, ToSchema)]
struct ProvisionReply<'a> {
    success: bool,
    #[schema(schema_with = shapes::bought_order)]
    order: BoughtOrder<'a>,
    #[serde(flatten)]
    funds: Funds<'a>,
    #[serde(flatten)]
    #[schema(value_type = Management<'a>)]
    management: Option<Management<'a>>,
    #[schema(value_type = String, format = "uuid")]
    operation_id: OperationId,
    status_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

/// The order, in full or as far as it is known.
#[derive(Serialize)]
#[serde(untagged)]
enum BoughtOrder<'a> {
    Seen(Box<Order<'a>>),
    Unseen(Box<UnseenOrder<'a>>),
}

/// While a transfer that can buy no machine any more is looked for on its chain: it becomes credit.
#[derive(Serialize, ToSchema)]
#[schema(as = ProvisionPending)]
struct PendingReply<'a> {
    success: bool,
    code: &'static str,
    settlement: &'static str,
    #[serde(flatten)]
    #[schema(value_type = Management<'a>)]
    management: Option<Management<'a>>,
    #[schema(value_type = String, format = "uuid")]
    operation_id: OperationId,
    status_url: String,
    note: &'static str,
}

/// Buys a machine.
///
/// Without a payment: 402 with the price and every way to pay it; an empty body asks for the cheapest
/// machine. With a payment, or `use_credits`: the machine. Who pays by x402 owns it; who pays by a
/// credential alone gets a key. `settlement: "pending"` means that the purchase goes on by itself: look
/// at `status_url`, and do not pay again.
#[utoipa::path(
    post,
    path = "/compute/provision",
    operation_id = "provision",
    tag = "Buying",
    security((), ("payment" = [])),
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[A-Za-z0-9_:.-]{8,255}$", description = "A name for this purchase. Send the same one when retrying."), ("wait" = Option<u32>, Query, minimum = 0, maximum = 60, description = "Answer after so many seconds at the latest, however far it has come; not later than usual.")),
    request_body(content = Option<RawPurchase<'_>>, description = "What to buy, and how to pay for it."),
    responses(
        (status = 200, description = "Bought.", body = ProvisionReply<'_>,
            headers(
                ("PAYMENT-RESPONSE" = String, description = "Base64 of the settlement, for x402."),
                ("Payment-Receipt" = String, description = "The receipt, for the Payment scheme."),
                ("Idempotent-Replayed" = String, description = "`true` when it had been bought before."),
            ),
            links(
                ("order" = (operation_id = "getOrder", parameters(("id" = "$response.body#/order/id")))),
                ("details" = (operation_id = "getInstance", parameters(("id" = "$response.body#/order/id")))),
                ("password" = (operation_id = "takePassword", parameters(("id" = "$response.body#/order/id")))),
                ("extend" = (operation_id = "extendInstance", parameters(("id" = "$response.body#/order/id")))),
                ("resize" = (operation_id = "resizeInstance", parameters(("id" = "$response.body#/order/id")))),
                ("destroy" = (operation_id = "destroyInstance", parameters(("id" = "$response.body#/order/id")))),
                ("operation" = (operation_id = "getOperation", parameters(("id" = "$response.body#/operation_id")))),
            )
        ),
        (status = 202, description = "The money was sent and can buy no machine any more; it becomes credit.", body = PendingReply<'_>),
        Paid,
    ),
)]
pub(crate) async fn provision(
    State(app): State<App>,
    Patience(patience): Patience,
    Open {
        call,
        payment,
        request_keys,
        facts,
        sender,
    }: Open<Wish>,
) -> Result<Response, ApiError> {
    let url = app.resource_url(&call.uri);
    let Wish::Order(request, paying) = call.body else {
        let is_paid = payment.as_ref().is_some_and(Payment::is_certain);
        return Err(answer_probe(&app, is_paid, &url, facts));
    };
    let tender = Tender::new(payment, request_keys, paying)?;
    let purchase = Purchase {
        app: &app,
        caller: &call.caller,
        goods: Goods::Machine(&request),
        url,
        facts,
        sender,
        patience,
    };
    let bought = purchase.make(tender).await?;
    answer(&app, &bought, &request)
}

/// A payment without a request would buy nothing: it is refused before anything settles
/// (decisions.md 35).
fn answer_probe(app: &App, is_paid: bool, url: &str, facts: RequestFacts) -> ApiError {
    if is_paid {
        ApiError::shape("a paid request needs a body that says what to buy")
    } else {
        app.engine().probe(url, facts).into()
    }
}

/// The answer for an order that was accepted, as far as it has come (decisions.md 1, 4).
fn answer(app: &App, bought: &Bought, request: &ProvisionRequest) -> Result<Response, ApiError> {
    let (operation_id, status_url) = (bought.work.operation, app.status_url(&bought.work));
    let management = bought.management.as_ref().map(Management::of);
    let seen = bought.view.as_deref();
    let Some((view, instance)) = seen.and_then(|view| Some((view, view.instance.as_ref()?))) else {
        let Some(id) = bought.work.order else {
            let reply = PendingReply {
                success: false,
                code: "settlement_pending",
                settlement: "pending",
                management,
                operation_id,
                status_url,
                note: PENDING_NOTE,
            };
            return paid::pending(&reply, bought.replayed);
        };
        let reply = ProvisionReply {
            success: true,
            order: BoughtOrder::Unseen(Box::new(UnseenOrder::new(id, request, app.engine().now()))),
            funds: Funds::unseen(bought.with_credits),
            management,
            operation_id,
            status_url,
            note: (!bought.with_credits).then_some(PENDING_NOTE),
        };
        return paid::success(&reply, None, bought.replayed, app);
    };
    let window = app.window().ok();
    let reply = ProvisionReply {
        success: true,
        order: BoughtOrder::Seen(Box::new(Order::new(instance, window.as_deref()))),
        funds: Funds::of(view),
        management,
        operation_id,
        status_url,
        note: view.is_settlement_pending().then_some(PENDING_NOTE),
    };
    paid::success(&reply, Some(view), bought.replayed, app)
}
