use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Query, Request};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use compute_testkit::listen::{bad_gateway, hang_up, is_hang_up, status};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Disturbance, Exchange, RequestNumber, Rule, Wire};
use crate::contract::{Contract, Message, Vendor};

/// The largest body that is looked at.
const MAX_BYTES: usize = 8 << 20;

pub(super) fn router(wire: Wire, double: Router) -> Router {
    let handler = move |request: Request| {
        let (wire, double) = (wire.clone(), double.clone());
        async move {
            if request.uri().path().starts_with("/v2") {
                wire.pass(double, request).await
            } else {
                ask(double, request).await
            }
        }
    };
    Router::new().fallback(handler)
}

async fn ask(double: Router, request: Request) -> Response {
    match double.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

impl Wire {
    async fn pass(&self, double: Router, request: Request) -> Response {
        let (mut parts, body) = request.into_parts();
        let body = to_bytes(body, MAX_BYTES).await.unwrap_or_default();
        let (number, rule) = self.note_request(parts.method.as_str(), &parts.uri, &body);
        if let Some(Rule::Hold {
            is_before: true,
            arrived,
            mut open,
        }) = rule.clone()
        {
            arrived.send_replace(true);
            // The gate is open when it is gone.
            let _ = open.wait_for(|is_open| *is_open).await;
        }
        if let Some(Rule::Disturb(disturbance)) = &rule {
            match disturbance {
                Disturbance::DropBefore => return hang_up(),
                Disturbance::SilenceBefore => return std::future::pending().await,
                Disturbance::Throttle { retry_after } => {
                    return self.told(number, self.throttled(*retry_after));
                }
                Disturbance::FailBefore { status, text } => {
                    return self.told(number, self.failed(*status, text));
                }
                Disturbance::PageBefore => return self.told(number, bad_gateway()),
                _ => {}
            }
        }
        self.change(number, |exchange| exchange.arrived = true);
        parts.extensions.insert(RequestNumber(number));
        let (method, path) = (parts.method.to_string(), parts.uri.path().to_owned());
        let answer = ask(double, Request::from_parts(parts, Body::from(body))).await;
        if is_hang_up(&answer) {
            return answer;
        }
        let (head, body) = answer.into_parts();
        let body = to_bytes(body, MAX_BYTES).await.unwrap_or_default();
        self.note_answer(&method, &path, head.status, &body);
        let answer = Response::from_parts(head, Body::from(body.clone()));
        self.afterwards(number, rule, answer, body).await
    }

    async fn afterwards(
        &self,
        number: usize,
        rule: Option<Rule>,
        answer: Response,
        body: Bytes,
    ) -> Response {
        match rule {
            Some(Rule::Hold {
                is_before: false,
                arrived,
                mut open,
            }) => {
                arrived.send_replace(true);
                let _ = open.wait_for(|is_open| *is_open).await;
                self.told(number, answer)
            }
            Some(Rule::Disturb(disturbance)) => match disturbance {
                Disturbance::DropAfter => hang_up(),
                Disturbance::SilenceAfter => std::future::pending().await,
                Disturbance::FailAfter { status, text } => {
                    self.told(number, self.failed(status, &text))
                }
                Disturbance::PageAfter => self.told(number, bad_gateway()),
                Disturbance::HalfAfter => {
                    let half = body.slice(..body.len() / 2);
                    self.told(number, (answer.status(), half).into_response())
                }
                Disturbance::Text(text) => {
                    self.told(number, (answer.status(), text).into_response())
                }
                _ => self.told(number, answer),
            },
            _ => self.told(number, answer),
        }
    }

    fn note_request(&self, method: &str, uri: &Uri, body: &Bytes) -> (usize, Option<Rule>) {
        let path = uri.path();
        let query = Query::<Vec<(String, String)>>::try_from_uri(uri);
        let query = query.map(|Query(pairs)| pairs).unwrap_or_default();
        let message = Message { method, path, body };
        let problems = Contract::of(self.vendor).check_request(&message, &query);
        let mut state = self.lock();
        state.violations.extend(problems);
        let number = state.exchanges.len();
        state.exchanges.push(Exchange {
            number,
            method: method.to_owned(),
            path: path.to_owned(),
            query,
            body: serde_json::from_slice(body).ok(),
            arrived: false,
            status: None,
        });
        let mut rules = state.rules.iter();
        let Some(index) = rules.position(|(call, ..)| call.fits(method, path)) else {
            return (number, None);
        };
        let Some((_, rule, times)) = state.rules.get_mut(index) else {
            return (number, None);
        };
        let rule = rule.clone();
        *times = times.saturating_sub(1);
        if *times == 0 {
            state.rules.remove(index);
        }
        (number, Some(rule))
    }

    fn note_answer(&self, method: &str, path: &str, status: StatusCode, body: &Bytes) {
        let message = Message { method, path, body };
        let problems = Contract::of(self.vendor).check_answer(&message, status.as_u16());
        self.lock().violations.extend(problems);
    }

    fn change(&self, number: usize, change: impl FnOnce(&mut Exchange)) {
        if let Some(exchange) = self.lock().exchanges.get_mut(number) {
            change(exchange);
        }
    }

    fn told(&self, number: usize, answer: Response) -> Response {
        let status = answer.status().as_u16();
        self.change(number, |exchange| exchange.status = Some(status));
        answer
    }

    fn failed(&self, code: u16, text: &str) -> Response {
        (status(code), Json(self.words(code, text))).into_response()
    }

    fn throttled(&self, retry_after: Option<u32>) -> Response {
        let text = match self.vendor {
            Vendor::Vultr => "rate limit exceeded",
            Vendor::DigitalOcean => "API rate limit exceeded.",
        };
        let mut answer = self.failed(429, text);
        if let Some(seconds) = retry_after {
            answer
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        answer
    }

    // The error body of either vendor.
    fn words(&self, code: u16, text: &str) -> Value {
        match self.vendor {
            Vendor::Vultr => json!({ "error": text, "status": code }),
            Vendor::DigitalOcean => {
                let id = match code {
                    401 => "unauthorized",
                    403 => "forbidden",
                    404 => "not_found",
                    429 => "too_many_requests",
                    422 => "unprocessable_entity",
                    _ => "server_error",
                };
                json!({ "id": id, "message": text })
            }
        }
    }
}
