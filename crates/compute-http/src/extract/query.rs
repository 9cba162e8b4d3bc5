//! Query parameters. Unknown ones are ignored: published clients send some of their own.

use std::str::FromStr;

use axum::extract::FromRequestParts;
use compute_domain::time::Span;
use compute_engine::{HistoryPage, Page};
use http::request::Parts;

use super::accept::Accepted;
use crate::error::ApiError;

/// The longest that a request may ask to wait, in seconds.
const LONGEST_WAIT: u32 = 60;

/// Which part of a list is asked for. Judged before the credentials, like a body.
#[derive(Debug)]
pub(crate) struct Paging(pub(crate) Page);

/// Which part of a history is asked for, and how it is written.
#[derive(Debug)]
pub(crate) struct HistoryPart {
    pub(crate) page: HistoryPage,
    pub(crate) format: Format,
}

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Csv,
}

/// How long the answer may wait for the work to move; no time where that is not asked for.
#[derive(Debug)]
pub(crate) struct Wait(pub(crate) Span);

/// How long the answer to a purchase may wait at most, where its client says so: some give up sooner than the
/// server does.
#[derive(Debug)]
pub(crate) struct Patience(pub(crate) Option<Span>);

/// The value of a parameter that may stand there once, as it was written; `rule` is what a client is
/// told that sends two.
pub(crate) fn parameter<'a>(
    query: &'a str,
    name: &'static str,
    rule: &'static str,
) -> Result<Option<&'a str>, ApiError> {
    let pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut values = pairs
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    let first = values.next();
    if values.next().is_some() {
        return Err(ApiError::field(name, rule));
    }
    Ok(first)
}

/// The cursor and the limit of a list whose pages have at most `most` rows.
fn parse_part<Id: FromStr>(query: &str, most: u32) -> Result<(Option<Id>, u32), ApiError> {
    const CURSOR: &str = "cursor is the next_cursor of the page before";
    const LIMIT: &str = "limit is a whole number from 1 to 200";
    let after = match parameter(query, "cursor", CURSOR)? {
        Some(text) => Some(
            text.parse()
                .map_err(|_| ApiError::field("cursor", CURSOR))?,
        ),
        None => None,
    };
    let limit = match parameter(query, "limit", LIMIT)? {
        Some(text) => whole_number(text)
            .filter(|limit| (1..=most).contains(limit))
            .ok_or_else(|| ApiError::field("limit", LIMIT))?,
        None => most,
    };
    Ok((after, limit))
}

/// Digits and nothing else.
fn whole_number(text: &str) -> Option<u32> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

fn parse_page(query: &str) -> Result<Page, ApiError> {
    let (after, limit) = parse_part(query, Page::default().limit)?;
    Ok(Page { after, limit })
}

fn parse_history(query: &str, accepted: &Accepted) -> Result<HistoryPart, ApiError> {
    const FORMAT: &str = "format is json or csv";
    let (after, limit) = parse_part(query, HistoryPage::default().limit)?;
    let format = match parameter(query, "format", FORMAT)? {
        Some("json") => Format::Json,
        Some("csv") => Format::Csv,
        Some(_) => return Err(ApiError::field("format", FORMAT)),
        None if accepted.prefers_csv() => Format::Csv,
        None => Format::Json,
    };
    Ok(HistoryPart {
        page: HistoryPage { after, limit },
        format,
    })
}

fn parse_wait(query: &str) -> Result<Option<Span>, ApiError> {
    const RULE: &str = "wait is a whole number of seconds from 0 to 60";
    let wait = parameter(query, "wait", RULE)?.map(|text| {
        whole_number(text)
            .filter(|seconds| *seconds <= LONGEST_WAIT)
            .map(Span::from_secs)
            .ok_or_else(|| ApiError::field("wait", RULE))
    });
    wait.transpose()
}

impl<S: Send + Sync> FromRequestParts<S> for HistoryPart {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let accepted = Accepted::of(&parts.headers);
        parse_history(parts.uri.query().unwrap_or_default(), &accepted)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Wait {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let wait = parse_wait(parts.uri.query().unwrap_or_default())?;
        Ok(Self(wait.unwrap_or(Span::ZERO)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Patience {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parse_wait(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parse_page(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0190a1b2-0000-7000-8000-000000000000";

    #[test]
    fn a_page_has_defaults() {
        for query in ["", "wallet=0xabc", "a&b=&=c", "cursors=1&limited=2"] {
            assert_eq!(parse_page(query).unwrap(), Page::default(), "{query}");
        }
    }

    #[test]
    fn cursor_and_limit_are_read() {
        let page = parse_page(&format!("wallet=0x1&limit=7&cursor={ID}")).unwrap();
        assert_eq!((page.after, page.limit), (ID.parse().ok(), 7));
        assert_eq!(parse_page("limit=200").unwrap().limit, 200);
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for (query, name) in [
            ("cursor=", "cursor"),
            ("cursor", "cursor"),
            ("cursor=x", "cursor"),
            ("cursor=../..", "cursor"),
            ("limit=", "limit"),
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=-1", "limit"),
            ("limit=+7", "limit"),
            ("limit=7.0", "limit"),
            ("limit=99999999999999999999", "limit"),
            ("limit=7&limit=7", "limit"),
        ] {
            match parse_page(query) {
                Err(ApiError::Shape { field, .. }) => assert_eq!(field, Some(name), "{query}"),
                other => panic!("{query}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_wait_is_a_minute_at_most() {
        let seconds =
            |query: &str| parse_wait(query).map(|span| span.unwrap_or(Span::ZERO).millis() / 1_000);
        for (query, expected) in [("", 0), ("wait=0", 0), ("a&wait=25", 25), ("wait=60", 60)] {
            assert_eq!(seconds(query).unwrap(), expected, "{query}");
        }
        for query in [
            "wait",
            "wait=",
            "wait=61",
            "wait=-1",
            "wait=+1",
            "wait=1.5",
            "wait=1s",
            "wait=1&wait=1",
            "wait=99999999999",
        ] {
            assert!(seconds(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_history_is_json_unless_csv_is_wanted() {
        let format = |query: &str, accept: &'static str| {
            let mut headers = http::HeaderMap::new();
            headers.insert("accept", http::HeaderValue::from_static(accept));
            parse_history(query, &Accepted::of(&headers)).map(|part| part.format)
        };
        for (query, accept, expected) in [
            ("", "*/*", Format::Json),
            ("", "text/csv", Format::Csv),
            ("format=csv", "application/json", Format::Csv),
            ("format=json", "text/csv", Format::Json),
            ("", "application/json, text/csv", Format::Json),
        ] {
            assert_eq!(format(query, accept).unwrap(), expected, "{query} {accept}");
        }
        for query in ["format=", "format=CSV", "format=csv&format=csv", "cursor=x"] {
            assert!(format(query, "*/*").is_err(), "{query}");
        }
    }

    proptest! {
        // Whatever arrives is read or refused, and a page never exceeds its bounds.
        #[test]
        fn arbitrary_queries_are_read_or_refused(query in "[a-z0-9=&%+.-]{0,60}") {
            if let Ok(page) = parse_page(&query) {
                prop_assert!((1..=200).contains(&page.limit));
            }
        }
    }
}
