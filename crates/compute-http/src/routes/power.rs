//! The switch of a machine, and its protection against its own owner.

use std::borrow::Cow;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use compute_domain::id::{InstanceId, OperationId};
use compute_domain::operation::{OperationState, PowerAction};
use compute_engine::{Goal, OperationView};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::{App, Settings};
use crate::discovery::answers::{Changed, Set};
use crate::discovery::shapes;
use crate::error::{ApiError, Work};
use crate::extract::{Authenticated, Id, ReadBody, parse_json, require_json};
use crate::render::order::Order;
use crate::render::private_json;

/// What to do with the switch.
#[derive(Debug)]
pub(crate) struct Wish(PowerAction);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SwitchRequest, description = "What to do with the switch.")]
struct RawWish<'a> {
    #[serde(borrow)]
    #[schema(required, schema_with = shapes::power_action)]
    action: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct SwitchReply {
    success: bool,
    #[schema(value_type = String, format = "uuid")]
    instance_id: InstanceId,
    action: &'static str,
    /// `done`, or `running` when the machine is not yet as it is wanted.
    status: &'static str,
    #[schema(value_type = String, format = "uuid")]
    operation_id: OperationId,
    status_url: String,
}

/// Whether to protect.
#[derive(Debug)]
pub(crate) struct Protection(bool);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProtectRequest, description = "Whether to protect.")]
struct RawProtection {
    #[schema(required, nullable = false)]
    enabled: Option<bool>,
}

#[derive(Serialize, ToSchema)]
struct ProtectReply<'a> {
    success: bool,
    order: &'a Order<'a>,
    instance: &'a Order<'a>,
}

impl ReadBody for Wish {
    fn read(headers: &HeaderMap, raw: &Bytes, _: &Settings) -> Result<Self, ApiError> {
        require_json(headers)?;
        let RawWish { action } = parse_json(raw)?;
        let action = action.as_deref().and_then(PowerAction::parse);
        action.map(Self).ok_or_else(|| {
            let known: Vec<&str> = PowerAction::ALL.iter().map(|it| it.as_str()).collect();
            ApiError::field("action", format!("action is one of {}", known.join(", ")))
        })
    }
}

impl ReadBody for Protection {
    fn read(headers: &HeaderMap, raw: &Bytes, _: &Settings) -> Result<Self, ApiError> {
        require_json(headers)?;
        let RawProtection { enabled } = parse_json(raw)?;
        enabled
            .map(Self)
            .ok_or_else(|| ApiError::field("enabled", "enabled is true or false"))
    }
}

/// Starts, stops or restarts a machine.
///
/// 200 once it is as it is wanted, or after a while. A stopped machine costs as before.
#[utoipa::path(
    post,
    path = "/compute/instances/{id}/actions",
    operation_id = "switchInstance",
    tag = "Machines",
    security(("apiKey" = []), ("walletSignature" = [])),
    params(("id" = String, Path, format = "uuid", description = "The order's id.")),
    request_body(content = RawWish<'_>, description = "What to do."),
    responses((status = 200, description = "Done, or under way: see `status`.", body = SwitchReply,
        links(
                ("operation" = (operation_id = "getOperation", parameters(("id" = "$response.body#/operation_id")))),
            )), Changed),
)]
pub(crate) async fn switch(
    State(app): State<App>,
    id: Id,
    Authenticated(call): Authenticated<Wish>,
) -> Result<Response, ApiError> {
    let (id, Wish(action)) = (id.parse()?, call.body);
    let submitted = app.engine().switch(&call.caller, id, action).await?;
    let operation_id = submitted.operation();
    app.work(submitted);
    let waits = &app.settings().waits;
    let view = match app.wait(operation_id, Goal::Rest, waits.destroy).await {
        Ok(view) => Some(view),
        // It goes on, here or on another replica: an error would say that it does not.
        Err(error) => {
            tracing::error!(%error, operation.id = %operation_id, "an accepted action cannot be read");
            None
        }
    };
    let status = match view.as_ref().map(|view| (view, &view.operation.state)) {
        Some((view, OperationState::Failed { .. })) => return Err(failed(view)),
        Some((_, OperationState::Succeeded)) => "done",
        _ => "running",
    };
    let reply = SwitchReply {
        success: true,
        instance_id: id,
        action: action.as_str(),
        status,
        operation_id,
        status_url: app.operation_url(operation_id),
    };
    private_json(StatusCode::OK, &reply)
}

fn failed(view: &OperationView) -> ApiError {
    let code = match view.operation.state {
        OperationState::Failed { code } => code,
        _ => compute_domain::instance::FailureCode::ProviderUnavailable,
    };
    ApiError::Unchanged {
        code,
        work: Work::of(view),
    }
}

/// Protects a machine from being destroyed by its owner, or no longer.
#[utoipa::path(
    put,
    path = "/compute/instances/{id}/protection",
    operation_id = "protectInstance",
    tag = "Machines",
    security(("apiKey" = []), ("walletSignature" = [])),
    params(("id" = String, Path, format = "uuid", description = "The order's id.")),
    request_body(content = RawProtection, description = "Whether."),
    responses((status = 200, description = "Set.", body = ProtectReply<'_>), Set),
)]
pub(crate) async fn protect(
    State(app): State<App>,
    id: Id,
    Authenticated(call): Authenticated<Protection>,
) -> Result<Response, ApiError> {
    let (id, Protection(enabled)) = (id.parse()?, call.body);
    let instance = app.engine().protect(&call.caller, id, enabled).await?;
    let window = app.window().ok();
    let order = Order::new(&instance, window.as_deref());
    let reply = ProtectReply {
        success: true,
        order: &order,
        instance: &order,
    };
    private_json(StatusCode::OK, &reply)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONTENT_TYPE;

    use super::*;

    fn read<T: ReadBody>(body: &'static str) -> Result<T, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        T::read(&headers, &Bytes::from(body), &Settings::for_tests())
    }

    #[test]
    fn every_action_has_its_word() {
        for action in PowerAction::ALL {
            let body = format!("{{\"action\":\"{action}\"}}");
            let Wish(read) = read(body.leak()).unwrap();
            assert_eq!(read, *action);
        }
    }

    #[test]
    fn anything_else_is_400() {
        for body in [
            "",
            "{}",
            "{\"action\":null}",
            "{\"action\":\"destroy\"}",
            "{\"action\":\"Reboot\"}",
            "{\"action\":1}",
            "{\"action\":\"stop\",\"force\":true}",
        ] {
            let refused = read::<Wish>(body).expect_err(body);
            assert_eq!(refused.row().status, 400, "{body}");
        }
        for body in ["", "{}", "{\"enabled\":null}", "{\"enabled\":1}", "true"] {
            let refused = read::<Protection>(body).err();
            let refused = refused.unwrap_or_else(|| panic!("{body} was accepted"));
            assert_eq!(refused.row().status, 400, "{body}");
        }
    }
}
