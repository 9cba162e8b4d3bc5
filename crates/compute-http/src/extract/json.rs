//! Strict JSON: bounded depth, no duplicate or unknown members, nothing behind the document.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use crate::app::Settings;
use crate::error::ApiError;

/// How deep a document may nest. Our own bodies need one level.
const MAX_DEPTH: u32 = 16;

/// The most of a parser's complaint that is repeated to the client, in characters.
const MAX_COMPLAINT: usize = 200;

/// How a route reads its body.
pub(crate) trait ReadBody: Sized + Send {
    /// Reads the body or says what is wrong with it.
    fn read(headers: &HeaderMap, raw: &Bytes, settings: &Settings) -> Result<Self, ApiError>;
}

/// A request that reads something: a body would have no meaning.
#[derive(Debug)]
pub(crate) struct NoBody;

impl ReadBody for NoBody {
    fn read(_: &HeaderMap, raw: &Bytes, _: &Settings) -> Result<Self, ApiError> {
        if raw.is_empty() {
            Ok(Self)
        } else {
            Err(ApiError::shape("this request takes no body"))
        }
    }
}

/// A request whose body, if any, is covered by the signature and otherwise ignored: published
/// clients send none, `{}`, and every content type.
#[derive(Debug)]
pub(crate) struct AnyBody;

impl ReadBody for AnyBody {
    fn read(_: &HeaderMap, _: &Bytes, _: &Settings) -> Result<Self, ApiError> {
        Ok(Self)
    }
}

/// Whether the body says that it is JSON in UTF-8.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let text = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let is_json = essence.trim().eq_ignore_ascii_case("application/json");
    let is_utf8 = parameters
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .all(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            !name.trim().eq_ignore_ascii_case("charset")
                || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        });
    if is_json && is_utf8 {
        Ok(())
    } else {
        Err(ApiError::NotJson)
    }
}

/// Reads one JSON document into `T`; whether unknown members are refused is up to `T`.
pub(crate) fn parse_json<'a, T: Deserialize<'a>>(raw: &'a [u8]) -> Result<T, ApiError> {
    if !is_shallow(raw) {
        return Err(ApiError::shape(format!(
            "the body nests deeper than {MAX_DEPTH} levels"
        )));
    }
    serde_json::from_slice(raw).map_err(|complaint| {
        let text: String = complaint
            .to_string()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_COMPLAINT)
            .collect();
        ApiError::shape(format!("the body is not as expected: {text}"))
    })
}

/// Looks at brackets outside of strings only, before anything is built from the document.
fn is_shallow(raw: &[u8]) -> bool {
    let (mut depth, mut in_string, mut is_escaped) = (0_u32, false, false);
    for &byte in raw {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth = depth.saturating_add(1);
                if depth > MAX_DEPTH {
                    return false;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        a: u32,
    }

    fn parse(text: &str) -> Option<u32> {
        parse_json::<Sample>(text.as_bytes())
            .ok()
            .map(|sample| sample.a)
    }

    #[test]
    fn one_document_with_known_members_is_read() {
        assert_eq!(parse("{\"a\":1}"), Some(1));
        assert_eq!(parse(" {\n\"a\" : 1 }\n"), Some(1));
    }

    #[test]
    fn anything_looser_is_refused() {
        for text in [
            "",
            "null",
            "[]",
            "1",
            "{",
            "{\"a\":1",
            "{\"a\":1}x",
            "{\"a\":1}{}",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":1}",
            "{\"a\":1,\"b\":2}",
            "{\"a\":\"1\"}",
            "{\"a\":1.0}",
            "{\"a\":1e0}",
            "{\"a\":-0}",
            "{\"a\":-1}",
            "{\"a\":4294967296}",
            "{\"a\":NaN}",
            "{\"a\":1e400}",
            "\u{feff}{\"a\":1}",
            "{\"\\ud800\":1}",
            "{'a':1}",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!(parse_json::<Sample>(b"\xff\xfe{\0").is_err());
    }

    #[test]
    fn depth_is_counted_outside_of_strings() {
        assert!(is_shallow("[".repeat(16).as_bytes()));
        assert!(!is_shallow("[".repeat(17).as_bytes()));
        assert!(is_shallow(format!("\"{}\"", "[".repeat(99)).as_bytes()));
        assert!(is_shallow(format!("\"\\\"{}\"", "[".repeat(99)).as_bytes()));
        assert!(!is_shallow("{\"a\":".repeat(100_000).as_bytes()));
    }

    #[test]
    fn the_content_type_decides() {
        let check = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            require_json(&headers).is_ok()
        };
        assert!(check("application/json"));
        assert!(check("Application/JSON; charset=UTF-8"));
        for other in [
            "text/plain",
            "application/json; charset=latin1",
            "application/jsonp",
            "",
        ] {
            assert!(!check(other), "{other}");
        }
        assert!(require_json(&HeaderMap::new()).is_err());
    }

    proptest! {
        // Whatever arrives is read or refused, without a panic.
        #[test]
        fn arbitrary_bytes_are_read_or_refused(raw: Vec<u8>) {
            let _ = parse_json::<Sample>(&raw);
        }
    }
}
