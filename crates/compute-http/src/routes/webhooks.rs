//! Webhooks: where the caller wants to be told of its events.

use std::borrow::Cow;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use compute_domain::event::{EventKind, EventType};
use compute_domain::id::{ApiKeyId, WebhookId};
use compute_engine::ports::{Delivery, Webhook, WebhookEnd, WebhookState};
use http::{HeaderMap, StatusCode};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::members;
use crate::app::{App, Settings};
use crate::discovery::answers::{Known, Made, Owned, Set};
use crate::discovery::shapes;
use crate::error::ApiError;
use crate::extract::{AnyBody, Authenticated, Id, NoBody, ReadBody, parse_json, require_json};
use crate::render::private_json;

/// What a new webhook shall be.
#[derive(Debug)]
pub(crate) struct CreateBody {
    url: String,
    kinds: Vec<EventKind>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookRequest, description = "Where to, and what. Unknown members are refused.")]
struct RawCreateBody<'a> {
    /// `https://`, a public host by its name, port 443.
    #[serde(borrow)]
    #[schema(schema_with = shapes::webhook_url)]
    url: Cow<'a, str>,
    /// All, when absent.
    #[serde(borrow, default, deserialize_with = "members::present")]
    #[schema(schema_with = shapes::event_types)]
    events: Option<Vec<Cow<'a, str>>>,
}

#[derive(Serialize, ToSchema)]
struct WebhookItem<'a> {
    #[schema(value_type = String, format = "uuid")]
    id: WebhookId,
    url: &'a str,
    /// Which events it is for; `*` means all.
    events: Vec<&'a str>,
    status: &'static str,
    /// Why it is switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = shapes::webhook_end)]
    disabled_because: Option<&'static str>,
    /// The API key that made it or switched it on, with which it ends; absent for a wallet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    api_key_id: Option<ApiKeyId>,
    failures_in_a_row: u32,
    created_at: String,
    /// Until when the secret before signs too.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_secret_until: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = WebhookSecretReply)]
struct SecretReply<'a> {
    success: bool,
    webhook: WebhookItem<'a>,
    /// Shown this once.
    secret: &'a str,
    /// What is to be done next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = WebhooksReply)]
struct ListReply<'a> {
    webhooks: Vec<WebhookItem<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDeletedReply)]
struct DeletedReply {
    success: bool,
    #[schema(value_type = String, format = "uuid")]
    id: WebhookId,
}

#[derive(Serialize, ToSchema)]
struct PingReply<'a> {
    success: bool,
    delivered: bool,
    outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    webhook: WebhookItem<'a>,
}

#[derive(Serialize, ToSchema)]
struct DeliveriesReply {
    deliveries: Vec<DeliveryItem>,
}

#[derive(Serialize, ToSchema)]
struct DeliveryItem {
    at: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    outcome: String,
}

impl ReadBody for CreateBody {
    fn read(headers: &HeaderMap, raw: &Bytes, _: &Settings) -> Result<Self, ApiError> {
        require_json(headers)?;
        let raw: RawCreateBody<'_> = parse_json(raw)?;
        let words = raw.events.unwrap_or_default();
        let mut kinds = Vec::new();
        for word in &words {
            let kind = EventKind::parse(word).ok_or_else(|| {
                let known: Vec<&str> = EventKind::ALL.iter().map(|it| it.as_str()).collect();
                let rule = format!("events are of {}; leave it out for all", known.join(", "));
                ApiError::field("events", rule)
            })?;
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        Ok(Self {
            url: raw.url.into_owned(),
            kinds,
        })
    }
}

impl<'a> WebhookItem<'a> {
    fn new(webhook: &'a Webhook) -> Self {
        let kinds = webhook.kinds.iter().map(EventType::as_str);
        Self {
            id: webhook.id,
            url: &webhook.url,
            events: if webhook.kinds.is_empty() {
                vec!["*"]
            } else {
                kinds.collect()
            },
            status: webhook.state.as_str(),
            disabled_because: webhook.disabled_because().map(WebhookEnd::as_str),
            api_key_id: webhook.api_key,
            failures_in_a_row: webhook.failures,
            created_at: webhook.created_at.rfc3339(),
            previous_secret_until: webhook.previous.as_ref().map(|(_, until)| until.rfc3339()),
        }
    }
}

impl DeliveryItem {
    fn new(delivery: Delivery) -> Self {
        Self {
            at: delivery.at.rfc3339(),
            kind: delivery.kind,
            sequence: delivery.event_seq,
            attempt: delivery.attempt,
            http_status: delivery.status,
            outcome: delivery.outcome,
        }
    }
}

/// Names a URL that events are sent to.
///
/// Nothing is sent before a signed ping was answered with 2xx. The secret is shown this once.
#[utoipa::path(
    post,
    path = "/compute/webhooks",
    operation_id = "createWebhook",
    tag = "Events",
    security(("apiKey" = []), ("walletSignature" = [])),
    request_body(content = RawCreateBody<'_>, description = "Where to, and what."),
    responses(
        (status = 200, description = "Made; ping it next.", body = SecretReply<'_>,
            links(
                ("ping" = (operation_id = "pingWebhook", parameters(("id" = "$response.body#/webhook/id")))),
                ("deliveries" = (operation_id = "listDeliveries", parameters(("id" = "$response.body#/webhook/id")))),
                ("rotate" = (operation_id = "rotateWebhook", parameters(("id" = "$response.body#/webhook/id")))),
                ("delete" = (operation_id = "deleteWebhook", parameters(("id" = "$response.body#/webhook/id")))),
            )
        ),
        Made,
    ),
)]
pub(crate) async fn create(
    State(app): State<App>,
    Authenticated(call): Authenticated<CreateBody>,
) -> Result<Response, ApiError> {
    let CreateBody { url, kinds } = call.body;
    let made = app
        .engine()
        .create_webhook(&call.caller, &url, kinds)
        .await?;
    let next = format!(
        "POST /compute/webhooks/{}/ping: events are sent once your receiver answers it with 2xx",
        made.webhook.id
    );
    let reply = SecretReply {
        success: true,
        webhook: WebhookItem::new(&made.webhook),
        secret: made.secret.expose_secret(),
        next: Some(next),
    };
    private_json(StatusCode::OK, &reply)
}

/// The caller's webhooks.
#[utoipa::path(
    get,
    path = "/compute/webhooks",
    operation_id = "listWebhooks",
    tag = "Events",
    security(("apiKey" = []), ("walletSignature" = [])),
    responses((status = 200, description = "All of them.", body = ListReply<'_>), Known),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Authenticated(call): Authenticated<NoBody>,
) -> Result<Response, ApiError> {
    let webhooks = app.engine().webhooks(&call.caller).await?;
    let webhooks = webhooks.iter().map(WebhookItem::new).collect();
    private_json(StatusCode::OK, &ListReply { webhooks })
}

/// Ends a webhook.
#[utoipa::path(
    delete,
    path = "/compute/webhooks/{id}",
    operation_id = "deleteWebhook",
    tag = "Events",
    security(("apiKey" = []), ("walletSignature" = [])),
    params(("id" = String, Path, format = "uuid", description = "The webhook's id.")),
    responses((status = 200, description = "Gone.", body = DeletedReply), Owned),
)]
pub(crate) async fn remove(
    State(app): State<App>,
    id: Id,
    Authenticated(call): Authenticated<AnyBody>,
) -> Result<Response, ApiError> {
    let id = id.parse()?;
    app.engine().delete_webhook(&call.caller, id).await?;
    private_json(StatusCode::OK, &DeletedReply { success: true, id })
}

/// Gives a webhook another secret; the one before signs beside it for a day.
#[utoipa::path(
    post,
    path = "/compute/webhooks/{id}/rotate",
    operation_id = "rotateWebhook",
    tag = "Events",
    security(("apiKey" = []), ("walletSignature" = [])),
    params(("id" = String, Path, format = "uuid", description = "The webhook's id.")),
    responses((status = 200, description = "The new secret, shown this once.", body = SecretReply<'_>), Set),
)]
pub(crate) async fn rotate(
    State(app): State<App>,
    id: Id,
    Authenticated(call): Authenticated<AnyBody>,
) -> Result<Response, ApiError> {
    let rotated = app
        .engine()
        .rotate_webhook(&call.caller, id.parse()?)
        .await?;
    let reply = SecretReply {
        success: true,
        webhook: WebhookItem::new(&rotated.webhook),
        secret: rotated.secret.expose_secret(),
        next: None,
    };
    private_json(StatusCode::OK, &reply)
}

/// Sends a signed ping, which makes a webhook active when it is answered with 2xx.
///
/// 200 whatever the receiver said, which is in the answer.
#[utoipa::path(
    post,
    path = "/compute/webhooks/{id}/ping",
    operation_id = "pingWebhook",
    tag = "Events",
    security(("apiKey" = []), ("walletSignature" = [])),
    params(("id" = String, Path, format = "uuid", description = "The webhook's id.")),
    responses((status = 200, description = "What the receiver said.", body = PingReply<'_>), Set),
)]
pub(crate) async fn ping(
    State(app): State<App>,
    id: Id,
    Authenticated(call): Authenticated<AnyBody>,
) -> Result<Response, ApiError> {
    let _seat = app.seat_for_ping(call.network)?;
    let pinged = app.engine().ping_webhook(&call.caller, id.parse()?).await?;
    let reply = PingReply {
        success: pinged.webhook.state == WebhookState::Active,
        delivered: pinged.handed.is_taken(),
        outcome: pinged.handed.outcome(),
        http_status: pinged.handed.status(),
        webhook: WebhookItem::new(&pinged.webhook),
    };
    private_json(StatusCode::OK, &reply)
}

/// What was sent to a webhook and what became of it, the newest hundred, newest first.
#[utoipa::path(
    get,
    path = "/compute/webhooks/{id}/deliveries",
    operation_id = "listDeliveries",
    tag = "Events",
    security(("apiKey" = []), ("walletSignature" = [])),
    params(("id" = String, Path, format = "uuid", description = "The webhook's id.")),
    responses((status = 200, description = "The log.", body = DeliveriesReply), Owned),
)]
pub(crate) async fn deliveries(
    State(app): State<App>,
    id: Id,
    Authenticated(call): Authenticated<NoBody>,
) -> Result<Response, ApiError> {
    let deliveries = app.engine().deliveries(&call.caller, id.parse()?).await?;
    let deliveries = deliveries.into_iter().map(DeliveryItem::new).collect();
    private_json(StatusCode::OK, &DeliveriesReply { deliveries })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONTENT_TYPE;

    use super::*;

    #[test]
    fn a_body_names_a_url_and_known_events() {
        let read = |body: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            CreateBody::read(&headers, &Bytes::from(body), &Settings::for_tests())
        };
        let url = "\"url\":\"https://hooks.example.com/\"";
        let all = read(format!("{{{url}}}").leak()).unwrap();
        assert_eq!(all.kinds, []);
        let twice = format!("{{{url},\"events\":[\"instance.lost\",\"instance.lost\"]}}");
        assert_eq!(read(twice.leak()).unwrap().kinds, [EventKind::InstanceLost]);
        for body in [
            "{}".to_owned(),
            "{\"url\":null}".to_owned(),
            format!("{{{url},\"events\":null}}"),
            format!("{{{url},\"events\":[\"ping\"]}}"),
            format!("{{{url},\"more\":1}}"),
        ] {
            let refused = read(body.clone().leak()).err();
            let refused = refused.unwrap_or_else(|| panic!("{body} was accepted"));
            assert_eq!(refused.row().status, 400, "{body}");
        }
    }
}
