//! API keys: made and revoked by a wallet's signature only, shown once.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use compute_domain::id::ApiKeyId;
use compute_domain::owner::ApiKey;
use compute_domain::text::Label;
use http::{HeaderMap, StatusCode};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

use crate::app::{App, Settings};
use crate::error::ApiError;
use crate::extract::{AnyBody, Authenticated, Id, NoBody, ReadBody, Signed, parse_json};
use crate::render::private_json;

/// What a new key may be called.
#[derive(Debug)]
pub(crate) struct CreateBody {
    label: Option<Label>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCreateBody<'a> {
    #[serde(borrow)]
    label: Option<std::borrow::Cow<'a, str>>,
}

#[derive(Serialize)]
struct CreatedReply<'a> {
    api_key: &'a str,
    id: ApiKeyId,
    label: Option<&'a str>,
    created_at: String,
}

#[derive(Serialize)]
struct ListReply<'a> {
    api_keys: Vec<KeyItem<'a>>,
}

#[derive(Serialize)]
struct KeyItem<'a> {
    id: ApiKeyId,
    label: Option<&'a str>,
    key_last4: &'a str,
    created_at: String,
    revoked_at: Option<String>,
}

#[derive(Serialize)]
struct RevokedReply {
    success: bool,
    id: ApiKeyId,
    revoked_at: Option<String>,
}

impl ReadBody for CreateBody {
    /// Without a label the body may be empty; the content type does not matter.
    fn read(_: &HeaderMap, raw: &Bytes, _: &Settings) -> Result<Self, ApiError> {
        if raw.is_empty() {
            return Ok(Self { label: None });
        }
        let RawCreateBody { label } = parse_json(raw)?;
        let label = label.as_deref().map(Label::parse).transpose();
        Ok(Self {
            label: label.map_err(|error| ApiError::field("label", error.to_string()))?,
        })
    }
}

/// `POST /compute/api-keys`: 201, the one success that is not 200.
pub(crate) async fn create(
    State(app): State<App>,
    Signed(call): Signed<CreateBody>,
) -> Result<Response, ApiError> {
    let created = app
        .engine()
        .create_api_key(&call.caller, call.body.label)
        .await?;
    let reply = CreatedReply {
        api_key: created.text.expose_secret(),
        id: created.api_key.id,
        label: created.api_key.label.as_ref().map(Label::as_str),
        created_at: created.api_key.created_at.rfc3339(),
    };
    private_json(StatusCode::CREATED, &reply)
}

/// `GET /compute/api-keys`.
pub(crate) async fn list(
    State(app): State<App>,
    Authenticated(call): Authenticated<NoBody>,
) -> Result<Response, ApiError> {
    let api_keys = app.engine().api_keys(&call.caller).await?;
    let api_keys = api_keys.iter().map(KeyItem::new).collect();
    private_json(StatusCode::OK, &ListReply { api_keys })
}

/// `DELETE /compute/api-keys/{id}`.
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

impl<'a> KeyItem<'a> {
    fn new(api_key: &'a ApiKey) -> Self {
        Self {
            id: api_key.id,
            label: api_key.label.as_ref().map(Label::as_str),
            key_last4: &api_key.last4,
            created_at: api_key.created_at.rfc3339(),
            revoked_at: api_key.revoked_at.map(|at| at.rfc3339()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label_of(body: &'static str) -> Result<Option<String>, ApiError> {
        let body = CreateBody::read(
            &HeaderMap::new(),
            &Bytes::from(body),
            &Settings::for_tests(),
        )?;
        Ok(body.label.map(|label| label.as_str().to_owned()))
    }

    #[test]
    fn the_label_is_optional_in_every_way() {
        for body in ["", "{}", "{\"label\":null}"] {
            assert_eq!(label_of(body).unwrap(), None, "{body}");
        }
        assert_eq!(
            label_of("{\"label\": \"my-agent\"}").unwrap(),
            Some("my-agent".to_owned())
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for body in [
            "null",
            "[]",
            "{\"label\":1}",
            "{\"label\":\"\"}",
            "{\"name\":\"x\"}",
            "{",
        ] {
            assert!(label_of(body).is_err(), "{body}");
        }
    }
}
