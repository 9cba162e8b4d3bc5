//! Query parameters. Unknown ones are ignored: published clients send some of their own.

use axum::extract::FromRequestParts;
use compute_engine::Page;
use http::request::Parts;

use crate::error::ApiError;

/// Which part of a list is asked for. Judged before the credentials, like a body.
#[derive(Debug)]
pub(crate) struct Paging(pub(crate) Page);

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

fn parse_page(query: &str) -> Result<Page, ApiError> {
    const CURSOR: &str = "cursor is the next_cursor of the page before";
    const LIMIT: &str = "limit is a whole number from 1 to 200";
    let mut page = Page::default();
    if let Some(text) = parameter(query, "cursor", CURSOR)? {
        let after = text
            .parse()
            .map_err(|_| ApiError::field("cursor", CURSOR))?;
        page.after = Some(after);
    }
    if let Some(text) = parameter(query, "limit", LIMIT)? {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_plain);
        let limit = number.filter(|limit| (1..=page.limit).contains(limit));
        page.limit = limit.ok_or_else(|| ApiError::field("limit", LIMIT))?;
    }
    Ok(page)
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
