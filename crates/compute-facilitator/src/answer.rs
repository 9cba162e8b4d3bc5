//! An answer in the words of the interface, whatever route it is for.

use axum::Json;
use axum::response::{IntoResponse, Response};
use compute_wallet::WalletAddress;
use compute_x402::facilitator::service::{invalid_answer, unsettled_answer};
use compute_x402::{ErrorCode, Network, Version};
use http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};

/// Which of the two questions is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Verify,
    Settle,
}

/// A no, or no answer. Boxed, because it is larger than what is accepted.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
    pub(crate) payer: Option<WalletAddress>,
    /// What was sent for the payment, when something was.
    pub(crate) transaction: Option<String>,
    /// In which version to name which network.
    pub(crate) network: Option<(Version, Network)>,
}

impl Refusal {
    pub(crate) fn new(
        status: StatusCode,
        code: ErrorCode,
        message: impl Into<String>,
    ) -> Box<Self> {
        Box::new(Self {
            status,
            code,
            message: message.into(),
            payer: None,
            transaction: None,
            network: None,
        })
    }

    pub(crate) fn paid_by(mut self: Box<Self>, payer: WalletAddress) -> Box<Self> {
        self.payer = Some(payer);
        self
    }

    pub(crate) fn on(mut self: Box<Self>, version: Version, network: &Network) -> Box<Self> {
        self.network = Some((version, network.clone()));
        self
    }

    pub(crate) fn sent(mut self: Box<Self>, transaction: Option<String>) -> Box<Self> {
        self.transaction = transaction;
        self
    }

    pub(crate) fn to_response(&self, question: Question) -> Response {
        let body = match question {
            Question::Verify => invalid_answer(&self.code, &self.message, self.payer.as_ref()),
            Question::Settle => {
                let (version, network) = match &self.network {
                    Some((version, network)) => (*version, Some(network)),
                    None => (Version::V2, None),
                };
                unsettled_answer(
                    version,
                    network,
                    (&self.code, &self.message),
                    self.transaction.as_deref(),
                    self.payer.as_ref(),
                )
            }
        };
        let mut response = json(self.status, &body);
        let extra: Option<(HeaderName, &str)> = match self.status {
            StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
            StatusCode::TOO_MANY_REQUESTS => Some((RETRY_AFTER, "60")),
            StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, "5")),
            _ => None,
        };
        if let Some((name, value)) = extra
            && let Ok(value) = HeaderValue::try_from(value)
        {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// Answers are about one payment at one moment: nobody keeps them.
pub(crate) fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    let mut response = (status, Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
