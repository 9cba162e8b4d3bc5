//! Giving a machine another plan.

use std::borrow::Cow;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use compute_domain::catalog::PlanId;
use compute_domain::id::{InstanceId, OperationId};
use compute_domain::time::Span;
use compute_engine::{Goal, OperationView, ResizePlan, ResizeRequest};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::members;
use crate::app::{App, Settings};
use crate::discovery::answers::Changed;
use crate::error::{ApiError, Work};
use crate::extract::{Authenticated, Id, ReadBody, parse_json, require_json};
use crate::render::money::Dollars;
use crate::render::private_json;
use crate::render::span::HoursLeft;

/// Which plan, and whether only to say what it would come to.
#[derive(Debug)]
pub(crate) struct Wish {
    request: ResizeRequest,
    dry_run: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ResizeRequest, description = "Which plan. Unknown members are refused.")]
struct RawWish<'a> {
    /// An id of `GET /compute/plans`.
    #[serde(borrow)]
    #[schema(
        required,
        nullable = false,
        min_length = 1,
        max_length = 96,
        pattern = "^[!-~]+$"
    )]
    plan: Option<Cow<'a, str>>,
    /// Needed where the disk grows, which cannot be undone.
    #[serde(default, deserialize_with = "members::present")]
    #[schema(nullable = false)]
    confirm_disk_resize: Option<bool>,
    /// Only say what it would come to.
    #[serde(default, deserialize_with = "members::present")]
    #[schema(nullable = false)]
    dry_run: Option<bool>,
}

/// What published clients read (compute-api.md 11), and where to look further.
#[derive(Debug, Serialize, ToSchema)]
struct ResizeReply<'a> {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
    #[schema(value_type = String, format = "uuid")]
    instance_id: InstanceId,
    provider: &'static str,
    from_plan: &'a str,
    to_plan: &'a str,
    old_hourly: Dollars,
    new_hourly: Dollars,
    #[schema(format = DateTime)]
    old_expires_at: String,
    #[schema(format = DateTime)]
    new_expires_at: String,
    remaining_credit: Dollars,
    remaining_hours_before: HoursLeft,
    remaining_hours_after: HoursLeft,
    /// Whether the disk grows, which cannot be undone.
    disk_grows: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_action_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    operation_id: Option<OperationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_url: Option<String>,
}

impl ReadBody for Wish {
    fn read(headers: &HeaderMap, raw: &Bytes, _: &Settings) -> Result<Self, ApiError> {
        require_json(headers)?;
        let RawWish {
            plan,
            confirm_disk_resize,
            dry_run,
        } = parse_json(raw)?;
        let plan = plan.ok_or_else(|| ApiError::field("plan", "plan is required"))?;
        let plan = PlanId::parse(&plan).map_err(|_| {
            let rule = "plan is an id of the catalogue";
            ApiError::unsupported("unknown_plan", "plan", rule)
        })?;
        Ok(Self {
            request: ResizeRequest {
                plan,
                confirm_disk: confirm_disk_resize.unwrap_or(false),
            },
            dry_run: dry_run.unwrap_or(false),
        })
    }
}

/// Gives a machine another plan.
///
/// It costs nothing now: what is left of the prepaid dollars buys time at the new price. 200 once the
/// provider has taken the change on, or after a while; `metadata.resize_pending` of the order shows the
/// rest of the way.
#[utoipa::path(
    post,
    path = "/compute/instances/{id}/resize",
    operation_id = "resizeInstance",
    tag = "Machines",
    security(("apiKey" = []), ("walletSignature" = [])),
    params(("id" = String, Path, format = "uuid", description = "The order's id.")),
    request_body(content = RawWish<'_>, description = "Which plan."),
    responses((status = 200, description = "Begun, or, with `dry_run`, reckoned.", body = ResizeReply<'_>), Changed),
)]
pub(crate) async fn resize(
    State(app): State<App>,
    id: Id,
    Authenticated(call): Authenticated<Wish>,
) -> Result<Response, ApiError> {
    let (id, wish, engine) = (id.parse()?, call.body, app.engine());
    if wish.dry_run {
        let plan = engine.plan_resize(&call.caller, id, &wish.request).await?;
        let reply = ResizeReply {
            dry_run: Some(true),
            ..ResizeReply::new(&plan)
        };
        return private_json(StatusCode::OK, &reply);
    }
    let begun = engine.now();
    let (submitted, plan) = engine.resize(&call.caller, id, &wish.request).await?;
    let operation = submitted.operation();
    app.work(submitted);
    // The provider was asked before: clients give both together 30 s.
    let patience = app.settings().waits.destroy.millis();
    let patience = patience.saturating_sub(engine.now().since(begun).millis());
    let patience = Span::from_millis(patience.max(0));
    let view = match app.wait(operation, Goal::Changing, patience).await {
        Ok(view) => Some(view),
        // The change goes on, here or on another replica: an error would say that it does not.
        Err(error) => {
            tracing::error!(%error, operation.id = %operation, "an accepted change cannot be read");
            None
        }
    };
    if let Some(failed) = view.as_ref().and_then(failure) {
        return Err(failed);
    }
    let change = view
        .as_ref()
        .and_then(|it| it.operation.data.change.as_ref());
    let reply = ResizeReply {
        provider_action_id: change.and_then(|change| change.action.as_deref()),
        operation_id: Some(operation),
        status_url: Some(app.operation_url(operation)),
        ..ResizeReply::new(&plan)
    };
    private_json(StatusCode::OK, &reply)
}

/// A change that will not come about, even if the machine is still being switched on.
fn failure(view: &OperationView) -> Option<ApiError> {
    let change = view.operation.data.change.as_ref()?;
    let code = change.given_up.filter(|_| !change.is_done)?;
    Some(ApiError::Unchanged {
        code,
        work: Work::of(view),
    })
}

impl<'a> ResizeReply<'a> {
    fn new(plan: &'a ResizePlan) -> Self {
        let instance = &plan.instance;
        Self {
            success: true,
            dry_run: None,
            instance_id: instance.id,
            provider: instance.provider.as_str(),
            from_plan: instance.plan.as_str(),
            to_plan: plan.to.as_str(),
            old_hourly: Dollars(instance.rate.usd()),
            new_hourly: Dollars(plan.rate.usd()),
            old_expires_at: plan.old_expires_at.rfc3339(),
            new_expires_at: plan.new_expires_at.rfc3339(),
            remaining_credit: Dollars(plan.left),
            remaining_hours_before: HoursLeft(plan.time_before()),
            remaining_hours_after: HoursLeft(plan.time_after()),
            disk_grows: plan.grows_disk,
            provider_action_id: None,
            operation_id: None,
            status_url: None,
        }
    }
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
    fn every_member_is_read() {
        let wish = read("{\"plan\":\"vc2-2c-4gb\"}").unwrap();
        assert_eq!(wish.request.plan.as_str(), "vc2-2c-4gb");
        assert!(!wish.request.confirm_disk && !wish.dry_run);
        let wish =
            read("{\"plan\":\"do:s-2vcpu-2gb\",\"confirm_disk_resize\":true,\"dry_run\":true}");
        let wish = wish.unwrap();
        assert!(wish.request.confirm_disk && wish.dry_run);
    }

    #[test]
    fn anything_else_is_400() {
        for body in [
            "",
            "null",
            "{}",
            "{\"plan\":null}",
            "{\"plan\":\"\"}",
            "{\"plan\":\"a b\"}",
            "{\"plan\":7}",
            "{\"plan\":\"a\",\"plan\":\"b\"}",
            "{\"plan\":\"a\",\"confirm_disk_resize\":null}",
            "{\"plan\":\"a\",\"confirm_disk_resize\":1}",
            "{\"plan\":\"a\",\"dry_run\":\"true\"}",
            "{\"plan\":\"a\",\"dry_run\":null}",
            "{\"plan\":\"a\",\"region\":\"ewr\"}",
        ] {
            assert_eq!(read(body).expect_err(body).row().status, 400, "{body}");
        }
    }
}
