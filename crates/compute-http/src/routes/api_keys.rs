//! API keys: made and revoked by a wallet's signature only, shown once.

use std::borrow::Cow;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use compute_domain::id::ApiKeyId;
use compute_domain::money::Usd;
use compute_domain::owner::{ApiKey, InvalidScopes, Scope, Scopes};
use compute_domain::text::Label;
use compute_domain::time::Timestamp;
use compute_engine::ApiKeyTerms;
use http::{HeaderMap, StatusCode};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::members;
use crate::app::{App, Settings};
use crate::discovery::answers::{Known, Made, Owned};
use crate::discovery::shapes;
use crate::error::ApiError;
use crate::extract::{AnyBody, Authenticated, Id, NoBody, ReadBody, Signed, parse_json};
use crate::render::private_json;

/// What a new key shall be.
#[derive(Debug)]
pub(crate) struct CreateBody(ApiKeyTerms);

#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApiKeyRequest, description = "What the key shall be; a key for everything without.")]
struct RawCreateBody<'a> {
    #[serde(borrow)]
    #[schema(schema_with = shapes::label)]
    label: Option<Cow<'a, str>>,
    /// What it may do; everything when absent.
    #[serde(borrow, default, deserialize_with = "members::present")]
    #[schema(schema_with = shapes::scopes)]
    scopes: Option<Vec<Cow<'a, str>>>,
    /// What it may spend in all.
    #[serde(borrow, default, deserialize_with = "members::present")]
    #[schema(schema_with = shapes::amount_or_text)]
    budget_usd: Option<&'a RawValue>,
    /// When it ends.
    #[serde(borrow, default, deserialize_with = "members::present")]
    #[schema(nullable = false, format = DateTime)]
    expires_at: Option<Cow<'a, str>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeyCreated)]
struct CreatedReply<'a> {
    api_key: &'a str,
    #[schema(value_type = String, format = "uuid")]
    id: ApiKeyId,
    #[schema(required)]
    label: Option<&'a str>,
    #[serde(flatten)]
    limits: LimitsItem,
    #[schema(format = DateTime)]
    created_at: String,
}

/// What a key may do, how much, and until when.
#[derive(Serialize, ToSchema)]
struct LimitsItem {
    scopes: Vec<&'static str>,
    #[schema(required)]
    budget_usd: Option<String>,
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeysReply)]
struct ListReply<'a> {
    api_keys: Vec<KeyItem<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
struct KeyItem<'a> {
    #[schema(value_type = String, format = "uuid")]
    id: ApiKeyId,
    #[schema(required)]
    label: Option<&'a str>,
    key_last4: &'a str,
    #[serde(flatten)]
    limits: LimitsItem,
    spent_usd: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(required, format = DateTime)]
    revoked_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeyRevoked)]
struct RevokedReply {
    success: bool,
    #[schema(value_type = String, format = "uuid")]
    id: ApiKeyId,
    #[schema(required, format = DateTime)]
    revoked_at: Option<String>,
}

impl ReadBody for CreateBody {
    /// A key for everything needs no body; the content type does not matter.
    fn read(_: &HeaderMap, raw: &Bytes, _: &Settings) -> Result<Self, ApiError> {
        let raw = if raw.is_empty() {
            RawCreateBody::default()
        } else {
            parse_json(raw)?
        };
        let label = raw.label.as_deref().map(Label::parse).transpose();
        let budget = raw.budget_usd;
        let budget = budget.map(|budget| members::dollars_or_text("budget_usd", budget));
        let expires_at = raw.expires_at.as_deref().map(Timestamp::parse).transpose();
        Ok(Self(ApiKeyTerms {
            label: label.map_err(|error| ApiError::field("label", error.to_string()))?,
            scopes: raw
                .scopes
                .as_deref()
                .map_or(Ok(Scopes::ALL), parse_scopes)?,
            budget: budget.transpose()?,
            expires_at: expires_at
                .map_err(|error| ApiError::field("expires_at", error.to_string()))?,
            name: None,
        }))
    }
}

fn parse_scopes(words: &[Cow<'_, str>]) -> Result<Scopes, ApiError> {
    let list: Option<Vec<Scope>> = words.iter().map(|word| Scope::parse(word)).collect();
    list.ok_or(InvalidScopes)
        .and_then(|list| Scopes::of(&list))
        .map_err(|error| ApiError::field("scopes", error.to_string()))
}

/// Makes an API key. Needs a wallet's signature; a key makes no keys.
#[utoipa::path(
    post,
    path = "/compute/api-keys",
    operation_id = "createApiKey",
    tag = "API keys",
    security(("walletSignature" = [])),
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[A-Za-z0-9_:.-]{8,255}$", description = "A name for the key. Send the same one when retrying.")),
    request_body(content = Option<RawCreateBody<'_>>, description = "Nothing means a key for everything."),
    responses((status = 201, description = "The key. It is shown this once.", body = CreatedReply<'_>,
        links(
                ("revoke" = (operation_id = "revokeApiKey", parameters(("id" = "$response.body#/id")))),
            )), Made),
)]
pub(crate) async fn create(
    State(app): State<App>,
    Signed(call): Signed<CreateBody>,
) -> Result<Response, ApiError> {
    let terms = ApiKeyTerms {
        name: call.idempotency_key,
        ..call.body.0
    };
    let created = app.engine().create_api_key(&call.caller, terms).await?;
    let reply = CreatedReply {
        api_key: created.text.expose_secret(),
        id: created.api_key.id,
        label: created.api_key.label.as_ref().map(Label::as_str),
        limits: LimitsItem::of(&created.api_key),
        created_at: created.api_key.created_at.rfc3339(),
    };
    private_json(StatusCode::CREATED, &reply)
}

/// The caller's API keys, without their text.
#[utoipa::path(
    get,
    path = "/compute/api-keys",
    operation_id = "listApiKeys",
    tag = "API keys",
    security(("apiKey" = []), ("walletSignature" = [])),
    responses((status = 200, description = "The keys.", body = ListReply<'_>), Known),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Authenticated(call): Authenticated<NoBody>,
) -> Result<Response, ApiError> {
    let api_keys = app.engine().api_keys(&call.caller).await?;
    let api_keys = api_keys.iter().map(KeyItem::new).collect();
    private_json(StatusCode::OK, &ListReply { api_keys })
}

/// Ends an API key, at once. Needs a wallet's signature.
#[utoipa::path(
    delete,
    path = "/compute/api-keys/{id}",
    operation_id = "revokeApiKey",
    tag = "API keys",
    security(("walletSignature" = [])),
    params(("id" = String, Path, format = "uuid", description = "The key's id.")),
    responses((status = 200, description = "It is ended.", body = RevokedReply), Owned),
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    id: Id,
    Signed(call): Signed<AnyBody>,
) -> Result<Response, ApiError> {
    let api_key = app
        .engine()
        .revoke_api_key(&call.caller, id.parse()?)
        .await?;
    let revoked_at = api_key.revoked_at.map(|at| at.rfc3339());
    private_json(
        StatusCode::OK,
        &RevokedReply {
            success: true,
            id: api_key.id,
            revoked_at,
        },
    )
}

impl LimitsItem {
    fn of(api_key: &ApiKey) -> Self {
        let scopes = api_key.scopes.list().into_iter();
        Self {
            scopes: scopes.map(Scope::as_str).collect(),
            budget_usd: api_key.budget.as_ref().map(Usd::to_string),
            expires_at: api_key.expires_at.map(Timestamp::rfc3339),
        }
    }
}

impl<'a> KeyItem<'a> {
    fn new(api_key: &'a ApiKey) -> Self {
        Self {
            id: api_key.id,
            label: api_key.label.as_ref().map(Label::as_str),
            key_last4: &api_key.last4,
            limits: LimitsItem::of(api_key),
            spent_usd: api_key.spent.to_string(),
            created_at: api_key.created_at.rfc3339(),
            revoked_at: api_key.revoked_at.map(|at| at.rfc3339()),
        }
    }
}

#[cfg(test)]
#[path = "api_keys/tests.rs"]
mod tests;
