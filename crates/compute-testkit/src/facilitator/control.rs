use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::network::Network;
use super::{Shared, lock};
use crate::faults::Orders;

/// A way in which the facilitator can go wrong, as JSON `{"kind": "settle_then_hang", "times": 1}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// The next settle moves the money and never answers.
    SettleThenHang,
    /// The next settle moves the money and closes the connection.
    SettleThenDrop,
    /// The next settle moves the money, and an HTML 502 comes back.
    SettleThenHtml,
    /// The next settle moves the money and answers with this status and no body.
    SettleThenStatus {
        /// Its status.
        status: u16,
    },
    /// The next settle says `settlement_pending` with the transaction, and the money moves.
    PendingThenLanded {
        /// Its status; hosted facilitators use 500.
        #[serde(default = "ok")]
        status: u16,
    },
    /// The next settle says `settlement_pending`, and nothing moves.
    PendingNeverLands,
    /// The next settle says success and names a transaction; nothing moves.
    SuccessWithoutSettling,
    /// The next settle says success; its transaction reverted.
    SuccessButReverted,
    /// The next settle says success and names the first transaction that settled anything; nothing
    /// moves.
    SuccessByAnother,
    /// The next settle moves the money and says success without a transaction.
    SuccessWithoutTransaction,
    /// The next settle moves the money and names another network.
    SuccessOnAnotherNetwork,
    /// The next settle moves the money and says that it failed, without a word why.
    SettleThenDeny,
    /// The next settle is refused with this reason; nothing moves.
    Decline {
        /// The code.
        reason: String,
    },
    /// The next verify is refused with this reason.
    Invalid {
        /// The code.
        reason: String,
        /// Its status; some facilitators use 400.
        #[serde(default = "ok")]
        status: u16,
    },
    /// Lasting: a settled payment that comes again is refused as used, not confirmed.
    RefuseRepeats,
    /// The next request of any kind closes the connection.
    Down,
    /// The next request of any kind never gets an answer.
    Hang,
    /// The next request of any kind is answered after this long.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// The next request of any kind gets this answer, whatever it was.
    Say {
        /// Its status.
        status: u16,
        /// Its body.
        body: String,
    },
    /// The next request of any kind gets 429.
    Throttle {
        /// Seconds in `Retry-After`.
        retry_after: u32,
    },
    /// The next `/supported` lacks this network.
    Unsupported {
        /// Its name in x402 version 1.
        network: String,
    },
    /// The next `/supported` does not say that permits for Permit2 are paid for.
    WithoutSponsoring,
    /// The next call of the chain node fails.
    NodeDown,
    /// The chain node does not answer the next search of its logs, as those do that limit it.
    NodeWithoutLogs,
}

const fn ok() -> u16 {
    200
}

pub(super) async fn add(State(shared): State<Shared>, body: Json<Orders<Fault>>) -> StatusCode {
    lock(&shared).faults.add_orders(body.0);
    StatusCode::NO_CONTENT
}

pub(super) async fn clear(State(shared): State<Shared>) -> StatusCode {
    lock(&shared).faults.clear();
    StatusCode::NO_CONTENT
}

/// How many faults are still to strike, and how often each kind has struck.
pub(super) async fn report(State(shared): State<Shared>) -> Response {
    Json(lock(&shared).faults.report()).into_response()
}

pub(super) async fn journal(State(shared): State<Shared>) -> Response {
    Json(lock(&shared).journal.events()).into_response()
}

/// What went wrong with a control call; a status and a sentence.
pub(super) struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

fn bad(error: impl ToString) -> Problem {
    Problem(StatusCode::BAD_REQUEST, error.to_string())
}

fn disk(error: std::io::Error) -> Problem {
    Problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

#[derive(Deserialize)]
pub(super) struct CancelBody {
    network: String,
    from: String,
    nonce: String,
}

/// The payer cancels one of its nonces on the chain.
pub(super) async fn cancel(
    State(shared): State<Shared>,
    body: Json<CancelBody>,
) -> Result<StatusCode, Problem> {
    let network: Network = body.network.parse().map_err(bad)?;
    lock(&shared)
        .cancel(network, &body.from, &body.nonce)
        .map_err(disk)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub(super) struct BalanceBody {
    network: String,
    address: String,
    amount: String,
}

/// Sets what an account holds.
pub(super) async fn set_balance(
    State(shared): State<Shared>,
    body: Json<BalanceBody>,
) -> Result<StatusCode, Problem> {
    let network: Network = body.network.parse().map_err(bad)?;
    let amount: u128 = body.amount.parse().map_err(bad)?;
    lock(&shared)
        .set_balance(network, &body.address, amount)
        .map_err(disk)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub(super) struct ClockBody {
    seconds: u64,
}

/// Moves the clock ahead.
pub(super) async fn advance(State(shared): State<Shared>, body: Json<ClockBody>) -> StatusCode {
    lock(&shared).advance_clock(body.seconds);
    StatusCode::NO_CONTENT
}

/// Somebody else submits a signed transfer, past the facilitator. Takes the body of `/settle`.
pub(super) async fn land(State(shared): State<Shared>, body: Bytes) -> Result<StatusCode, Problem> {
    lock(&shared).land(&[body.as_ref()]).map_err(bad)?;
    Ok(StatusCode::NO_CONTENT)
}
