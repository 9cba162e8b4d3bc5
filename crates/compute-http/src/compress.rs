//! Answers that may be sent compressed.
//!
//! Only what is marked for it: an answer with a secret in it must not be, because its length would
//! tell of the secret to whoever can put text of theirs beside it (BREACH).

use std::io::Write as _;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use http::{HeaderMap, HeaderValue};

/// Smaller answers fit into one packet anyway.
pub(crate) const LEAST_BYTES: usize = 1_024;

pub(crate) const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// What the answers depend on that may be compressed.
pub(crate) const VARIES: HeaderValue = HeaderValue::from_static("accept-encoding");

/// Marks an answer that may be compressed; it holds no secret.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compressible;

/// Marks an answer that may be compressed.
pub(crate) fn compressible(mut response: Response) -> Response {
    response.extensions_mut().insert(Compressible);
    response
}

/// Whether the client takes gzip.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT_ENCODING).iter();
    let elements = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    let (mut by_name, mut by_star) = (None, None);
    for element in elements {
        let (coding, parameters) = element.split_once(';').unwrap_or((element, ""));
        let is_wanted = !is_zero(parameters);
        match coding.trim() {
            "*" => by_star = Some(is_wanted),
            name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
                by_name = Some(is_wanted);
            }
            _ => {}
        }
    }
    by_name.or(by_star).unwrap_or(false)
}

/// Whether a weight says "not at all".
fn is_zero(parameters: &str) -> bool {
    let weight = parameters.split(';').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let is_weight = name.trim().eq_ignore_ascii_case("q");
        is_weight.then(|| value.trim())
    });
    weight.is_some_and(|text| {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        whole == "0" && decimals.bytes().all(|byte| byte == b'0')
    })
}

/// The same bytes, compressed; none when that cannot be done.
pub(crate) fn gzip(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::new(3));
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Compresses a marked answer for a client that takes it.
pub(crate) async fn negotiate(mut response: Response, takes_gzip: bool) -> Response {
    if response.extensions_mut().remove::<Compressible>().is_none() {
        return response;
    }
    response.headers_mut().insert(VARY, VARIES);
    let length = response.body().size_hint().exact();
    let length = length.and_then(|length| usize::try_from(length).ok());
    if !takes_gzip {
        return response;
    }
    let Some(length) = length.filter(|length| *length >= LEAST_BYTES) else {
        if length == Some(0) {
            // The answer to HEAD: how long the other one would be is not worth finding out.
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        return response;
    };
    let (mut parts, body) = response.into_parts();
    let Ok(plain) = to_bytes(body, length).await else {
        // What is in memory can be read, and is as long as it says.
        return Response::from_parts(parts, Body::empty());
    };
    let Some(compressed) = gzip(&plain) else {
        return Response::from_parts(parts, Body::from(plain));
    };
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_ENCODING, GZIP);
    Response::from_parts(parts, Body::from(compressed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_where_it_is_named_with_a_weight() {
        let takes = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(text));
            takes_gzip(&headers)
        };
        for text in [
            "gzip",
            "br, gzip",
            "GZIP;q=0.1",
            "*",
            "x-gzip",
            "deflate, *;q=0.5",
        ] {
            assert!(takes(text), "{text}");
        }
        for text in [
            "",
            "br",
            "gzip;q=0",
            "gzip; q=0.000",
            "*;q=0",
            "gzip;q=0, *",
            "identity",
        ] {
            assert!(!takes(text), "{text}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_is_unpacked_is_what_was_there() {
        let plain = "{\"plans\":[]}".repeat(200);
        let packed = gzip(plain.as_bytes()).unwrap();
        assert!(packed.len() < plain.len() / 10);
        let mut unpacked = String::new();
        let mut decoder = flate2::read::GzDecoder::new(packed.as_ref());
        std::io::Read::read_to_string(&mut decoder, &mut unpacked).unwrap();
        assert_eq!(unpacked, plain);
    }
}
