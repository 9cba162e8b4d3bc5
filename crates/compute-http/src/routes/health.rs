//! For load balancers and process supervisors.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use crate::app::App;
use crate::error::ApiError;
use crate::readiness::Doubt;
use crate::render::private_json;

#[derive(Serialize)]
struct AliveReply {
    status: &'static str,
}

#[derive(Serialize)]
struct ReadyReply {
    ready: bool,
    reasons: Vec<String>,
}

/// `GET /healthz`: the process answers.
pub(crate) async fn alive() -> Result<Response, ApiError> {
    private_json(StatusCode::OK, &AliveReply { status: "ok" })
}

/// `GET /readyz`: it can also sell.
pub(crate) async fn ready(
    State(app): State<App>,
    doubt: Option<Extension<Doubt>>,
) -> Result<Response, ApiError> {
    let readiness = app.readiness().await;
    let doubt = doubt.map(|Extension(Doubt(reason))| reason);
    if !readiness.ready || doubt.is_some() {
        return Err(ApiError::NotReady {
            reasons: doubt.into_iter().chain(readiness.reasons).collect(),
        });
    }
    private_json(
        StatusCode::OK,
        &ReadyReply {
            ready: true,
            reasons: readiness.reasons,
        },
    )
}
