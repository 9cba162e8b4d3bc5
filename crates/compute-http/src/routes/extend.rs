//! Buying more time for a machine.

use std::borrow::Cow;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use compute_domain::id::{InstanceId, OperationId};
use compute_domain::instance::Instance;
use compute_domain::money::Hours;
use compute_domain::operation::{OperationState, TimeBought};
use compute_engine::{ExtendRequest, OperationView};
use http::HeaderMap;
use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::members::{self, Paying};
use super::purchase::{Bought, Goods, Purchase, Tender};
use crate::app::{App, Settings};
use crate::discovery::answers::PaidFor;
use crate::discovery::shapes;
use crate::error::ApiError;
use crate::extract::{Id, Open, Patience, ReadBody, parse_json, require_json};
use crate::render::money::Dollars;
use crate::render::order::Order;
use crate::render::paid::{self, ACCEPTED_NOTE, Funds, PENDING_NOTE};

/// How much time, and how it is paid.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(super) request: ExtendRequest,
    pub(super) paying: Paying,
}

/// Unknown members are refused: who asks for something else must not get this for its money.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ExtendRequest, description = "How much time. Unknown members are refused.")]
pub(super) struct RawWish<'a> {
    /// How much time; 24 when absent.
    #[serde(default, deserialize_with = "members::present")]
    #[schema(nullable = false, minimum = 24, maximum = 4320)]
    extend_hours: Option<u64>,
    /// The x402 network to pay over. Who pays by a credential or by credits needs none.
    #[serde(borrow)]
    network: Option<Cow<'a, str>>,
    /// Pay from credits; needs `X-API-Key` or the `X-Auth-*` headers.
    #[serde(default, deserialize_with = "members::present")]
    #[schema(nullable = false)]
    use_credits: Option<bool>,
    /// Refuse, with 409 and before anything is settled, what costs more than this.
    #[serde(borrow, default, deserialize_with = "members::present")]
    #[schema(schema_with = shapes::amount_or_text)]
    max_total_usd: Option<&'a RawValue>,
}

/// What a buyer gets. Neither `error` nor `detail` may stand here: clients take them for failure.
#[derive(Serialize, ToSchema)]
struct ExtendReply<'a> {
    success: bool,
    order: Order<'a>,
    #[serde(flatten)]
    funds: Funds<'a>,
    extended_hours: u32,
    price: Dollars,
    #[schema(value_type = String, format = "uuid")]
    operation_id: OperationId,
    status_url: String,
}

/// While it is not known whether the payment settled, and so what the machine's end is.
#[derive(Serialize, ToSchema)]
#[schema(as = ExtendPending)]
struct PendingReply<'a> {
    success: bool,
    code: &'static str,
    settlement: &'static str,
    #[schema(value_type = String, format = "uuid")]
    order_id: InstanceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Order<'a>>,
    /// Unchanged so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    #[schema(value_type = String, format = "uuid")]
    operation_id: OperationId,
    status_url: String,
    note: &'static str,
}

impl ReadBody for Wish {
    /// Nothing and `{}` mean one day over the default network: published clients send both.
    fn read(headers: &HeaderMap, raw: &Bytes, settings: &Settings) -> Result<Self, ApiError> {
        let raw = if raw.is_empty() {
            RawWish::default()
        } else {
            require_json(headers)?;
            parse_json(raw)?
        };
        let hours = members::hours("extend_hours", raw.extend_hours, Hours::EXTEND_DEFAULT)?;
        let network = members::network(raw.network.as_deref(), &settings.default_network)?;
        Ok(Self {
            request: ExtendRequest { hours, network },
            paying: Paying::parse(raw.use_credits, raw.max_total_usd)?,
        })
    }
}

/// Buys more time for a machine.
///
/// Without a payment: 402 with the price. Nobody needs to be authenticated to pay by x402: the paying
/// wallet must own the machine. Who pays by a credential or by credits must be known.
#[utoipa::path(
    post,
    path = "/compute/instances/{id}/extend",
    operation_id = "extendInstance",
    tag = "Buying",
    security((), ("payment" = [])),
    params(("id" = String, Path, format = "uuid", description = "The order's id."), ("Idempotency-Key" = Option<String>, Header, pattern = "^[A-Za-z0-9_:.-]{8,255}$", description = "A name for this purchase. Send the same one when retrying."), ("wait" = Option<u32>, Query, minimum = 0, maximum = 60, description = "Answer after so many seconds at the latest, however far it has come; not later than usual.")),
    request_body(content = Option<RawWish<'_>>, description = "Nothing and `{}` mean 24 hours over the default network."),
    responses(
        (status = 200, description = "Extended.", body = ExtendReply<'_>,
            headers(
                ("PAYMENT-RESPONSE" = String, description = "Base64 of the settlement, for x402."),
                ("Payment-Receipt" = String, description = "The receipt, for the Payment scheme."),
                ("Idempotent-Replayed" = String, description = "`true` when it had been bought before."),
            ),
            links(
                ("order" = (operation_id = "getOrder", parameters(("id" = "$response.body#/order/id")))),
                ("operation" = (operation_id = "getOperation", parameters(("id" = "$response.body#/operation_id")))),
                ("destroy" = (operation_id = "destroyInstance", parameters(("id" = "$response.body#/order/id")))),
            )
        ),
        (status = 202, description = "It is not known yet whether the payment settled. Do not pay again; see `status_url`.", body = PendingReply<'_>,
            headers(("Retry-After" = String, description = "Seconds after which it is worth looking.")),
            links(
                ("operation" = (operation_id = "getOperation", parameters(("id" = "$response.body#/operation_id")))),
            )
        ),
        PaidFor,
    ),
)]
pub(crate) async fn extend(
    State(app): State<App>,
    id: Id,
    Patience(patience): Patience,
    Open {
        call,
        payment,
        request_keys,
        facts,
        sender,
    }: Open<Wish>,
) -> Result<Response, ApiError> {
    let Wish { request, paying } = call.body;
    let tender = Tender::new(payment, request_keys, paying)?;
    let id = id.parse()?;
    let purchase = Purchase {
        app: &app,
        caller: &call.caller,
        goods: Goods::Time(id, &request),
        url: app.resource_url(&call.uri),
        facts,
        sender,
        patience,
    };
    let bought = purchase.make(tender).await?;
    answer(&app, id, &bought)
}

fn answer(app: &App, id: InstanceId, bought: &Bought) -> Result<Response, ApiError> {
    let window = app.window().ok();
    let window = window.as_deref();
    let (operation_id, status_url) = (bought.work.operation, app.status_url(&bought.work));
    if let Some((view, instance, time)) = bought.view.as_deref().and_then(extended) {
        let reply = ExtendReply {
            success: true,
            order: Order::new(instance, window),
            funds: Funds::of(view),
            extended_hours: time.hours.get(),
            price: Dollars(time.price),
            operation_id,
            status_url,
        };
        return paid::success(&reply, Some(view), bought.replayed, app);
    }
    let instance = bought.view.as_ref().and_then(|view| view.instance.as_ref());
    let (code, settlement, note) = if bought.with_credits {
        // The debit and the extension are one commit; only the machine cannot be shown now.
        ("accepted", "credits", ACCEPTED_NOTE)
    } else {
        ("settlement_pending", "pending", PENDING_NOTE)
    };
    let reply = PendingReply {
        success: false,
        code,
        settlement,
        order_id: id,
        order: instance.map(|instance| Order::new(instance, window)),
        expires_at: instance.map(|instance| instance.expires_at().rfc3339()),
        operation_id,
        status_url,
        note,
    };
    paid::pending(&reply, bought.replayed)
}

/// An extension that is done, its machine, and what was bought.
fn extended(view: &OperationView) -> Option<(&OperationView, &Instance, TimeBought)> {
    let is_done = view.operation.state == OperationState::Succeeded;
    let (instance, time) = (view.instance.as_ref()?, view.operation.data.time?);
    is_done.then_some((view, instance, time))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONTENT_TYPE;

    use super::*;

    fn read(body: &'static str) -> Result<Wish, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Wish::read(&headers, &Bytes::from(body), &Settings::for_tests())
    }

    #[test]
    fn nothing_means_one_day_over_the_default_network() {
        for body in ["", "{}", " { } "] {
            let Wish { request, paying } = read(body).unwrap();
            assert_eq!(request.hours.get(), 24, "{body}");
            assert_eq!(request.network.as_str(), "base", "{body}");
            assert_eq!(paying, Paying::default(), "{body}");
        }
        let untyped = Wish::read(&HeaderMap::new(), &Bytes::new(), &Settings::for_tests());
        assert!(untyped.is_ok());
        let untyped = Wish::read(
            &HeaderMap::new(),
            &Bytes::from("{}"),
            &Settings::for_tests(),
        );
        assert_eq!(untyped.unwrap_err().row().status, 415);
    }

    #[test]
    fn every_member_is_read() {
        let wish = read(
            "{\"extend_hours\":4320,\"network\":\"solana\",\"use_credits\":true,\
             \"max_total_usd\":\"30.24\"}",
        );
        let Wish { request, paying } = wish.unwrap();
        assert_eq!(
            (request.hours.get(), request.network.as_str()),
            (4_320, "solana")
        );
        assert!(paying.use_credits);
        assert_eq!(paying.max_total.map(|usd| usd.micros()), Some(30_240_000));
    }

    #[test]
    fn anything_else_is_400() {
        for body in [
            "null",
            "[]",
            "{\"extend_hours\":0}",
            "{\"extend_hours\":23}",
            "{\"extend_hours\":4321}",
            "{\"extend_hours\":-24}",
            "{\"extend_hours\":24.5}",
            "{\"extend_hours\":24.0}",
            "{\"extend_hours\":\"24\"}",
            "{\"extend_hours\":9223372036854775808}",
            "{\"extend_hours\":24,\"extend_hours\":24}",
            "{\"prepaid_hours\":24}",
            "{\"network\":\"BASE\"}",
            "{\"network\":1}",
            "{\"use_credits\":1}",
            "{\"max_total_usd\":-1}",
            "{\"max_total_usd\":1e3}",
            "{} {}",
        ] {
            assert_eq!(read(body).expect_err(body).row().status, 400, "{body}");
        }
    }
}
