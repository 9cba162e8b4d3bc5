//! The root password of a machine without an SSH key: shown once, ever.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::discovery::answers::Set;
use crate::error::ApiError;
use crate::extract::{AnyBody, Authenticated, Id};
use crate::render::order::NO_ADDRESS;
use crate::render::private_json;

#[derive(Serialize, ToSchema)]
struct PasswordReply<'a> {
    success: bool,
    access: AccessReply<'a>,
}

#[derive(Serialize, ToSchema)]
struct AccessReply<'a> {
    method: &'static str,
    username: &'a str,
    ip_address: String,
    password: &'a str,
}

/// The root password of a machine without an SSH key: shown once, ever.
///
/// Any body is ignored. 503 while the machine is not ready; 409 when the password was taken, or when
/// there is none.
#[utoipa::path(
    post,
    path = "/compute/instances/{id}/password",
    operation_id = "takePassword",
    tag = "Machines",
    security(("apiKey" = []), ("walletSignature" = [])),
    params(("id" = String, Path, format = "uuid", description = "The order's id.")),
    responses((status = 200, description = "Keep it: it is not shown again.", body = PasswordReply<'_>), Set),
)]
pub(crate) async fn take(
    State(app): State<App>,
    id: Id,
    Authenticated(call): Authenticated<AnyBody>,
) -> Result<Response, ApiError> {
    let access = app
        .engine()
        .take_password(&call.caller, id.parse()?)
        .await?;
    let reply = PasswordReply {
        success: true,
        access: AccessReply {
            method: "one_time_password",
            username: &access.username,
            ip_address: access
                .ip
                .map_or_else(|| NO_ADDRESS.to_owned(), |ip| ip.to_string()),
            password: access.password.expose_secret(),
        },
    };
    private_json(StatusCode::OK, &reply)
}
