//! A span for each request, in the trace of the client where it names one.

use axum::extract::{MatchedPath, Request};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use compute_engine::TRACED;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::metrics::{NO_ROUTE, method_word};

/// The header of the W3C that names a trace and a span of it.
const TRACEPARENT: &str = "traceparent";

/// The header that carries a request's id.
const REQUEST_ID: &str = "x-request-id";

/// Of all that a client says about its trace only the ids: the rest would be text of a stranger in our
/// traces.
struct Ids<'a>(&'a HeaderMap);

impl Extractor for Ids<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        if key != TRACEPARENT {
            return None;
        }
        self.0.get(TRACEPARENT)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

/// The span that a client names, if it does.
fn parent_of(headers: &HeaderMap) -> Option<Context> {
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Ids(headers));
    parent.span().span_context().is_valid().then_some(parent)
}

/// The middleware around the public routes.
pub(crate) async fn trace_requests(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let method = method_word(request.method().as_str());
    let span = tracing::info_span!(
        target: TRACED, "request",
        otel.name = format!("{method} {route}"), otel.kind = "server", otel.status_code = Empty,
        http.request.method = method, http.route = route, http.response.status_code = Empty,
        request.id = Empty
    );
    if let Some(parent) = parent_of(request.headers()) {
        // Fails only where nobody listens for spans.
        let _ = span.set_parent(parent);
    }
    let response = next.run(request).instrument(span.clone()).await;
    note(&span, &response);
    response
}

fn note(span: &Span, response: &Response) {
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    let id = response.headers().get(REQUEST_ID);
    if let Some(id) = id.and_then(|id| id.to_str().ok()) {
        span.record("request.id", id);
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn trace_of(headers: &[(&'static str, &'static str)]) -> Option<String> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| ((*name).parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        let parent = parent_of(&headers)?;
        let context = parent.span().span_context().clone();
        assert!(context.is_remote());
        assert_eq!(context.trace_state().header(), "");
        Some(context.trace_id().to_string())
    }

    #[test]
    fn a_trace_is_continued_by_its_ids_alone() {
        let named = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = "0af7651916cd43dd8448eb211c80319c".to_owned();
        assert_eq!(trace_of(&[("traceparent", named)]), Some(trace.clone()));
        let with_state = [("traceparent", named), ("tracestate", "a=secret")];
        assert_eq!(trace_of(&with_state), Some(trace));
        for bad in [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "zz-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(trace_of(&[("traceparent", bad)]), None, "{bad}");
        }
        assert_eq!(trace_of(&[("tracestate", "a=secret")]), None);
    }
}
