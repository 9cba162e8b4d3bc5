//! Reading a body once, whole, within its limits.

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::app::Limits;
use crate::error::ApiError;

/// The raw bytes: they are what a signature covers, whatever they mean.
pub(crate) async fn read(
    body: Body,
    headers: &HeaderMap,
    limits: &Limits,
) -> Result<Bytes, ApiError> {
    // A compressed body would be unpacked before its size is known.
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|coding| coding != "identity")
    {
        return Err(ApiError::CompressedBody);
    }
    if announced_length(headers).is_some_and(|length| length > limits.body_bytes) {
        return Err(ApiError::BodyTooLarge {
            limit: limits.body_bytes,
        });
    }
    let collecting = Limited::new(body, limits.body_bytes).collect();
    match tokio::time::timeout(limits.body_read, collecting).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::BodyTooLarge {
            limit: limits.body_bytes,
        }),
        Ok(Err(_)) => Err(ApiError::shape("the body could not be read to its end")),
        Err(_) => Err(ApiError::BodyTooSlow),
    }
}

fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderName, HeaderValue};

    use super::*;

    fn limits() -> Limits {
        Limits {
            body_bytes: 8,
            body_read: Duration::ZERO,
            ..Limits::default()
        }
    }

    fn read_now(
        body: impl Into<Body>,
        headers: &[(HeaderName, &'static str)],
    ) -> Result<Bytes, ApiError> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(read(body.into(), &headers.collect(), &limits()))
    }

    #[test]
    fn a_body_up_to_the_limit_is_read() {
        assert_eq!(read_now("12345678", &[]).unwrap(), "12345678");
    }

    #[test]
    fn one_byte_more_is_too_large_announced_or_not() {
        let refused = read_now("123456789", &[]);
        assert!(matches!(refused, Err(ApiError::BodyTooLarge { limit: 8 })));
        let refused = read_now("", &[(CONTENT_LENGTH, "9")]);
        assert!(matches!(refused, Err(ApiError::BodyTooLarge { limit: 8 })));
    }

    #[test]
    fn compression_is_refused() {
        let refused = read_now("", &[(CONTENT_ENCODING, "gzip")]);
        assert!(matches!(refused, Err(ApiError::CompressedBody)));
    }

    #[test]
    fn a_body_that_never_ends_is_given_up() {
        let stream = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        let refused = read_now(Body::from_stream(stream), &[]);
        assert!(matches!(refused, Err(ApiError::BodyTooSlow)));
    }
}
