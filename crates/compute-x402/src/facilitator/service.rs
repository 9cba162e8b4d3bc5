//! The other side of the interface: what a facilitator is asked, and the answers it gives.

use std::fmt;
use std::sync::Arc;

use compute_wallet::WalletAddress;
use serde_json::{Map, Value, json};

use crate::amount::Amount;
use crate::error_code::ErrorCode;
use crate::networks::Network;
use crate::offer::{Offer, Recipient};
use crate::payload::{DecodeError, PaymentPayload, Version};
use crate::strict_json::parse_object;
use crate::token::TokenTerms;
use crate::wire::v2::EXACT;

/// The longest body of `/verify` and `/settle` that is read, in bytes.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// The body of `POST /verify` and `POST /settle`: a payment, and what it must pay.
///
/// Nothing in it is believed: [`FacilitatorRequest::offer`] turns it into an offer of a token that
/// the facilitator itself knows, and [`verify`](crate::verify()) checks the payment against that.
#[derive(Clone)]
pub struct FacilitatorRequest {
    version: Version,
    payment: PaymentPayload,
    requirements: Map<String, Value>,
}

/// Why a request or its requirements cannot be used. Its text is a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Larger than [`MAX_REQUEST_BYTES`], or not one strict JSON object.
    #[error("the body is not one JSON object of at most 64 KiB")]
    Body,
    /// The payment in it cannot be read.
    #[error("the member paymentPayload is not a payment")]
    Payment(#[source] DecodeError),
    /// The versions of request and payment differ, or one is missing.
    #[error("x402Version of request and payment must be the same, 1 or 2")]
    Version,
    /// A member of the requirements is missing or malformed.
    #[error("the member {0} of paymentRequirements is missing or malformed")]
    Requirement(&'static str),
    /// The scheme is not `exact`.
    #[error("only the scheme exact is settled here")]
    Scheme,
    /// The network or the token is another one.
    #[error("this token is not settled here")]
    Token,
}

impl RequestError {
    /// The protocol code to answer with.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Body => ErrorCode::InvalidPayload,
            Self::Payment(error) => error.code(),
            Self::Version => ErrorCode::InvalidX402Version,
            Self::Requirement(_) => ErrorCode::InvalidPaymentRequirements,
            Self::Scheme => ErrorCode::UnsupportedScheme,
            Self::Token => ErrorCode::InvalidNetwork,
        }
    }
}

impl FacilitatorRequest {
    /// Reads a body: strictly, with a limit on its length and depth.
    ///
    /// # Errors
    /// When the body is no request.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        if body.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::Body);
        }
        let text = std::str::from_utf8(body).map_err(|_| RequestError::Body)?;
        let mut members = parse_object(text).map_err(|_| RequestError::Body)?;
        let Some(Value::Object(requirements)) = members.remove("paymentRequirements") else {
            return Err(RequestError::Requirement("paymentRequirements"));
        };
        let payment = members.remove("paymentPayload").unwrap_or_default();
        let payment = PaymentPayload::from_json(payment).map_err(RequestError::Payment)?;
        let version = payment.version();
        let stated = members.get("x402Version").and_then(Value::as_u64);
        // Some clients of version 1 name the version in the payment only.
        if stated.is_some_and(|number| number != u64::from(version.number())) {
            return Err(RequestError::Version);
        }
        Ok(Self {
            version,
            payment,
            requirements,
        })
    }

    /// The protocol version, in which to answer.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The payment.
    #[must_use]
    pub const fn payment(&self) -> &PaymentPayload {
        &self.payment
    }

    /// The required payment as an offer of a token that the facilitator settles.
    ///
    /// # Errors
    /// When a member cannot be used, or the token is another one.
    pub fn offer(&self, token: &Arc<TokenTerms>) -> Result<Offer, RequestError> {
        if self.text("scheme")? != EXACT {
            return Err(RequestError::Scheme);
        }
        let network = token.network();
        let named = self.text("network")?;
        if !network.is_named(named) || self.address("asset", network)? != token.asset() {
            return Err(RequestError::Token);
        }
        let amount = match self.version {
            Version::V1 => "maxAmountRequired",
            Version::V2 => "amount",
        };
        let amount =
            Amount::parse(self.text(amount)?).map_err(|_| RequestError::Requirement(amount))?;
        if amount.get() == 0 {
            return Err(RequestError::Requirement("amount"));
        }
        let pay_to = self.address("payTo", network)?;
        let seconds = self.requirements.get("maxTimeoutSeconds");
        let seconds = seconds
            .and_then(Value::as_u64)
            .and_then(|seconds| u32::try_from(seconds).ok())
            .ok_or(RequestError::Requirement("maxTimeoutSeconds"))?;
        Ok(Offer::new(
            Arc::clone(token),
            Recipient::new(pay_to),
            amount,
            seconds,
        ))
    }

    fn text(&self, name: &'static str) -> Result<&str, RequestError> {
        let text = self.requirements.get(name).and_then(Value::as_str);
        text.ok_or(RequestError::Requirement(name))
    }

    fn address(
        &self,
        name: &'static str,
        network: &Network,
    ) -> Result<WalletAddress, RequestError> {
        WalletAddress::parse(network.namespace(), self.text(name)?)
            .map_err(|_| RequestError::Requirement(name))
    }
}

impl fmt::Debug for FacilitatorRequest {
    /// The payment is worth money until it is settled.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FacilitatorRequest")
            .field("payment", &self.payment)
            .finish_non_exhaustive()
    }
}

/// The answer of `/verify` for a payment that would settle.
#[must_use]
pub fn valid_answer(payer: &WalletAddress) -> Value {
    json!({ "isValid": true, "payer": address_text(payer) })
}

/// The answer of `/verify` for a payment that would not.
#[must_use]
pub fn invalid_answer(code: &ErrorCode, message: &str, payer: Option<&WalletAddress>) -> Value {
    with_payer(
        json!({ "isValid": false, "invalidReason": code, "invalidMessage": message }),
        payer,
    )
}

/// The answer of `/settle` for a payment that settled.
#[must_use]
pub fn settled_answer(
    version: Version,
    offer: &Offer,
    transaction: &str,
    payer: &WalletAddress,
) -> Value {
    json!({
        "success": true,
        "transaction": transaction,
        "network": network_name(version, offer.network()),
        "payer": address_text(payer),
        "amount": offer.amount(),
    })
}

/// The answer of `/settle` for a payment that did not settle, or not yet: then the code is
/// [`ErrorCode::SettlementPending`], and `transaction` what was sent.
#[must_use]
pub fn unsettled_answer(
    version: Version,
    network: Option<&Network>,
    (code, message): (&ErrorCode, &str),
    transaction: Option<&str>,
    payer: Option<&WalletAddress>,
) -> Value {
    with_payer(
        json!({
            "success": false,
            "errorReason": code,
            "errorMessage": message,
            "transaction": transaction.unwrap_or_default(),
            "network": network.map_or("", |network| network_name(version, network)),
        }),
        payer,
    )
}

/// The answer of `/supported`: every token in both versions, and the accounts that send.
#[must_use]
pub fn supported_answer<'a>(
    networks: impl IntoIterator<Item = &'a Network>,
    extensions: &[&str],
    signers: &Map<String, Value>,
) -> Value {
    let mut kinds = Vec::new();
    for network in networks {
        for version in [Version::V1, Version::V2] {
            kinds.push(json!({
                "x402Version": version.number(),
                "scheme": EXACT,
                "network": network_name(version, network),
            }));
        }
    }
    json!({ "kinds": kinds, "extensions": extensions, "signers": signers })
}

fn network_name(version: Version, network: &Network) -> &str {
    match version {
        Version::V1 => network.v1_name(),
        Version::V2 => network.caip2(),
    }
}

fn with_payer(mut answer: Value, payer: Option<&WalletAddress>) -> Value {
    if let (Some(payer), Some(members)) = (payer, answer.as_object_mut()) {
        members.insert("payer".to_owned(), json!(address_text(payer)));
    }
    answer
}

fn address_text(address: &WalletAddress) -> String {
    match address {
        WalletAddress::Evm(address) => address.to_checksum(),
        WalletAddress::Solana(address) => address.to_string(),
    }
}
