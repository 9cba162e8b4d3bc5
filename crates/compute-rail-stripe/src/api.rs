//! The calls to Stripe, and what its errors mean.

use core::fmt;

use compute_outbound::{
    Answer, HeaderName, HeaderValue, OutboundClient, OutboundError, OutboundRequest, StatusCode,
};
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::intent::Intent;

/// The field that carries the buyer's token. Other versions of the API have it elsewhere.
pub(crate) const TOKEN_FIELD: &str = "shared_payment_granted_token";

/// The most that Stripe lists in one answer.
const PAGE: &str = "100";

/// More pages than this are not read: then the list is not complete.
const MAX_PAGES: usize = 50;

/// Why a call did not do what was asked. Says nothing of keys, tokens and cards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StripeError {
    /// Certainly nothing was done.
    #[error("the call was not made: {reason}")]
    NotSent {
        /// For the log.
        reason: String,
    },
    /// Stripe does not take our key, or not for this.
    #[error("Stripe does not accept the key")]
    Key,
    /// Stripe refused, and did nothing.
    #[error("Stripe refused: {code}")]
    Refused {
        /// Stripe's code, such as `charge_already_refunded`.
        code: String,
    },
    /// It may or may not have been done.
    #[error("the outcome is unknown: {reason}")]
    Unknown {
        /// For the log.
        reason: String,
    },
}

/// What Stripe says of a request that failed.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Objection {
    #[serde(rename = "type", default)]
    pub(crate) kind: String,
    pub(crate) code: Option<String>,
    pub(crate) decline_code: Option<String>,
    pub(crate) param: Option<String>,
    pub(crate) payment_intent: Option<Intent>,
}

#[derive(Deserialize)]
struct Body {
    error: Objection,
}

/// What came of a request.
pub(crate) enum Outcome<T> {
    Done(T),
    /// A definite refusal.
    Refused(Box<Objection>),
    Failed(StripeError),
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    has_more: bool,
}

pub(crate) struct Api {
    client: OutboundClient,
    key: SecretString,
    version: HeaderValue,
}

impl Api {
    pub(crate) const fn new(
        client: OutboundClient,
        key: SecretString,
        version: HeaderValue,
    ) -> Self {
        Self {
            client,
            key,
            version,
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, request: OutboundRequest) -> Outcome<T> {
        let version = HeaderName::from_static("stripe-version");
        let request = request.basic(self.key.clone());
        let answer = self
            .client
            .send(request.header(version, self.version.clone()));
        match answer.await {
            Ok(answer) => read(&answer),
            Err(error @ OutboundError::NotSent { .. }) => Outcome::Failed(StripeError::NotSent {
                reason: error.to_string(),
            }),
            Err(error) => Outcome::Failed(unknown(error)),
        }
    }

    /// Sends form fields; repeats under the same idempotency key are one request to Stripe.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        key: Option<&str>,
        fields: &[(String, String)],
    ) -> Outcome<T> {
        let fields = fields.iter().map(|(name, value)| (name, value));
        let mut request = OutboundRequest::post(path).form(fields);
        if let Some(key) = key {
            let Ok(value) = HeaderValue::from_str(key) else {
                return Outcome::Failed(StripeError::NotSent {
                    reason: "the idempotency key is no header".to_owned(),
                });
            };
            request = request.header(HeaderName::from_static("idempotency-key"), value);
        }
        self.get(request).await
    }

    /// Everything that fits some conditions, newest first; an error when that cannot be read to its
    /// end.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        conditions: &[(&'static str, String)],
        id: impl Fn(&T) -> &str,
    ) -> Result<Vec<T>, StripeError> {
        let mut all: Vec<T> = Vec::new();
        for _ in 0..MAX_PAGES {
            let mut request = OutboundRequest::get(path).query("limit", PAGE);
            for (name, value) in conditions {
                request = request.query(name, value.clone());
            }
            if let Some(last) = all.last() {
                request = request.query("starting_after", id(last));
            }
            let page: Page<T> = self.get(request).await.into_result()?;
            let is_empty = page.data.is_empty();
            all.extend(page.data);
            match (page.has_more, is_empty) {
                (false, _) => return Ok(all),
                (true, true) => break,
                (true, false) => {}
            }
        }
        Err(unknown("the list has no end"))
    }
}

impl<T> Outcome<T> {
    pub(crate) fn into_result(self) -> Result<T, StripeError> {
        match self {
            Self::Done(value) => Ok(value),
            Self::Refused(objection) => Err(StripeError::Refused {
                code: objection.code.unwrap_or(objection.kind),
            }),
            Self::Failed(error) => Err(error),
        }
    }
}

pub(crate) fn unknown(reason: impl fmt::Display) -> StripeError {
    StripeError::Unknown {
        reason: reason.to_string(),
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Outcome<T> {
    let status = answer.status;
    if status.is_success() {
        return match answer.json() {
            Ok(value) => Outcome::Done(value),
            Err(error) => Outcome::Failed(unknown(error)),
        };
    }
    if !status.is_client_error()
        || matches!(
            status,
            StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        )
    {
        return Outcome::Failed(unknown(format_args!("status {}", status.as_u16())));
    }
    // Whoever does not speak as Stripe does may be a machine between, which knows of no outcome.
    let Ok(Body { error }) = answer.json() else {
        return Outcome::Failed(unknown(format_args!("status {}", status.as_u16())));
    };
    if error.kind == "idempotency_error" {
        tracing::error!("an idempotency key of ours was used with other parameters");
        return Outcome::Failed(unknown("the idempotency key is in use for something else"));
    }
    let is_key = match status {
        StatusCode::UNAUTHORIZED => true,
        // A foreign token must not look as if our key were bad.
        StatusCode::FORBIDDEN => !error.is_about_token(),
        _ => false,
    };
    if is_key {
        return Outcome::Failed(StripeError::Key);
    }
    // Only these two are refusals; whatever else answers so may not be Stripe.
    if !matches!(error.kind.as_str(), "card_error" | "invalid_request_error") {
        return Outcome::Failed(unknown("an error of no kind that refuses"));
    }
    Outcome::Refused(Box::new(error))
}

impl Objection {
    pub(crate) fn is_about_token(&self) -> bool {
        let is_param = self
            .param
            .as_deref()
            .is_some_and(|it| it.contains(TOKEN_FIELD));
        let code = self.code.as_deref().unwrap_or_default();
        is_param || code.starts_with("shared_payment")
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("origin", &self.client.origin())
            .finish_non_exhaustive()
    }
}
