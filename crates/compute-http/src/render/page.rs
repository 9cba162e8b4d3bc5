//! Answers that are written once and sent as they are, with a tag by which clients need not read them
//! again.

use std::sync::OnceLock;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::APPLICATION_JSON;
use crate::compress::{GZIP, LEAST_BYTES, VARIES, gzip, takes_gzip};
use crate::error::ApiError;

/// A finished answer: its bytes and their tag.
#[derive(Debug)]
pub(crate) struct Page {
    bytes: Bytes,
    media: HeaderValue,
    cache: HeaderValue,
    etag: HeaderValue,
    /// The same compressed, with a tag of its own; made when it is first asked for.
    packed: OnceLock<Option<Bytes>>,
    packed_etag: HeaderValue,
}

impl Page {
    /// A page of JSON.
    pub(crate) fn json(reply: &impl Serialize, cache: HeaderValue) -> Result<Self, ApiError> {
        let bytes = serde_json::to_vec(reply).map_err(ApiError::internal)?;
        Self::new(bytes, APPLICATION_JSON, cache)
    }

    /// A page of any kind, and how long it may be kept.
    pub(crate) fn new(
        bytes: impl Into<Bytes>,
        media: HeaderValue,
        cache: HeaderValue,
    ) -> Result<Self, ApiError> {
        let bytes = bytes.into();
        // Over the bytes themselves, so that all replicas agree.
        let digest = hex::encode(Sha256::digest(&bytes));
        let digest = digest.get(..24).unwrap_or(&digest);
        let tag = |form: &str| {
            let tag = format!("\"{digest}{form}\"");
            HeaderValue::try_from(tag).map_err(ApiError::internal)
        };
        Ok(Self {
            media,
            cache,
            etag: tag("")?,
            packed: OnceLock::new(),
            packed_etag: tag("-gzip")?,
            bytes,
        })
    }

    /// The page, or 304 when the client has it already.
    pub(crate) fn respond(&self, headers: &HeaderMap) -> Response {
        let packed = self.packed_for(headers);
        let etag = match packed {
            Some(_) => &self.packed_etag,
            None => &self.etag,
        };
        let mut tags = headers.get_all(IF_NONE_MATCH).iter();
        let is_known = tags.any(|tags| is_among(etag, tags));
        let mut response = Response::new(Body::empty());
        let answered = response.headers_mut();
        answered.insert(ETAG, etag.clone());
        answered.insert(CACHE_CONTROL, self.cache.clone());
        answered.insert(VARY, VARIES);
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        answered.insert(CONTENT_TYPE, self.media.clone());
        if packed.is_some() {
            answered.insert(CONTENT_ENCODING, GZIP);
        }
        *response.body_mut() = packed.unwrap_or_else(|| self.bytes.clone()).into();
        response
    }

    /// The page compressed, for a client that takes it so.
    fn packed_for(&self, headers: &HeaderMap) -> Option<Bytes> {
        if self.bytes.len() < LEAST_BYTES || !takes_gzip(headers) {
            return None;
        }
        self.packed.get_or_init(|| gzip(&self.bytes)).clone()
    }
}

/// Weak comparison, as RFC 9110 13.1.2 has it.
fn is_among(own: &HeaderValue, tags: &HeaderValue) -> bool {
    let (Ok(tags), Ok(own)) = (tags.to_str(), own.to_str()) else {
        return false;
    };
    let mut each = tags
        .split(',')
        .map(|tag| tag.trim().trim_start_matches("W/"));
    each.any(|tag| tag == own || tag == "*")
}

#[cfg(test)]
impl Page {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        Page::json(&text, HeaderValue::from_static("public, max-age=30")).unwrap()
    }

    #[test]
    fn a_known_page_is_not_sent_again() {
        let page = page("a");
        let own = page.etag.to_str().unwrap();
        let status = |tags: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_str(tags).unwrap());
            page.respond(&headers).status().as_u16()
        };
        assert_eq!(page.respond(&HeaderMap::new()).status(), 200);
        assert_eq!(status(own), 304);
        assert_eq!(status(&format!("\"other\", W/{own}")), 304);
        assert_eq!(status("*"), 304);
        assert_eq!(status("\"other\""), 200);
    }

    #[test]
    fn equal_content_has_an_equal_tag_on_every_replica() {
        assert_eq!(page("a").etag, page("a").etag);
        assert_ne!(page("a").etag, page("b").etag);
    }
}
