//! The event feed: what happened to the caller's machines and credits, oldest first.

use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use compute_engine::event_json;
use http::StatusCode;
use http::request::Parts;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::app::App;
use crate::discovery::answers::Known;
use crate::discovery::shapes;
use crate::error::ApiError;
use crate::extract::{Authenticated, NoBody, parameter};
use crate::render::private_json;

/// How many events a page has when nobody says how many.
const USUAL_LIMIT: u32 = 100;

/// The most events of a page.
const MOST: u32 = 200;

/// What every cursor of the feed begins with. Clients take the whole for one word.
const CURSOR: &str = "ev1_";

/// Which part of the feed is asked for. Judged before the credentials, like a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    after: u64,
    limit: u32,
}

#[derive(Serialize, ToSchema)]
struct FeedReply {
    #[schema(schema_with = shapes::events)]
    events: Vec<Value>,
    /// Always there: where to read on, now or later.
    next_cursor: String,
    has_more: bool,
}

fn cursor_of(seq: u64) -> String {
    format!("{CURSOR}{seq:x}")
}

fn parse_cursor(text: &str) -> Option<u64> {
    let digits = text.strip_prefix(CURSOR)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    // One text for each place: no signs, no leading zeros.
    (cursor_of(number) == text).then_some(number)
}

fn parse_part(query: &str) -> Result<Part, ApiError> {
    const AFTER: &str = "after is the next_cursor of an earlier answer";
    const LIMIT: &str = "limit is a whole number from 1 to 200";
    let mut part = Part {
        after: 0,
        limit: USUAL_LIMIT,
    };
    if let Some(text) = parameter(query, "after", AFTER)? {
        part.after = parse_cursor(text).ok_or_else(|| ApiError::field("after", AFTER))?;
    }
    if let Some(text) = parameter(query, "limit", LIMIT)? {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_plain);
        let limit = number.filter(|limit| (1..=MOST).contains(limit));
        part.limit = limit.ok_or_else(|| ApiError::field("limit", LIMIT))?;
    }
    Ok(part)
}

impl<S: Send + Sync> FromRequestParts<S> for Part {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parse_part(parts.uri.query().unwrap_or_default())
    }
}

/// What happened to the caller's machines and credits, oldest first.
///
/// Read on from `next_cursor`: nothing is left out and nothing comes twice. See docs/events.md.
#[utoipa::path(
    get,
    path = "/compute/events",
    operation_id = "listEvents",
    tag = "Events",
    security(("apiKey" = []), ("walletSignature" = [])),
    params(
        ("after" = Option<String>, Query, pattern = "^ev1_(0|[1-9a-f][0-9a-f]{0,14})$", description = "The `next_cursor` of an earlier answer."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Events in a page; 100 when absent."),
    ),
    responses(
        (status = 200, description = "A page.", body = FeedReply,
            links(("next" = (operation_id = "listEvents", parameters(("after" = "$response.body#/next_cursor")))))),
        Known,
    ),
)]
pub(crate) async fn list(
    State(app): State<App>,
    part: Part,
    Authenticated(call): Authenticated<NoBody>,
) -> Result<Response, ApiError> {
    let page = app
        .engine()
        .events(&call.caller, part.after, part.limit)
        .await?;
    let reply = FeedReply {
        events: page.events.iter().map(event_json).collect(),
        next_cursor: cursor_of(page.next),
        has_more: page.has_more,
    };
    private_json(StatusCode::OK, &reply)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_part_has_defaults_and_bounds() {
        let part = |query| parse_part(query).map(|part| (part.after, part.limit)).ok();
        assert_eq!(part("wallet=0x1"), Some((0, 100)));
        assert_eq!(part("after=ev1_1f&limit=200"), Some((31, 200)));
        for query in [
            "after=",
            "after=31",
            "after=ev1_",
            "after=ev1_01",
            "after=ev1_+1",
            "after=ev1_1F",
            "after=ev1_1&after=ev1_1",
            "after=ev1_10000000000000000",
            "limit=0",
            "limit=201",
            "limit=+1",
            "limit=",
        ] {
            assert_eq!(part(query), None, "{query}");
        }
    }

    proptest! {
        #[test]
        fn cursors_read_back(seq in any::<u64>()) {
            prop_assert_eq!(parse_cursor(&cursor_of(seq)), Some(seq));
        }

        #[test]
        fn arbitrary_queries_are_read_or_refused(query in "[a-z0-9=&_+.-]{0,40}") {
            if let Ok(part) = parse_part(&query) {
                prop_assert!((1..=MOST).contains(&part.limit));
            }
        }
    }
}
