//! Extending a machine by itself: what its owner wants, and how far it has come.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use compute_domain::id::InstanceId;
use compute_domain::money::Hours;
use compute_engine::AutoExtendTerms;
use compute_engine::ports::AutoExtension;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::openapi::{OneOfBuilder, Schema};
use utoipa::{PartialSchema as _, ToSchema};

use super::members;
use crate::app::{App, Settings};
use crate::discovery::answers::{Owned, Set};
use crate::discovery::shapes;
use crate::error::ApiError;
use crate::extract::{Authenticated, Id, NoBody, ReadBody, parse_json, require_json};
use crate::render::money::Dollars;
use crate::render::private_json;

/// What is wanted; none switches it off.
#[derive(Debug)]
pub(crate) struct Wish(Option<AutoExtendTerms>);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AutoExtendRequest, description = "Whether and how far. Unknown members are refused.")]
struct RawWish<'a> {
    #[schema(required, nullable = false)]
    enabled: Option<bool>,
    /// How much each time; 24 when absent.
    #[serde(default, deserialize_with = "members::present")]
    #[schema(nullable = false, minimum = 24, maximum = 4320)]
    hours: Option<u64>,
    /// The most that may be spent so in all; required to switch it on.
    #[serde(borrow, default, deserialize_with = "members::present")]
    #[schema(schema_with = shapes::amount_or_text)]
    max_total_usd: Option<&'a RawValue>,
}

/// The member `auto_extend` of a purchase.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AutoExtendTermsRequest)]
struct RawTerms<'a> {
    /// How much each time; 24 when absent.
    #[serde(default, deserialize_with = "members::present")]
    #[schema(nullable = false, minimum = 24, maximum = 4320)]
    hours: Option<u64>,
    /// The most that may be spent so in all.
    #[serde(borrow)]
    #[schema(schema_with = shapes::amount_or_text)]
    max_total_usd: &'a RawValue,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AutoExtendReply)]
struct WishReply {
    #[schema(value_type = String, format = "uuid")]
    order_id: InstanceId,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hours: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_total_usd: Option<Dollars>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spent_usd: Option<Dollars>,
    /// When it is extended, or tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_at: Option<String>,
    /// Why the last try was in vain.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<String>,
}

/// The member `auto_extend` of a purchase, for the document: `false`, or the terms.
pub(crate) fn wished() -> Schema {
    let off = utoipa::openapi::ObjectBuilder::new()
        .schema_type(utoipa::openapi::Type::Boolean)
        .enum_values(Some([false]));
    let either = OneOfBuilder::new().item(off).item(RawTerms::schema());
    let meaning = "Extend it from credits before its time ends; `false` when absent. Needs `X-API-Key` or \
                   the `X-Auth-*` headers.";
    Schema::OneOf(either.description(Some(meaning)).build())
}

fn hours(raw: Option<u64>) -> Result<Hours, ApiError> {
    members::hours("hours", raw, Hours::EXTEND_DEFAULT)
}

/// The terms in a purchase; a cap must be named, because credits are spent without asking again.
pub(crate) fn of_purchase(raw: &RawValue) -> Result<Option<AutoExtendTerms>, ApiError> {
    const RULE: &str = "auto_extend is false, or an object with max_total_usd and hours, for example \
                        {\"max_total_usd\": \"10\", \"hours\": 24}";
    match raw.get() {
        "false" | "null" => return Ok(None),
        "true" => return Err(ApiError::unsupported("not_supported", "auto_extend", RULE)),
        _ => {}
    }
    let terms: RawTerms<'_> =
        serde_json::from_str(raw.get()).map_err(|_| ApiError::field("auto_extend", RULE))?;
    Ok(Some(AutoExtendTerms {
        hours: hours(terms.hours)?,
        max_total: members::dollars_or_text("max_total_usd", terms.max_total_usd)?,
    }))
}

impl ReadBody for Wish {
    fn read(headers: &HeaderMap, raw: &Bytes, _: &Settings) -> Result<Self, ApiError> {
        require_json(headers)?;
        let raw: RawWish<'_> = parse_json(raw)?;
        // What is written is read, also where it does not matter.
        let hours = hours(raw.hours)?;
        let cap = raw
            .max_total_usd
            .map(|cap| members::dollars_or_text("max_total_usd", cap));
        let cap = cap.transpose()?;
        match (raw.enabled, cap) {
            (None, _) => Err(ApiError::field("enabled", "enabled is true or false")),
            (Some(false), _) => Ok(Self(None)),
            (Some(true), Some(max_total)) => Ok(Self(Some(AutoExtendTerms { hours, max_total }))),
            (Some(true), None) => Err(ApiError::field(
                "max_total_usd",
                "max_total_usd is required to switch it on",
            )),
        }
    }
}

impl WishReply {
    fn new(order_id: InstanceId, wish: Option<&AutoExtension>) -> Self {
        Self {
            order_id,
            enabled: wish.is_some(),
            hours: wish.map(|wish| wish.hours.get()),
            max_total_usd: wish.map(|wish| Dollars(wish.max_total)),
            spent_usd: wish.map(|wish| Dollars(wish.spent)),
            next_at: wish.and_then(|wish| wish.due_at).map(|at| at.rfc3339()),
            last_failure: wish.and_then(|wish| wish.told.clone()),
        }
    }
}

/// Extends a machine from credits before its time ends, or stops doing so.
#[utoipa::path(
    put,
    path = "/compute/instances/{id}/auto-extend",
    operation_id = "setAutoExtend",
    tag = "Machines",
    security(("apiKey" = []), ("walletSignature" = [])),
    params(("id" = String, Path, format = "uuid", description = "The order's id.")),
    request_body(content = RawWish<'_>, description = "Whether and how far."),
    responses((status = 200, description = "What is wanted now.", body = WishReply), Set),
)]
pub(crate) async fn set(
    State(app): State<App>,
    id: Id,
    Authenticated(call): Authenticated<Wish>,
) -> Result<Response, ApiError> {
    let (id, Wish(terms)) = (id.parse()?, call.body);
    let wish = app
        .engine()
        .set_auto_extend(&call.caller, id, terms)
        .await?;
    private_json(StatusCode::OK, &WishReply::new(id, wish.as_ref()))
}

/// Whether a machine is extended by itself, and how far it has come.
#[utoipa::path(
    get,
    path = "/compute/instances/{id}/auto-extend",
    operation_id = "getAutoExtend",
    tag = "Machines",
    security(("apiKey" = []), ("walletSignature" = [])),
    params(("id" = String, Path, format = "uuid", description = "The order's id.")),
    responses((status = 200, description = "What is wanted.", body = WishReply), Owned),
)]
pub(crate) async fn show(
    State(app): State<App>,
    id: Id,
    Authenticated(call): Authenticated<NoBody>,
) -> Result<Response, ApiError> {
    let id = id.parse()?;
    let wish = app.engine().auto_extension(&call.caller, id).await?;
    private_json(StatusCode::OK, &WishReply::new(id, wish.as_ref()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONTENT_TYPE;

    use super::*;

    fn read(body: &'static str) -> Result<Option<AutoExtendTerms>, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Wish::read(&headers, &Bytes::from(body), &Settings::for_tests()).map(|wish| wish.0)
    }

    #[test]
    fn a_purchase_names_its_terms() {
        let read = |text: &str| {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            of_purchase(&raw)
                .map(|terms| terms.map(|terms| (terms.hours.get(), terms.max_total.micros())))
        };
        assert_eq!(read("false").unwrap(), None);
        for cap in ["2", "\"2.00\""] {
            let terms = read(&format!("{{\"max_total_usd\": {cap}}}")).unwrap();
            assert_eq!(terms, Some((24, 2_000_000)));
        }
        for text in [
            "true",
            "1",
            "{}",
            "{\"hours\":24}",
            "{\"max_total_usd\":1,\"hours\":1}",
            "{\"max_total_usd\":null}",
            "{\"max_total_usd\":1,\"more\":1}",
        ] {
            assert_eq!(read(text).unwrap_err().row().status, 400, "{text}");
        }
    }

    #[test]
    fn a_cap_is_named_and_hours_have_bounds() {
        let on = read("{\"enabled\":true,\"hours\":48,\"max_total_usd\":1.5}").unwrap();
        let on = on.map(|terms| (terms.hours.get(), terms.max_total.micros()));
        assert_eq!(on, Some((48, 1_500_000)));
        let usual = read("{\"enabled\":true,\"max_total_usd\":\"1\"}").unwrap();
        assert_eq!(usual.map(|terms| terms.hours.get()), Some(24));
        assert_eq!(read("{\"enabled\":false}").unwrap(), None);
        for body in [
            "",
            "{}",
            "{\"enabled\":null}",
            "{\"enabled\":true}",
            "{\"enabled\":true,\"max_total_usd\":null}",
            "{\"enabled\":true,\"max_total_usd\":1,\"hours\":23}",
            "{\"enabled\":true,\"max_total_usd\":1,\"hours\":4321}",
            "{\"enabled\":true,\"max_total_usd\":-1}",
            "{\"enabled\":true,\"max_total_usd\":1,\"more\":1}",
            "{\"enabled\":false,\"max_total_usd\":\"\"}",
            "{\"enabled\":false,\"hours\":1}",
        ] {
            let refused = read(body).err();
            let refused = refused.unwrap_or_else(|| panic!("{body} was accepted"));
            assert_eq!(refused.row().status, 400, "{body}");
        }
    }
}
