use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use reqwest::Url;
use secrecy::SecretString;
use serde::Serialize;

use crate::config::BearerToken;
use crate::error::OutboundError;

/// A request to the client's own origin: method, path below the base URL, query, body.
pub struct OutboundRequest {
    pub(crate) method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    pub(crate) body: Option<(&'static str, Bytes)>,
    pub(crate) total_timeout: Option<Duration>,
    pub(crate) bearer: Option<BearerToken>,
    pub(crate) basic: Option<SecretString>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl OutboundRequest {
    /// A request for the path made of `segments` below the base URL. Each segment is
    /// percent-encoded, so an id from outside cannot reach another path.
    #[must_use]
    pub fn new(method: Method, segments: &[&str]) -> Self {
        Self {
            method,
            path: segments
                .iter()
                .map(|segment| (*segment).to_owned())
                .collect(),
            query: Vec::new(),
            body: None,
            total_timeout: None,
            bearer: None,
            basic: None,
            headers: Vec::new(),
        }
    }

    /// A `GET`; see [`OutboundRequest::new`].
    #[must_use]
    pub fn get(segments: &[&str]) -> Self {
        Self::new(Method::GET, segments)
    }

    /// A `POST`; see [`OutboundRequest::new`].
    #[must_use]
    pub fn post(segments: &[&str]) -> Self {
        Self::new(Method::POST, segments)
    }

    /// A `DELETE`; see [`OutboundRequest::new`].
    #[must_use]
    pub fn delete(segments: &[&str]) -> Self {
        Self::new(Method::DELETE, segments)
    }

    /// Adds one query parameter; the value is percent-encoded.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Sets a JSON body.
    ///
    /// # Errors
    /// [`OutboundError::NotSent`] when the value cannot be written as JSON.
    pub fn json(mut self, body: &impl Serialize) -> Result<Self, OutboundError> {
        let text = serde_json::to_vec(body).map_err(OutboundError::unencodable)?;
        self.body = Some(("application/json", Bytes::from(text)));
        Ok(self)
    }

    /// Sets a JSON body that is written already, and sends exactly these bytes: for what is signed.
    #[must_use]
    pub fn json_text(mut self, text: String) -> Self {
        self.body = Some(("application/json", Bytes::from(text)));
        self
    }

    /// Sets a body of form fields (`application/x-www-form-urlencoded`); names and values are encoded.
    #[must_use]
    pub fn form<N: AsRef<str>, V: AsRef<str>>(
        mut self,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(fields);
        let text = Bytes::from(text.finish());
        self.body = Some(("application/x-www-form-urlencoded", text));
        self
    }

    /// Replaces the client's total time-out for this request; its limit on silence stays.
    #[must_use]
    pub const fn total_timeout(mut self, timeout: Duration) -> Self {
        self.total_timeout = Some(timeout);
        self
    }

    /// Sends this token instead of the client's own: for peers that want a fresh one each time.
    #[must_use]
    pub fn bearer(mut self, token: BearerToken) -> Self {
        self.bearer = Some(token);
        self
    }

    /// Sends this as the user of HTTP's Basic scheme, without a password: how some peers take a key.
    #[must_use]
    pub fn basic(mut self, user: SecretString) -> Self {
        self.basic = Some(user);
        self
    }

    /// Adds a header that holds no secret.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Its method.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    pub(crate) fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        if !self.path.is_empty()
            && let Ok(mut path) = url.path_segments_mut()
        {
            path.pop_if_empty()
                .extend(self.path.iter().map(|segment| inert(segment)));
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }
}

// `extend` drops "." and ".." as segments; a foreign id with that text must not shorten the path.
fn inert(segment: &str) -> &str {
    match segment {
        "." | ".." | "" => "-",
        other => other,
    }
}

impl fmt::Debug for OutboundRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundRequest")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("body_bytes", &self.body.as_ref().map(|it| it.1.len()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(base: &str, request: &OutboundRequest, expected: &str) {
        assert_eq!(request.url(&Url::parse(base).unwrap()).as_str(), expected);
    }

    #[test]
    fn the_path_goes_below_the_base() {
        let request = OutboundRequest::get(&["instances", "4f0f"]);
        check(
            "https://a.example/v2",
            &request,
            "https://a.example/v2/instances/4f0f",
        );
        check(
            "https://a.example/v2/",
            &request,
            "https://a.example/v2/instances/4f0f",
        );
        check(
            "https://a.example",
            &request,
            "https://a.example/instances/4f0f",
        );
    }

    #[test]
    fn a_foreign_id_cannot_leave_its_segment() {
        let request = OutboundRequest::get(&["instances", "../account?x=1#y"]);
        let base = "https://a.example/v2";
        check(
            base,
            &request,
            "https://a.example/v2/instances/..%2Faccount%3Fx=1%23y",
        );
        check(
            base,
            &OutboundRequest::get(&["instances", ".."]),
            "https://a.example/v2/instances/-",
        );
        check(
            base,
            &OutboundRequest::get(&["instances", ""]),
            "https://a.example/v2/instances/-",
        );
    }

    #[test]
    fn query_values_are_encoded_and_a_key_in_the_base_is_kept() {
        let request = OutboundRequest::get(&["x"])
            .query("tag", "x402-op=7f")
            .query("cursor", "a+/=");
        check(
            "https://a.example/?apikey=k",
            &request,
            "https://a.example/x?apikey=k&tag=x402-op%3D7f&cursor=a%2B%2F%3D",
        );
    }

    #[test]
    fn form_fields_are_encoded_and_never_shown() {
        let key = SecretString::from("sk_secret");
        let request = OutboundRequest::post(&["x"]).basic(key);
        let request = request.form([("a[b]", "c&d=é +"), ("token", "hidden")]);
        let (kind, body) = request.body.clone().unwrap();
        assert_eq!(kind, "application/x-www-form-urlencoded");
        assert_eq!(&body[..], b"a%5Bb%5D=c%26d%3D%C3%A9+%2B&token=hidden");
        let shown = format!("{request:?}");
        assert!(
            !shown.contains("hidden") && !shown.contains("sk_"),
            "{shown}"
        );
    }

    #[test]
    fn no_segments_means_the_base_itself() {
        let request = OutboundRequest::post(&[]);
        check(
            "https://rpc.example/v3/key",
            &request,
            "https://rpc.example/v3/key",
        );
    }
}
