//! Credits: what an owner has, and buying more.

use std::borrow::Cow;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use compute_domain::WalletAddress;
use compute_domain::id::OperationId;
use compute_engine::{AuthFailure, Caller, Error, TopupRequest};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::members::{self, Paying};
use super::purchase::{Bought, Goods, Purchase, Tender};
use crate::app::{App, Settings};
use crate::discovery::answers::{Known, Paid};
use crate::discovery::shapes;
use crate::error::ApiError;
use crate::extract::{Authenticated, NoBody, Open, Patience, ReadBody, parse_json, require_json};
use crate::render::money::Dollars;
use crate::render::paid::{self, Funds, PENDING_NOTE};
use crate::render::private_json;

/// How many dollars.
#[derive(Debug)]
pub(crate) struct Wish(TopupRequest);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TopupRequest, description = "How many dollars. Unknown members are refused.")]
struct RawWish<'a> {
    #[serde(borrow)]
    #[schema(required, schema_with = shapes::topup_amount)]
    amount: Option<&'a RawValue>,
    /// The x402 network to pay over.
    #[serde(borrow)]
    network: Option<Cow<'a, str>>,
}

/// Amounts are texts here: clients must not compute with them in binary fractions.
#[derive(Serialize, ToSchema)]
struct BalanceReply {
    #[serde(skip_serializing_if = "Option::is_none")]
    wallet: Option<String>,
    balance: String,
    total_deposited: String,
    total_spent: String,
}

#[derive(Serialize, ToSchema)]
struct TopupReply<'a> {
    success: bool,
    deposited: Dollars,
    #[serde(flatten)]
    funds: Funds<'a>,
    #[schema(value_type = String, format = "uuid")]
    operation_id: OperationId,
    status_url: String,
}

/// While it is not known whether the payment settled.
#[derive(Serialize, ToSchema)]
#[schema(as = TopupPending)]
struct PendingReply {
    success: bool,
    code: &'static str,
    settlement: &'static str,
    /// Without what is still on its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<String>,
    #[schema(value_type = String, format = "uuid")]
    operation_id: OperationId,
    status_url: String,
    note: &'static str,
}

impl ReadBody for Wish {
    fn read(headers: &HeaderMap, raw: &Bytes, settings: &Settings) -> Result<Self, ApiError> {
        if raw.is_empty() {
            // Whoever probes learns what is missing, and not that nothing is of a wrong type.
            return Err(ApiError::field("amount", "amount is required"));
        }
        require_json(headers)?;
        let RawWish { amount, network } = parse_json(raw)?;
        let amount = amount.ok_or_else(|| ApiError::field("amount", "amount is required"))?;
        Ok(Self(TopupRequest {
            amount: members::dollars("amount", amount)?,
            network: members::network(network.as_deref(), &settings.default_network)?,
        }))
    }
}

/// What the caller has.
#[utoipa::path(
    get,
    path = "/compute/credits/balance",
    operation_id = "getBalance",
    tag = "Credits",
    security(("apiKey" = []), ("walletSignature" = [])),
    responses((status = 200, description = "Decimal texts of dollars.", body = BalanceReply), Known),
)]
pub(crate) async fn balance(
    State(app): State<App>,
    Authenticated(call): Authenticated<NoBody>,
) -> Result<Response, ApiError> {
    let balance = app.engine().balance(&call.caller).await?;
    let account = balance.account;
    let reply = BalanceReply {
        wallet: balance.wallet.as_ref().map(WalletAddress::to_string),
        balance: account.balance.to_string(),
        total_deposited: account.deposited.to_string(),
        total_spent: account.spent.to_string(),
    };
    private_json(StatusCode::OK, &reply)
}

/// Buys credits.
///
/// Without a payment: 402 that asks for exactly the amount. By x402 only; who calls must be known in
/// both steps, and the paying wallet must be the caller's.
#[utoipa::path(
    post,
    path = "/compute/credits/topup",
    operation_id = "topUp",
    tag = "Credits",
    security(("apiKey" = []), ("walletSignature" = [])),
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[A-Za-z0-9_:.-]{8,255}$", description = "A name for this purchase. Send the same one when retrying."), ("wait" = Option<u32>, Query, minimum = 0, maximum = 60, description = "Answer after so many seconds at the latest, however far it has come; not later than usual.")),
    request_body(content = RawWish<'_>, description = "How much."),
    responses(
        (status = 200, description = "Credited.", body = TopupReply<'_>,
            headers(
                ("PAYMENT-RESPONSE" = String, description = "Base64 of the settlement."),
                ("Idempotent-Replayed" = String, description = "`true` when it had been bought before."),
            ),
            links(
                ("operation" = (operation_id = "getOperation", parameters(("id" = "$response.body#/operation_id")))),
            )
        ),
        (status = 202, description = "It is not known yet whether the payment settled. Do not pay again; see `status_url`.", body = PendingReply,
            headers(("Retry-After" = String, description = "Seconds after which it is worth looking.")),
            links(
                ("operation" = (operation_id = "getOperation", parameters(("id" = "$response.body#/operation_id")))),
            )
        ),
        Paid,
    ),
)]
pub(crate) async fn top_up(
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
    if matches!(call.caller, Caller::Anonymous) {
        return Err(Error::Unauthenticated(AuthFailure::Required).into());
    }
    let Wish(request) = call.body;
    let tender = Tender::new(payment, request_keys, Paying::default())?;
    let purchase = Purchase {
        app: &app,
        caller: &call.caller,
        goods: Goods::Credits(&request),
        url: app.resource_url(&call.uri),
        facts,
        sender,
        patience,
    };
    let bought = purchase.make(tender).await?;
    answer(&app, &bought)
}

fn answer(app: &App, bought: &Bought) -> Result<Response, ApiError> {
    let (operation_id, status_url) = (bought.work.operation, app.status_url(&bought.work));
    let view = bought.view.as_deref();
    if let Some((view, deposited)) = view.and_then(|view| Some((view, view.deposited()?))) {
        let reply = TopupReply {
            success: true,
            deposited: Dollars(deposited),
            funds: Funds::of(view),
            operation_id,
            status_url,
        };
        return paid::success(&reply, Some(view), bought.replayed, app);
    }
    let reply = PendingReply {
        success: false,
        code: "settlement_pending",
        settlement: "pending",
        balance: view.and_then(|view| Some(view.balance?.to_string())),
        operation_id,
        status_url,
        note: PENDING_NOTE,
    };
    paid::pending(&reply, bought.replayed)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONTENT_TYPE;

    use super::*;

    fn read(body: &str) -> Result<TopupRequest, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = Bytes::from(body.to_owned());
        Wish::read(&headers, &body, &Settings::for_tests()).map(|Wish(request)| request)
    }

    #[test]
    fn an_amount_is_read_exactly() {
        for (text, micros) in [
            ("50", 50_000_000),
            ("1.000001", 1_000_001),
            ("2.50", 2_500_000),
        ] {
            let request = read(&format!("{{\"amount\": {text} }}")).unwrap();
            assert_eq!(request.amount.micros(), micros, "{text}");
            assert_eq!(request.network.as_str(), "base", "{text}");
        }
        let request = read("{\"amount\":1,\"network\":\"solana\"}").unwrap();
        assert_eq!(request.network.as_str(), "solana");
    }

    #[test]
    fn what_is_no_amount_is_refused_by_name() {
        for text in [
            "-1",
            "1e3",
            "1E3",
            "1.0000001",
            "99999999999999999999",
            "\"100\"",
            "true",
            "null",
            "[1]",
            "{}",
        ] {
            match read(&format!("{{\"amount\":{text}}}")) {
                Err(ApiError::Shape { field, .. }) => assert_eq!(field, Some("amount"), "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_json_or_has_other_members_is_refused() {
        for body in [
            "",
            "{}",
            "50",
            "{\"amount\":NaN}",
            "{\"amount\":Infinity}",
            "{\"amount\":.5}",
            "{\"amount\":5.}",
            "{\"amount\":+5}",
            "{\"amount\":050}",
            "{\"amount\":0x10}",
            "{\"amount\":5}x",
            "{\"amount\":5,\"amount\":6}",
            "{\"amount\":5,\"use_credits\":true}",
            "{\"amount\":5,\"max_total_usd\":5}",
            "{\"amount\":5,\"wallet\":\"0x1\"}",
        ] {
            assert_eq!(read(body).expect_err(body).row().status, 400, "{body}");
        }
    }
}
