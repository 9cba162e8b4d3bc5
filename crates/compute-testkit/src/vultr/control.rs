use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{Shared, lock};
use crate::faults::Orders;

/// A way in which the double can go wrong, as JSON `{"kind": "refuse_create", …, "times": 1}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// The next create is refused; nothing is made.
    RefuseCreate {
        /// Its status.
        status: u16,
        /// Its text.
        error: String,
    },
    /// The next create closes the connection; nothing is made.
    DropBeforeCreate,
    /// The next create never gets an answer; nothing is made.
    HangBeforeCreate,
    /// The next create makes a machine and closes the connection.
    CreateThenDrop,
    /// The next create makes a machine and never answers.
    CreateThenHang,
    /// The next create makes a machine and answers with an error.
    CreateThenStatus {
        /// Its status.
        status: u16,
    },
    /// The next create makes a machine, and an HTML error page comes back.
    CreateThenHtml,
    /// The next SSH key is registered, and the connection closes.
    KeyThenDrop,
    /// The next machine does not show up for this many looks, one by one or in lists.
    HideCreated {
        /// How many.
        looks: u32,
    },
    /// The next machine never leaves `pending`.
    NeverReady,
    /// Lasting: the plan cannot be had, in one region or everywhere.
    OutOfStock {
        /// Its id.
        plan: String,
        /// Where; absent means everywhere.
        #[serde(default)]
        region: Option<String>,
    },
    /// The next request of any kind gets 429.
    Throttle {
        /// Seconds in `Retry-After`.
        retry_after: u32,
    },
    /// The next request of any kind gets an HTML error page and has no effect.
    Html502,
    /// The next request of any kind never gets an answer and has no effect.
    Hang,
    /// The next delete is refused.
    RefuseDelete {
        /// Its status.
        status: u16,
    },
    /// The next delete is answered 204 and does nothing.
    IgnoreDelete,
    /// The next delete deletes and closes the connection.
    DeleteThenDrop,
    /// The next list of machines is empty.
    EmptyList,
    /// The second page of the next list fails with 500.
    BreakSecondPage,
    /// The next change of plan is accepted; its job fails, and the plan stays.
    FailResize,
    /// Lasting: machines cannot be changed to this plan; it is not among their upgrades.
    ForbidUpgrade {
        /// Its id.
        plan: String,
    },
    /// Lasting: every request with a key gets 401.
    RevokeKey,
    /// At once: shows a machine in these states from now on.
    SetState {
        /// The machine's id.
        machine: String,
        /// `status`, `power_status`, `server_status`.
        states: [String; 3],
    },
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
