//! For load balancers and process supervisors.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::discovery::answers::Shown;
use crate::error::ApiError;
use crate::readiness::Doubt;
use crate::render::private_json;

#[derive(Serialize, ToSchema)]
struct AliveReply {
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
struct ReadyReply {
    ready: bool,
    reasons: Vec<String>,
}

/// Whether the process answers.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "getHealth",
    tag = "Health",
    responses((status = 200, description = "It does.", body = AliveReply)),
)]
pub(crate) async fn alive() -> Result<Response, ApiError> {
    private_json(StatusCode::OK, &AliveReply { status: "ok" })
}

/// Whether it can also sell.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "getReadiness",
    tag = "Health",
    responses((status = 200, description = "It can.", body = ReadyReply), Shown),
)]
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
