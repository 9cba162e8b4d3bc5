//! Buying a machine.

use axum::extract::State;
use axum::response::Response;
use compute_domain::WalletAddress;
use compute_domain::id::InstanceId;
use compute_domain::instance::FailureCode;
use compute_domain::operation::OperationState;
use compute_domain::payment::PaymentState;
use compute_engine::{
    Caller, Error, Goal, OfferSheet, OrderView, PaymentProblem, ProvisionRequest,
};
use compute_x402::{PaymentPayload, SettlementHeaders};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::purchase::Purchase;
use crate::app::App;
use crate::error::{ApiError, Declined, Undelivered};
use crate::extract::Open;
use crate::render::order::{Order, UnseenOrder};
use crate::render::{IDEMPOTENT_REPLAYED, TRUE, private_json, receipt};

/// What a buyer gets. Neither `error` nor `detail` may stand here: clients take them for failure.
#[derive(Serialize)]
struct ProvisionReply<'a, O> {
    success: bool,
    order: O,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_hash: Option<&'a str>,
    settlement: &'static str,
    status_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

const PENDING_NOTE: &str = "it is not known yet whether the payment settled; the order goes on by \
     itself, see status_url; do not create a new payment";

/// `POST /compute/provision`: 402 with the price, or the machine for the payment.
pub(crate) async fn provision(
    State(app): State<App>,
    Open { call, payment }: Open<Purchase>,
) -> Result<Response, ApiError> {
    let url = app.resource_url(&call.uri);
    let Purchase::Order(request) = call.body else {
        return Err(answer_probe(&app, payment.is_some(), &url));
    };
    let payer = admit_payer(&app, payment.as_ref()).await?;
    let submitted = app
        .engine()
        .provision(&call.caller, &request, payment, &url)
        .await?;
    let (operation, id) = (submitted.operation(), submitted.instance());
    let is_replay = submitted.is_replay();
    app.work(submitted);
    if let Some(payer) = payer.filter(|_| !is_replay) {
        app.purchases().count(payer, app.engine().now());
    }
    let patience = app.settings().waits.create;
    match app.wait(operation, Goal::Created, patience).await {
        Ok(view) if is_declined(&view) => {
            let sheet = fresh_sheet(&app, &call.caller, &request, &url).await?;
            Err(declined(&app, &view, sheet, is_replay))
        }
        Ok(view) => answer(&app, &view, is_replay),
        Err(error) => unseen(&app, id, &request, is_replay, &error),
    }
}

/// Who pays. A payer who has bought too much of late waits with a new purchase, before anything
/// settles; a repeat of a known payment is never turned away (decisions.md 28).
async fn admit_payer(
    app: &App,
    payment: Option<&PaymentPayload>,
) -> Result<Option<WalletAddress>, ApiError> {
    let Some(payload) = payment else {
        return Ok(None);
    };
    let payer = app.engine().payer_of(payload);
    let wait = payer.and_then(|payer| app.purchases().wait_for(&payer, app.engine().now()));
    match wait {
        Some(wait) if !app.engine().is_known(payload).await? => Err(ApiError::RateLimited { wait }),
        _ => Ok(payer),
    }
}

/// A payment without a request would buy nothing: it is refused before anything settles
/// (decisions.md 35).
fn answer_probe(app: &App, is_paid: bool, url: &str) -> ApiError {
    if is_paid {
        ApiError::shape("a paid request needs a body that says what to buy")
    } else {
        app.engine().probe(url).into()
    }
}

fn is_declined(view: &OrderView) -> bool {
    matches!(
        view.operation.state,
        OperationState::Failed {
            code: FailureCode::PaymentDeclined
        }
    )
}

/// How to pay now, for a client whose payment was declined.
async fn fresh_sheet(
    app: &App,
    caller: &Caller,
    request: &ProvisionRequest,
    url: &str,
) -> Result<Box<OfferSheet>, ApiError> {
    match app.engine().provision(caller, request, None, url).await {
        Err(Error::PaymentRequired { sheet, .. }) => Ok(sheet),
        Err(error) => Err(error.into()),
        // Without a payment nothing is ever submitted.
        Ok(_) => Err(ApiError::Engine(Error::CatalogUnavailable)),
    }
}

fn declined(app: &App, view: &OrderView, sheet: Box<OfferSheet>, replayed: bool) -> ApiError {
    let code = match view.payment.as_ref().map(|payment| &payment.state) {
        Some(PaymentState::Declined { code }) => code.clone(),
        _ => "unexpected_settle_error".to_owned(),
    };
    let detail = "the payment network declined the payment; nothing was charged".to_owned();
    ApiError::Declined(Box::new(Declined {
        sheet,
        problem: PaymentProblem { code, detail },
        order: view.instance.id,
        settlement: receipt::of(view, app),
        replayed,
    }))
}

/// The answer for an order that was accepted, as far as it has come (decisions.md 1, 4, 5).
fn answer(app: &App, view: &OrderView, replayed: bool) -> Result<Response, ApiError> {
    match view.operation.state {
        // "Unknown" is never a failure for the client: it would pay again.
        OperationState::Failed { code } if code != FailureCode::SettlementUnknown => {
            Err(ApiError::Undelivered(Box::new(Undelivered {
                code,
                order: view.instance.id,
                credited: view.credited,
                settlement: receipt::of(view, app),
                replayed,
            })))
        }
        _ => accepted(app, view, replayed),
    }
}

fn accepted(app: &App, view: &OrderView, replayed: bool) -> Result<Response, ApiError> {
    let evidence = view.payment.as_ref().and_then(|payment| payment.evidence());
    let is_known = evidence.is_some();
    let window = app.window().ok();
    let reply = ProvisionReply {
        success: true,
        order: Order::new(&view.instance, window.as_deref()),
        tx_hash: evidence.map(|evidence| evidence.reference.as_str()),
        settlement: view
            .payment
            .as_ref()
            .map_or("pending", receipt::settlement_word),
        status_url: app.status_url(view.instance.id),
        note: (!is_known).then_some(PENDING_NOTE),
    };
    success(
        &reply,
        receipt::of(view, app).filter(|_| is_known),
        replayed,
    )
}

/// The order was accepted and the database does not answer any more. The work goes on, here or on
/// another replica; an error would make clients pay a second time.
fn unseen(
    app: &App,
    id: InstanceId,
    request: &ProvisionRequest,
    replayed: bool,
    error: &Error,
) -> Result<Response, ApiError> {
    tracing::error!(error = %error, instance.id = %id, "an accepted order cannot be read");
    let reply = ProvisionReply {
        success: true,
        order: UnseenOrder::new(id, request, app.engine().now()),
        tx_hash: None,
        settlement: "pending",
        status_url: app.status_url(id),
        note: Some(PENDING_NOTE),
    };
    success(&reply, None, replayed)
}

fn success(
    reply: &impl Serialize,
    settlement: Option<SettlementHeaders>,
    replayed: bool,
) -> Result<Response, ApiError> {
    let mut response = private_json(StatusCode::OK, reply)?;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    if let Some(settlement) = settlement {
        receipt::insert(headers, &settlement);
    }
    if replayed {
        headers.insert(IDEMPOTENT_REPLAYED, TRUE);
    }
    Ok(response)
}
