use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::exact::{self, Transfer};
use super::ledger::{Event, World, hash, text, transaction_of};
use super::network::Network;
use super::wire::{Request, SettleAnswer, VerifyAnswer};
use super::{Fault, Shared, cdp, control, lock, rpc};
use crate::listen::{bad_gateway, hang_up, status};

pub(super) fn router(shared: Shared) -> Router {
    let public = Router::new()
        .route("/supported", get(supported))
        .route("/verify", post(verify))
        .route("/settle", post(settle))
        .layer(from_fn_with_state(shared.clone(), cdp::demand))
        .layer(from_fn_with_state(shared.clone(), disturb));
    let control = Router::new()
        .route(
            "/control/faults",
            get(control::report)
                .post(control::add)
                .delete(control::clear),
        )
        .route("/control/journal", get(control::journal))
        .route("/control/cancel", post(control::cancel))
        .route("/control/balance", post(control::set_balance))
        .route("/control/clock", post(control::advance))
        .route("/control/land", post(control::land))
        .route("/rpc/{network}", post(rpc::call));
    // A hosted facilitator has its paths below others.
    Router::new()
        .nest(super::DEEP_PATH, public.clone())
        .merge(public)
        .merge(control)
        .with_state(shared)
}

async fn disturb(State(shared): State<Shared>, request: HttpRequest, next: Next) -> Response {
    let fault = {
        let mut world = lock(&shared);
        world.calls.push(request.uri().path().to_owned());
        world.faults.take(|fault| {
            matches!(
                fault,
                Fault::Down
                    | Fault::Hang
                    | Fault::Slow { .. }
                    | Fault::Say { .. }
                    | Fault::Throttle { .. }
            )
        })
    };
    match fault {
        Some(Fault::Down) => hang_up(),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Say { status: code, body }) => (status(code), body).into_response(),
        Some(Fault::Throttle { retry_after }) => {
            let headers = [("retry-after", retry_after.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, headers).into_response()
        }
        Some(Fault::Slow { ms }) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            next.run(request).await
        }
        _ => next.run(request).await,
    }
}

async fn supported(State(shared): State<Shared>) -> Json<Value> {
    let mut world = lock(&shared);
    let mut networks = world.networks.clone();
    let is_lacking = |fault: &Fault| matches!(fault, Fault::Unsupported { .. });
    if let Some(Fault::Unsupported { network }) = world.faults.take(is_lacking) {
        networks.retain(|own| own.name() != network);
    }
    let kinds: Vec<Value> = networks
        .iter()
        .flat_map(|network| {
            // What version 1 cannot say is not settled in it.
            let first = (!network.has_permit2()).then(|| (1, network.name()));
            first.into_iter().chain([(2, network.caip2())])
        })
        .map(|(version, name)| json!({"x402Version": version, "scheme": "exact", "network": name}))
        .collect();
    let signers = json!({"eip155:*": ["0xe610CCf82618307EFe7E7f324d6556B35458364B"]});
    let sponsors = networks.iter().any(|network| network.has_permit2())
        && world
            .faults
            .take(|fault| *fault == Fault::WithoutSponsoring)
            .is_none();
    let extensions = if sponsors {
        json!(["eip2612GasSponsoring"])
    } else {
        json!([])
    };
    Json(json!({"kinds": kinds, "extensions": extensions, "signers": signers}))
}

fn parse(body: &[u8]) -> Result<Request, Box<Response>> {
    serde_json::from_slice(body).map_err(|error| {
        let reply = json!({"error": format!("invalid request body: {error}")});
        Box::new((StatusCode::BAD_REQUEST, Json(reply)).into_response())
    })
}

async fn verify(State(shared): State<Shared>, body: Bytes) -> Response {
    let request = match parse(&body) {
        Ok(request) => request,
        Err(response) => return *response,
    };
    let mut world = lock(&shared);
    let is_invalid = |fault: &Fault| matches!(fault, Fault::Invalid { .. });
    if let Some(Fault::Invalid {
        reason,
        status: code,
    }) = world.faults.take(is_invalid)
    {
        let answer = VerifyAnswer {
            is_valid: false,
            invalid_reason: Some(reason),
            payer: None,
        };
        return (status(code), Json(answer)).into_response();
    }
    let checked = exact::check(&request, &world.networks).and_then(|transfer| {
        world.check(&transfer)?;
        Ok(transfer)
    });
    let answer = match checked {
        Ok(transfer) => VerifyAnswer {
            is_valid: true,
            invalid_reason: None,
            payer: Some(text(transfer.from)),
        },
        Err(reason) => VerifyAnswer {
            is_valid: false,
            invalid_reason: Some(reason.to_owned()),
            payer: None,
        },
    };
    Json(answer).into_response()
}

async fn settle(State(shared): State<Shared>, body: Bytes) -> Response {
    let request = match parse(&body) {
        Ok(request) => request,
        Err(response) => return *response,
    };
    let network = request.payment_requirements.network.clone();
    let hang = {
        let mut world = lock(&shared);
        match exact::check(&request, &world.networks) {
            Err(reason) => return Json(failure(reason, "", &network)).into_response(),
            Ok(transfer) => settle_transfer(&mut world, &transfer, &request),
        }
    };
    match hang {
        Some(response) => response,
        None => std::future::pending().await,
    }
}

// `None` means: do not answer at all.
fn settle_transfer(world: &mut World, transfer: &Transfer, request: &Request) -> Option<Response> {
    let network = request.payment_requirements.network.as_str();
    if let Some(transaction) = world.settled(transfer) {
        if world.faults.any(|fault| *fault == Fault::RefuseRepeats) {
            let reason = if transfer.network.has_permit2() {
                "permit2_invalid_nonce"
            } else {
                "invalid_exact_evm_nonce_already_used"
            };
            return Some(Json(failure(reason, "", network)).into_response());
        }
        return Some(Json(success(transfer, &transaction, network)).into_response());
    }
    if let Err(reason) = world.check(transfer) {
        return Some(Json(failure(reason, "", network)).into_response());
    }
    let transaction = transaction_of(transfer);
    let fault = world.faults.take(is_settle_fault);
    if moves_money(fault.as_ref())
        && let Err(error) = world.settle(transfer, request.x402_version)
    {
        return Some((StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response());
    }
    let answer = match fault {
        None => Json(success(transfer, &transaction, network)).into_response(),
        Some(Fault::SettleThenHang) => return None,
        Some(Fault::SettleThenDrop) => hang_up(),
        Some(Fault::SettleThenStatus { status: code }) => status(code).into_response(),
        Some(Fault::PendingThenLanded { status: code }) => {
            let answer = failure("settlement_pending", &transaction, network);
            (status(code), Json(answer)).into_response()
        }
        Some(Fault::PendingNeverLands) => {
            Json(failure("settlement_pending", &transaction, network)).into_response()
        }
        Some(Fault::SuccessWithoutSettling) => {
            let invented = hash(&format!("invented {transaction}"));
            Json(success(transfer, &invented, network)).into_response()
        }
        Some(Fault::SuccessButReverted) => reverted(world, transfer, network),
        Some(Fault::SuccessByAnother) => {
            let events = world.journal.events().iter();
            let mut settled = events.filter_map(|event| match event {
                Event::Settled { transaction, .. } => Some(transaction.clone()),
                _ => None,
            });
            let earlier = settled.next().unwrap_or_default();
            Json(success(transfer, &earlier, network)).into_response()
        }
        Some(Fault::SuccessWithoutTransaction) => {
            Json(success(transfer, "", network)).into_response()
        }
        Some(Fault::SuccessOnAnotherNetwork) => {
            Json(success(transfer, &transaction, "eip155:1")).into_response()
        }
        Some(Fault::SettleThenDeny) => Json(failure("", "", network)).into_response(),
        Some(Fault::Decline { reason }) => Json(failure(&reason, "", network)).into_response(),
        Some(_) => bad_gateway(),
    };
    Some(answer)
}

fn is_settle_fault(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::SettleThenHang
            | Fault::SettleThenDrop
            | Fault::SettleThenHtml
            | Fault::SettleThenStatus { .. }
            | Fault::PendingThenLanded { .. }
            | Fault::PendingNeverLands
            | Fault::SuccessWithoutSettling
            | Fault::SuccessButReverted
            | Fault::SuccessByAnother
            | Fault::SuccessWithoutTransaction
            | Fault::SuccessOnAnotherNetwork
            | Fault::SettleThenDeny
            | Fault::Decline { .. }
    )
}

fn moves_money(fault: Option<&Fault>) -> bool {
    !matches!(
        fault,
        Some(
            Fault::PendingNeverLands
                | Fault::SuccessWithoutSettling
                | Fault::SuccessButReverted
                | Fault::SuccessByAnother
                | Fault::Decline { .. }
        )
    )
}

fn reverted(world: &mut World, transfer: &Transfer, network: &str) -> Response {
    let transaction = hash(&format!("reverted {}", transaction_of(transfer)));
    let on: Network = transfer.network;
    let event = Event::Reverted {
        network: on.name().to_owned(),
        transaction: transaction.clone(),
        block: world.head(),
    };
    match world.record(event) {
        Ok(()) => Json(success(transfer, &transaction, network)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn success(transfer: &Transfer, transaction: &str, network: &str) -> SettleAnswer {
    SettleAnswer {
        success: true,
        transaction: transaction.to_owned(),
        network: network.to_owned(),
        payer: Some(text(transfer.from)),
        error_reason: None,
    }
}

fn failure(reason: &str, transaction: &str, network: &str) -> SettleAnswer {
    SettleAnswer {
        success: false,
        transaction: transaction.to_owned(),
        network: network.to_owned(),
        payer: None,
        error_reason: Some(reason.to_owned()),
    }
}
