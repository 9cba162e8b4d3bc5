//! Requests: how many, how long, and why they were refused.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use compute_http::Refusal;
use metrics::{counter, gauge, histogram};

use crate::ambient::Stopwatch;

/// What is not in the table of routes.
pub(crate) const NO_ROUTE: &str = "none";

/// Counts a request that is being answered, also when its client leaves.
struct InFlight;

impl InFlight {
    fn enter() -> Self {
        gauge!("compute_http_requests_in_flight").increment(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!("compute_http_requests_in_flight").decrement(1.0);
    }
}

/// The middleware around the public routes.
pub(crate) async fn meter_requests(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = method_word(request.method().as_str());
    let in_flight = InFlight::enter();
    let stopwatch = Stopwatch::start();
    let response = next.run(request).await;
    let took = stopwatch.elapsed();
    drop(in_flight);
    let route = route.map_or_else(|| NO_ROUTE.to_owned(), |route| route.as_str().to_owned());
    let class = class(response.status().as_u16());
    if let Some(Refusal(code)) = response.extensions().get::<Refusal>() {
        let labels = [("route", route.clone()), ("code", code.to_string())];
        counter!("compute_http_refusals_total", &labels).increment(1);
    }
    let labels = [
        ("route", route.clone()),
        ("method", method.to_owned()),
        ("status", class.to_owned()),
    ];
    counter!("compute_http_requests_total", &labels).increment(1);
    histogram!("compute_http_request_seconds", "route" => route).record(took);
    response
}

/// A client may invent methods.
pub(crate) fn method_word(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
}

/// 402 is an answer like a price, so it has a class of its own.
const fn class(status: u16) -> &'static str {
    match status {
        402 => "402",
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_few_values() {
        assert_eq!(method_word("POST"), "POST");
        assert_eq!(method_word("BREW"), "other");
        for (status, expected) in [
            (200, "2xx"),
            (204, "2xx"),
            (304, "3xx"),
            (402, "402"),
            (404, "4xx"),
            (503, "5xx"),
        ] {
            assert_eq!(class(status), expected);
        }
    }
}
