//! What every request passes: its id, the limits, and the rendering of whatever went wrong.
//!
//! One layer instead of a stack of them: an unpaid request is answered in microseconds, and each
//! layer would cost it an allocation or two.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use compute_engine::Error;
use compute_mpp::ProblemType;
use futures::FutureExt as _;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::sync::SemaphorePermit;

use crate::app::{App, Mode};
use crate::compress;
use crate::error::{ApiError, Carried};
use crate::render::problem::{self, Asked};
use crate::report;
use crate::request_id::X_REQUEST_ID;
use crate::standing::Standing;
use crate::visit::{Reach, Shown, Visit};

const X_COMPUTE_MODE: HeaderName = HeaderName::from_static("x-compute-mode");
const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");

/// Answer headers that scripts in browsers may read (x402.md 4.2).
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE, WWW-Authenticate, Payment-Receipt, \
     X-Request-Id, Retry-After, Idempotent-Replayed, RateLimit, RateLimit-Policy, ETag",
);

/// Request headers that scripts in browsers may send.
const ACCEPTED: HeaderValue = HeaderValue::from_static(
    "Content-Type, X-PAYMENT, PAYMENT-SIGNATURE, Authorization, Payment-Authorization, Accept-Payment, \
     Idempotency-Key, X-Request-Id, \
     X-API-Key, X-Auth-Address, X-Auth-Chain, X-Auth-Signature, X-Auth-Timestamp, X-Auth-Nonce, \
     X-Auth-Sig-Encoding",
);

/// The stable code of an answer that is a problem, in the extensions of the answer, for whoever counts
/// them. The table of errors has every code there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub Cow<'static, str>);

/// The middleware around all routes.
pub(crate) async fn front_door(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Response {
    let visit = Visit::of(&request, &app);
    if let Some(sender) = visit.sender() {
        request.extensions_mut().insert(sender);
    }
    let tally = visit.tally();
    if let Some(tally) = tally.clone() {
        request.extensions_mut().insert(tally);
    }
    let mut standing = None;
    let mut response = match admit(&visit, &app, &mut standing).await {
        Err(refused) => refused.into_response(),
        Ok(_permit) => match AssertUnwindSafe(next.run(request)).catch_unwind().await {
            Ok(response) if visit.is_question => answer_question(response, visit.open_methods),
            Ok(response) => response,
            Err(_) => ApiError::Panicked.into_response(),
        },
    };
    let carried = response
        .extensions_mut()
        .remove::<Carried>()
        .and_then(|it| it.take());
    if let Some(error) = carried {
        let error = charge_afterwards(error, &visit, &app, &mut standing);
        report::log(&error, &visit.id);
        let asked = Asked {
            id: &visit.id,
            by_credential: visit.is_credential,
        };
        let refusal = Refusal(error.row().code);
        response = problem::render(&error, asked, &app, response);
        response.extensions_mut().insert(refusal);
    }
    let takes_gzip = visit.takes_gzip;
    let standing = standing.or_else(|| tally?.standing());
    if let Some(standing) = standing {
        app.policies().show(&standing, response.headers_mut());
    }
    add_headers(response.headers_mut(), visit, &app);
    compress::negotiate(response, takes_gzip).await
}

/// Lets a request in, within the limits.
///
/// A request that shows a payment or credentials is not counted here: a repeat of a known payment
/// must never be turned away (decisions.md 28), and who is known has proved more than an address.
async fn admit<'a>(
    visit: &Visit,
    app: &'a App,
    standing: &mut Option<Standing>,
) -> Result<Option<SemaphorePermit<'a>>, ApiError> {
    if visit.is_counted && visit.shown == Shown::Nothing {
        let (now, counted) = app.charge(visit.address);
        *standing = Some(now);
        counted.map_err(|wait| ApiError::RateLimited { wait })?;
    }
    if !visit.is_answerable {
        return Err(ApiError::NotAcceptable);
    }
    if visit.is_probe {
        // A busy server is alive: its supervisor must not kill it for having no place left.
        return Ok(None);
    }
    if visit.shown == Shown::Payment {
        // Turned away, a paying client might pay again: it waits for its turn instead, and is told
        // before anything settles when the turn does not come.
        let patience = app.settings().limits.payment_wait;
        return match tokio::time::timeout(patience, app.in_flight().acquire()).await {
            Ok(place) => Ok(place.ok()),
            Err(_) => Err(ApiError::Overloaded),
        };
    }
    app.in_flight()
        .try_acquire()
        .map(Some)
        .map_err(|_| ApiError::Overloaded)
}

/// A payment or credentials that were worth nothing count after all, and what certainly is no
/// repeat of a known payment turns into 429 when the budget is used up.
fn charge_afterwards(
    error: ApiError,
    visit: &Visit,
    app: &App,
    standing: &mut Option<Standing>,
) -> ApiError {
    let is_worthless =
        visit.is_counted && visit.shown != Shown::Nothing && proves_nothing(&error, visit);
    if !is_worthless {
        return error;
    }
    let (now, counted) = app.charge(visit.address);
    *standing = Some(now);
    match counted {
        Err(wait) if may_be_turned_away(&error, visit) => ApiError::RateLimited { wait },
        _ => error,
    }
}

/// Whether anybody could have got this answer.
fn proves_nothing(error: &ApiError, visit: &Visit) -> bool {
    match error {
        // A repeat: that it was declined is known.
        ApiError::Declined(declined) => !declined.replayed,
        // It takes good credentials to learn this.
        ApiError::Engine(Error::InsufficientCredits { .. }) => false,
        ApiError::Engine(Error::NotFound) => true,
        // Transfers are public, and a challenge can be copied: this tells which of them are used. A
        // payment of x402 was signed by whoever shows it.
        ApiError::Engine(Error::PaymentAlreadyUsed) => visit.is_credential,
        _ => matches!(
            error.row().status,
            StatusCode::BAD_REQUEST
                | StatusCode::UNAUTHORIZED
                | StatusCode::NOT_ACCEPTABLE
                | StatusCode::PAYMENT_REQUIRED
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNSUPPORTED_MEDIA_TYPE
                | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        ),
    }
}

/// Behind a refused payment may still be one that is known; not so behind one that cannot be read,
/// that belongs to no order, or that is not there after all. Nor does a payment excuse credentials that
/// are false, whoever made it.
fn may_be_turned_away(error: &ApiError, visit: &Visit) -> bool {
    let is_no_payment = match error {
        ApiError::Engine(Error::PaymentRequired {
            problem: Some(problem),
            ..
        }) => matches!(
            problem.kind,
            // No challenge of ours: nothing that it bought can stand behind it.
            Some(ProblemType::MalformedCredential | ProblemType::InvalidChallenge)
        ),
        ApiError::Engine(
            Error::NotFound
            | Error::PaymentMalformed { .. }
            | Error::PaymentRequired { problem: None, .. }
            | Error::Unauthenticated(_)
            | Error::MethodUnsupported,
        )
        | ApiError::HeadersTooLarge
        | ApiError::SeveralPayments => true,
        ApiError::Engine(Error::PaymentAlreadyUsed) => visit.is_credential,
        _ => false,
    };
    is_no_payment || visit.shown == Shown::Claim
}

/// The answer to a question of what a route does; a path without a route stays 404. Scripts of other
/// origins are told where they may call. Which methods the route has is known to the router, which puts
/// it into `Allow` of what no method answers.
fn answer_question(unasked: Response, open_methods: Option<&'static str>) -> Response {
    if unasked.status() != StatusCode::METHOD_NOT_ALLOWED {
        return unasked;
    }
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Some(methods) = open_methods {
        let headers = response.headers_mut();
        let methods = HeaderValue::from_static(methods);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ACCEPTED);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

fn add_headers(headers: &mut HeaderMap, visit: Visit, app: &App) {
    headers.insert(X_REQUEST_ID, visit.id.header());
    if visit.reach == Reach::Anyone {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    if app.settings().mode == Mode::Dev {
        headers.insert(X_COMPUTE_MODE, HeaderValue::from_static("dev"));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}
