//! The answers that many operations share: one component for each status, and which operation may
//! come to which of them.

use std::collections::BTreeMap;

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::{
    Content, Object, Ref, RefOr, Response, ResponseBuilder, Type, schema::ObjectBuilder,
};
use utoipa::{IntoResponses, ToSchema};

use crate::render::challenge::ChallengeBody;
use crate::render::problem::Problem;

/// A status that errors have: its component, and when it is answered.
struct Refusal {
    status: u16,
    name: &'static str,
    when: &'static str,
}

const fn refusal(status: u16, name: &'static str, when: &'static str) -> Refusal {
    Refusal { status, name, when }
}

const REFUSALS: [Refusal; 17] = [
    refusal(
        400,
        "BadRequest",
        "The request breaks a rule; `field` names the member, `detail` the rule. Nothing was done.",
    ),
    refusal(
        401,
        "Unauthorized",
        "Who calls must be known, and is not: no credentials, bad ones, or a nonce that was used.",
    ),
    refusal(
        402,
        "Payment",
        "The price, and every way to pay it. Pay one of them and send the same request again with the \
         payment. `application/problem+json` without `accepts` when credits were to pay and do not suffice.",
    ),
    refusal(
        403,
        "Forbidden",
        "The caller, or the payer, may not do this. Nothing was settled.",
    ),
    refusal(
        404,
        "NotFound",
        "There is no such thing, or it is somebody else's.",
    ),
    refusal(
        406,
        "NotAcceptable",
        "`Accept` takes no form that there is; JSON is always one.",
    ),
    refusal(408, "Slow", "The body did not arrive in time."),
    refusal(
        409,
        "Conflict",
        "Not in this state: `code` says why. With `status_url` another operation is under way; do not pay again.",
    ),
    refusal(
        412,
        "Approval",
        "The token must be approved for Permit2 first. Nothing was settled.",
    ),
    refusal(413, "TooLarge", "The body is too large."),
    refusal(
        415,
        "MediaType",
        "Send JSON in UTF-8, uncompressed, with `Content-Type: application/json`.",
    ),
    refusal(
        422,
        "NameReused",
        "This `Idempotency-Key` stands for another request.",
    ),
    refusal(
        429,
        "Limited",
        "Too many requests; nothing was done. See `Retry-After`.",
    ),
    refusal(
        431,
        "Headers",
        "The headers that may hold a credential are too large.",
    ),
    refusal(
        500,
        "Internal",
        "A fault of the service; `request_id` helps to find it.",
    ),
    refusal(
        502,
        "Refused",
        "The provider refused. `details.credited` says what became credit; what cost nothing is as it was.",
    ),
    refusal(
        503,
        "Unavailable",
        "Not now: see `code` and `Retry-After`. With `details` what was paid is credit now.",
    ),
];

/// Declares a set of statuses that an operation may come to.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: $($status:literal)+;)+) => { $(
        $(#[$doc])*
        pub(crate) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                references(&[$($status),+])
            }
        }
    )+ };
}

refusals! {
    /// Of what is read from memory by anybody.
    Shown: 406 429 500 503;
    /// The same, with parameters.
    Filtered: 400 406 429 500 503;
    /// Of whoever must be known.
    Known: 400 401 403 406 408 413 415 429 500 503;
    /// The same, about one thing.
    Owned: 400 401 403 404 406 408 413 415 429 500 503;
    /// The same, where it may not be there yet.
    Receipted: 400 401 403 404 406 408 409 413 415 429 500 503;
    /// Of what is asked for and not bought.
    Quoted: 400 401 402 403 404 406 408 409 413 415 429 500 503;
    /// The same, where it is changed.
    Changed: 400 401 403 404 406 408 409 413 415 429 500 502 503;
    /// The same, where no provider is asked.
    Set: 400 401 403 404 406 408 409 413 415 429 500 503;
    /// Where keys are made.
    Made: 400 401 403 406 408 409 413 415 429 500 503;
    /// Of a purchase.
    Paid: 400 401 402 403 406 408 409 412 413 415 422 429 431 500 502 503;
    /// Of a purchase for a machine that there is.
    PaidFor: 400 401 402 403 404 406 408 409 412 413 415 422 429 431 500 502 503;
}

fn references(statuses: &[u16]) -> BTreeMap<String, RefOr<Response>> {
    let known = REFUSALS.iter();
    known
        .filter(|refusal| statuses.contains(&refusal.status))
        .map(|refusal| {
            let place = format!("#/components/responses/{}", refusal.name);
            (refusal.status.to_string(), RefOr::Ref(Ref::new(place)))
        })
        .collect()
}

/// The shared answers themselves.
pub(super) fn components() -> impl Iterator<Item = (String, Response)> {
    REFUSALS
        .iter()
        .map(|refusal| (refusal.name.to_owned(), component(refusal)))
}

/// One answer for all errors of a class (4 or 5) but those that stand by themselves.
pub(super) fn together(class: u16, apart: &[u16]) -> Response {
    let of_class = REFUSALS
        .iter()
        .filter(|refusal| refusal.status / 100 == class && !apart.contains(&refusal.status));
    let meanings: Vec<_> = of_class
        .clone()
        .map(|refusal| format!("{}: {}", refusal.status, refusal.when))
        .collect();
    let response = ResponseBuilder::new().description(meanings.join(" "));
    let statuses = of_class.map(|refusal| refusal.status);
    statuses.fold(problem(response), with_headers).build()
}

fn problem(response: ResponseBuilder) -> ResponseBuilder {
    let problem = Content::new(Some(Ref::from_schema_name(Problem::name())));
    response.content("application/problem+json", problem)
}

fn with_headers(response: ResponseBuilder, status: u16) -> ResponseBuilder {
    headers_of(status)
        .iter()
        .fold(response, |response, (name, meaning)| {
            let header = HeaderBuilder::new()
                .schema(Some(Object::with_type(Type::String)))
                .description(Some(*meaning));
            response.header(*name, header.build())
        })
}

fn component(refusal: &Refusal) -> Response {
    let response = ResponseBuilder::new().description(refusal.when);
    let mut response = with_headers(problem(response), refusal.status);
    if refusal.status == 402 {
        let challenge = Content::new(Some(Ref::from_schema_name(ChallengeBody::name())));
        response = response.content("application/json", challenge);
    }
    response.build()
}

const fn headers_of(status: u16) -> &'static [(&'static str, &'static str)] {
    match status {
        401 => &[("WWW-Authenticate", "`X402-Compute-Auth`")],
        402 => &[
            (
                "PAYMENT-REQUIRED",
                "Base64 of the x402 version 2 challenge, with every network.",
            ),
            (
                "WWW-Authenticate",
                "`Payment …`: one challenge for each method of the Payment scheme.",
            ),
            ("PAYMENT-RESPONSE", "Why an x402 payment was declined."),
        ],
        409 | 429 | 503 => &[(
            "Retry-After",
            "Seconds after which it is worth trying again.",
        )],
        _ => &[],
    }
}

/// The offers of a version 1 challenge; their JSON is written by the protocol's crate.
pub(crate) fn offers() -> utoipa::openapi::schema::Array {
    let text = |meaning: &str| {
        let text = ObjectBuilder::new().schema_type(Type::String);
        text.description(Some(meaning.to_owned()))
    };
    let mut offer = ObjectBuilder::new().schema_type(Type::Object);
    for (name, meaning) in [
        ("scheme", "`exact`."),
        ("network", "The network that the request named."),
        (
            "maxAmountRequired",
            "The price in the token's smallest unit.",
        ),
        (
            "resource",
            "What is bought: the absolute URL of the request.",
        ),
        ("description", "The same in words."),
        ("mimeType", "`application/json`."),
        ("payTo", "Who is paid."),
        ("asset", "The token."),
    ] {
        offer = offer.property(name, text(meaning)).required(name);
    }
    let offer = offer
        .property("maxTimeoutSeconds", Object::with_type(Type::Integer))
        .property("extra", Object::with_type(Type::Object));
    utoipa::openapi::schema::ArrayBuilder::new()
        .items(offer)
        .build()
}
