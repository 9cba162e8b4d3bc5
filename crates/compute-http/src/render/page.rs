//! Answers that are written once and sent as they are, with a tag by which clients need not read them
//! again.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::APPLICATION_JSON;
use crate::error::ApiError;

/// A finished answer: its bytes and their tag.
#[derive(Debug)]
pub(crate) struct Page {
    bytes: Bytes,
    media: HeaderValue,
    cache: HeaderValue,
    etag: HeaderValue,
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
        let tag = format!("\"{}\"", digest.get(..24).unwrap_or(&digest));
        let etag = HeaderValue::try_from(tag).map_err(ApiError::internal)?;
        Ok(Self {
            bytes,
            media,
            cache,
            etag,
        })
    }

    /// The page, or 304 when the client has it already.
    pub(crate) fn respond(&self, headers: &HeaderMap) -> Response {
        let is_known = headers
            .get(IF_NONE_MATCH)
            .is_some_and(|tags| self.is_among(tags));
        let mut response = if is_known {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            let mut response = Response::new(Body::from(self.bytes.clone()));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, self.media.clone());
            response
        };
        response.headers_mut().insert(ETAG, self.etag.clone());
        response
            .headers_mut()
            .insert(CACHE_CONTROL, self.cache.clone());
        response
    }

    /// Weak comparison, as RFC 9110 13.1.2 has it.
    fn is_among(&self, tags: &HeaderValue) -> bool {
        let (Ok(tags), Ok(own)) = (tags.to_str(), self.etag.to_str()) else {
            return false;
        };
        let mut each = tags
            .split(',')
            .map(|tag| tag.trim().trim_start_matches("W/"));
        each.any(|tag| tag == own || tag == "*")
    }
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
