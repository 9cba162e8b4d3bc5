use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, HeaderName, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// The date form that HTTP senders must generate (RFC 9110 §5.6.7).
const IMF_FIXDATE: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// A complete answer, whatever its status.
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The headers a caller may need: content type, retry advice, date, request id, the x402
    /// `EXTENSION-RESPONSES`, and what the configuration adds to them. All others are dropped, so that a cookie or an echoed credential
    /// cannot travel further.
    pub headers: HeaderMap,
    /// The whole body, at most as long as the client allows.
    pub body: Bytes,
    /// The peer's clock from its `Date` header, when it sent a valid one.
    pub date: Option<OffsetDateTime>,
}

impl Answer {
    pub(crate) fn new(
        status: StatusCode,
        all: &HeaderMap,
        more: &[HeaderName],
        body: Bytes,
    ) -> Self {
        let mut headers = HeaderMap::new();
        for name in more {
            for value in all.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        for name in kept_headers() {
            if let Some(value) = all.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let date = headers
            .get(DATE)
            .and_then(|value| parse_date(value.to_str().ok()?));
        Self {
            status,
            headers,
            body,
            date,
        }
    }

    /// The body read as JSON. Numbers without a value (`NaN`), duplicate members of a known name,
    /// text after the document and nesting beyond 128 levels are errors.
    ///
    /// # Errors
    /// [`NotJson`] when it is not a document of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, NotJson> {
        serde_json::from_slice(&self.body).map_err(|source| NotJson { source })
    }

    /// How long the peer asks us to stay away, from `Retry-After` in seconds or as a date.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse::<u32>() {
            return Some(Duration::from_secs(seconds.into()));
        }
        // A date is meaningful only against the same clock that wrote it.
        let wait = parse_date(text)? - self.date?;
        Some(wait.try_into().unwrap_or(Duration::ZERO))
    }
}

fn kept_headers() -> [HeaderName; 5] {
    [
        CONTENT_TYPE,
        RETRY_AFTER,
        DATE,
        HeaderName::from_static("x-request-id"),
        HeaderName::from_static("extension-responses"),
    ]
}

fn parse_date(text: &str) -> Option<OffsetDateTime> {
    PrimitiveDateTime::parse(text, IMF_FIXDATE)
        .ok()
        .map(PrimitiveDateTime::assume_utc)
}

impl fmt::Debug for Answer {
    // The body may hold a root password or a signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The body of an answer is not the JSON that was expected.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not JSON of the expected shape")]
pub struct NotJson {
    source: serde_json::Error,
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn answer(headers: &[(&'static str, &'static str)], body: &'static str) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        Answer::new(
            StatusCode::OK,
            &map,
            &[],
            Bytes::from_static(body.as_bytes()),
        )
    }

    fn check_retry_after(headers: &[(&'static str, &'static str)], seconds: Option<u64>) {
        let expected = seconds.map(Duration::from_secs);
        assert_eq!(answer(headers, "").retry_after(), expected, "{headers:?}");
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        check_retry_after(&[], None);
        check_retry_after(&[("retry-after", "7")], Some(7));
        check_retry_after(&[("retry-after", "-7")], None);
        check_retry_after(&[("retry-after", "soon")], None);
        check_retry_after(
            &[("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT"), now],
            Some(3),
        );
        check_retry_after(
            &[("retry-after", "Sun, 06 Nov 1994 08:49:30 GMT"), now],
            Some(0),
        );
        check_retry_after(&[("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT")], None);
    }

    #[test]
    fn the_date_is_the_peers_clock() {
        let seen = answer(&[("date", "Sun, 06 Nov 1994 08:49:37 GMT")], "").date;
        assert_eq!(seen.map(OffsetDateTime::unix_timestamp), Some(784_111_777));
        assert_eq!(answer(&[("date", "yesterday")], "").date, None);
    }

    #[test]
    fn only_useful_headers_survive() {
        let seen = answer(&[("set-cookie", "a=b"), ("content-type", "text/html")], "");
        assert_eq!(seen.headers.len(), 1);
    }

    #[test]
    fn headers_that_are_wanted_survive_with_all_their_lines() {
        let mut map = HeaderMap::new();
        for line in ["one", "two"] {
            map.append("www-authenticate", HeaderValue::from_static(line));
        }
        let wanted = [http::header::WWW_AUTHENTICATE];
        let seen = Answer::new(StatusCode::OK, &map, &wanted, Bytes::new());
        let lines: Vec<_> = seen.headers.get_all("www-authenticate").iter().collect();
        assert_eq!(lines, ["one", "two"]);
    }

    #[derive(Debug, serde::Deserialize)]
    struct Verdict {
        success: bool,
    }

    #[test]
    fn ambiguous_json_is_refused() {
        assert!(
            answer(&[], r#"{"success":true}"#)
                .json::<Verdict>()
                .unwrap()
                .success
        );
        for body in [
            "",
            "<html>",
            r#"{"success":true} tail"#,
            r#"{"success":NaN}"#,
            r#"{"success":false,"success":true}"#,
            r#"{"success":"true"}"#,
        ] {
            assert!(answer(&[], body).json::<Verdict>().is_err(), "{body}");
        }
    }

    proptest! {
        /// No header text makes the parsers panic.
        #[test]
        fn header_texts_never_panic(text in "[ -~]{0,40}") {
            let mut map = HeaderMap::new();
            map.insert(DATE, HeaderValue::from_str(&text).unwrap());
            map.insert(RETRY_AFTER, HeaderValue::from_str(&text).unwrap());
            let _ = Answer::new(StatusCode::OK, &map, &[], Bytes::new()).retry_after();
        }
    }
}
