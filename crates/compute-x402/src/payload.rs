//! A payment as it arrived: decoded, of known version, not yet believed.

use std::fmt;

use serde_json::{Map, Value};

use crate::error_code::ErrorCode;
use crate::exact_evm::SignedAuthorization;
use crate::header::{self, HeaderError};
use crate::permit::SignedPermit;
use crate::permit2::SignedPermit2;
use crate::strict_json::{Part, parse_object, parse_outline};
use crate::wire::{v1, v2};

/// The protocol version a payment was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// Header `X-PAYMENT`, networks by word.
    V1,
    /// Header `PAYMENT-SIGNATURE`, networks by CAIP-2 id, the offer echoed.
    V2,
}

/// A payment as it arrived. Nothing in it is checked beyond its envelope; see [`crate::verify()`].
///
/// Holds the whole document, so that it can be stored and forwarded without loss. It is worth
/// money until it is settled: `Debug` leaves everything out but version and network.
#[derive(Clone, PartialEq, Eq)]
pub struct PaymentPayload {
    version: Version,
    scheme: String,
    network: String,
    envelope: Map<String, Value>,
    body: Body,
}

/// The part of a payment that is signed, told apart by its members.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body {
    /// A signed EIP-3009 authorization; for a token without EIP-3009 a permit in its members.
    Authorization(Box<SignedAuthorization>),
    /// A signed ERC-2612 permit under its own names.
    Permit(Box<SignedPermit>),
    /// A signed Permit2 transfer.
    Permit2(Box<SignedPermit2>),
    /// The base64 text of a Solana transaction.
    Transaction(String),
    /// A shape of another method.
    Unsupported,
    /// Meant to be one of these, but this member is missing or malformed.
    Malformed(&'static str),
}

/// Why headers or JSON are not a payment at all. The answer is 400, never a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The header is not base64 of one JSON object.
    #[error("the payment header cannot be decoded")]
    Header(#[source] HeaderError),
    /// Both payment headers are present and differ.
    #[error("the two payment headers differ")]
    HeadersDiffer,
    /// One payment header was sent more than once.
    #[error("a payment header was sent more than once")]
    HeaderRepeated,
    /// `x402Version` is missing or neither 1 nor 2.
    #[error("x402Version must be 1 or 2")]
    Version,
    /// A member of the envelope is missing or has the wrong type.
    #[error("the payment member {0} is missing or malformed")]
    Member(&'static str),
}

impl DecodeError {
    /// The protocol code to answer with.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Version => ErrorCode::InvalidX402Version,
            Self::Header(_) | Self::HeadersDiffer | Self::HeaderRepeated | Self::Member(_) => {
                ErrorCode::InvalidPayload
            }
        }
    }
}

/// Reads the payment from the values of `X-PAYMENT` and `PAYMENT-SIGNATURE`.
///
/// Either version may arrive in either header, and some clients send both: then they must be
/// identical. An absent or blank header is no payment: `None`.
///
/// # Errors
/// When the headers differ or are not a payment.
pub fn decode(
    x_payment: Option<&[u8]>,
    payment_signature: Option<&[u8]>,
) -> Result<Option<PaymentPayload>, DecodeError> {
    let first = x_payment.and_then(header::trim);
    let second = payment_signature.and_then(header::trim);
    let raw = match (first, second) {
        (Some(first), Some(second)) if first != second => return Err(DecodeError::HeadersDiffer),
        (Some(raw), _) | (None, Some(raw)) => raw,
        (None, None) => return Ok(None),
    };
    let text = header::decode_text(raw).map_err(DecodeError::Header)?;
    check_outline(&text)?;
    let envelope = parse_object(&text).map_err(|fault| DecodeError::Header(fault.into()))?;
    PaymentPayload::from_envelope(envelope).map(Some)
}

/// Like [`decode`], for servers that see every occurrence of a header: repeats are refused.
///
/// # Errors
/// When a header occurs twice, the headers differ, or they are not a payment.
pub fn decode_headers<'a>(
    x_payment: impl IntoIterator<Item = &'a [u8]>,
    payment_signature: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<PaymentPayload>, DecodeError> {
    decode(only(x_payment)?, only(payment_signature)?)
}

fn only<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<&'a [u8]>, DecodeError> {
    let mut values = values.into_iter();
    let first = values.next();
    if values.next().is_some() {
        Err(DecodeError::HeaderRepeated)
    } else {
        Ok(first)
    }
}

impl PaymentPayload {
    /// Reads a payment that was stored with [`PaymentPayload::to_json`].
    ///
    /// # Errors
    /// When the JSON is not a payment.
    pub fn from_json(json: Value) -> Result<Self, DecodeError> {
        match json {
            Value::Object(envelope) => Self::from_envelope(envelope),
            _ => Err(DecodeError::Header(HeaderError::NotAnObject)),
        }
    }

    /// The whole document as it arrived.
    #[must_use]
    pub fn to_json(&self) -> Value {
        Value::Object(self.envelope.clone())
    }

    /// The value for [`PaymentPayload::header_name`].
    #[must_use]
    pub fn to_header(&self) -> String {
        header::encode(&self.envelope, 1024)
    }

    /// The request header a payment of this version travels in.
    #[must_use]
    pub const fn header_name(&self) -> &'static str {
        match self.version {
            Version::V1 => v1::PAYMENT_HEADER,
            Version::V2 => v2::PAYMENT_HEADER,
        }
    }

    /// The protocol version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The scheme as sent; empty when none was.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The network as sent: a word, a CAIP-2 id, or empty when none was.
    #[must_use]
    pub fn network(&self) -> &str {
        &self.network
    }

    /// The id a client gave this payment through the `payment-identifier` extension.
    #[must_use]
    pub fn payment_identifier(&self) -> Option<&str> {
        find_payment_identifier(&self.envelope)?.as_str()
    }

    /// The URL the client says it pays for. Unsigned text of version 2: for logs only.
    #[must_use]
    pub fn resource_url(&self) -> Option<&str> {
        self.envelope.get("resource")?.get("url")?.as_str()
    }

    /// The signed part.
    #[must_use]
    pub const fn body(&self) -> &Body {
        &self.body
    }

    /// The echoed offer of version 2.
    pub(crate) fn accepted(&self) -> Option<&Map<String, Value>> {
        self.envelope.get("accepted")?.as_object()
    }

    pub(crate) fn extensions(&self) -> Option<&Value> {
        self.envelope
            .get("extensions")
            .filter(|extensions| extensions.is_object())
    }

    pub(crate) fn from_envelope(envelope: Map<String, Value>) -> Result<Self, DecodeError> {
        let (version, scheme, network) = read_version_and_terms(&envelope)?;
        let payload = read_payload(&envelope)?;
        if payload.is_empty() {
            return Err(DecodeError::Member("payload"));
        }
        let body = read_body(payload, envelope.get("extensions"))?;
        check_optional_members(&envelope)?;
        Ok(Self {
            version,
            scheme,
            network,
            envelope,
            body,
        })
    }
}

/// Refuses what is no payment before anything else of it is built: clients echo all extensions of a
/// seller, and junk of that size must not cost what a payment does.
fn check_outline(text: &str) -> Result<(), DecodeError> {
    const NOTHING: Part = Part::Members(&[]);
    const TERMS: Part = Part::Members(&[("scheme", NOTHING), ("network", NOTHING)]);
    let outline = parse_outline(
        text,
        &[
            ("x402Version", NOTHING),
            ("scheme", NOTHING),
            ("network", NOTHING),
            ("accepted", TERMS),
            ("payload", NOTHING),
        ],
    );
    let outline = outline.map_err(|fault| DecodeError::Header(fault.into()))?;
    read_version_and_terms(&outline)?;
    read_payload(&outline).map(drop)
}

fn read_version_and_terms(
    envelope: &Map<String, Value>,
) -> Result<(Version, String, String), DecodeError> {
    let version = match envelope.get("x402Version").and_then(Value::as_u64) {
        Some(1) => Version::V1,
        Some(2) => Version::V2,
        _ => return Err(DecodeError::Version),
    };
    let terms = match version {
        Version::V1 => {
            if envelope.contains_key("accepted") && !envelope.contains_key("scheme") {
                return Err(DecodeError::Member("scheme"));
            }
            envelope
        }
        Version::V2 => {
            let accepted = envelope.get("accepted").and_then(Value::as_object);
            accepted.ok_or(DecodeError::Member("accepted"))?
        }
    };
    let (scheme, network) = read_terms(terms)?;
    Ok((version, scheme, network))
}

fn read_payload(envelope: &Map<String, Value>) -> Result<&Map<String, Value>, DecodeError> {
    let payload = envelope.get("payload").and_then(Value::as_object);
    payload.ok_or(DecodeError::Member("payload"))
}

/// A missing scheme or network has its own code, so it is left empty here; a wrong type has not.
fn read_terms(terms: &Map<String, Value>) -> Result<(String, String), DecodeError> {
    let text = |name: &'static str| match terms.get(name) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(DecodeError::Member(name)),
    };
    Ok((text("scheme")?, text("network")?))
}

/// Tells the methods apart by the members they have; one payment carries exactly one method.
fn read_body(
    payload: &Map<String, Value>,
    extensions: Option<&Value>,
) -> Result<Body, DecodeError> {
    const METHODS: [&str; 5] = [
        "authorization",
        "permit",
        "permit2Authorization",
        "transaction",
        "permitSignature",
    ];
    if payload
        .get("transaction")
        .is_some_and(|transaction| !transaction.is_string())
    {
        return Err(DecodeError::Member("payload.transaction"));
    }
    let mut present = METHODS.iter().filter(|name| payload.contains_key(**name));
    let (first, second) = (present.next(), present.next());
    if second.is_some() {
        return Ok(Body::Malformed("payload"));
    }
    let read = match first.copied() {
        Some("authorization") => {
            SignedAuthorization::from_json(payload).map(|it| Body::Authorization(Box::new(it)))
        }
        Some("permit") => SignedPermit::from_json(payload).map(|it| Body::Permit(Box::new(it))),
        Some("permit2Authorization") => {
            SignedPermit2::from_json(payload, extensions).map(|it| Body::Permit2(Box::new(it)))
        }
        Some("transaction") => {
            let text = payload.get("transaction").and_then(Value::as_str);
            text.map(|text| Body::Transaction(text.to_owned()))
                .ok_or("transaction")
        }
        None if payload.contains_key("signature") => Err("authorization"),
        _ => Ok(Body::Unsupported),
    };
    Ok(read.unwrap_or_else(Body::Malformed))
}

/// Members that may be missing or `null` but must not have another type.
fn check_optional_members(envelope: &Map<String, Value>) -> Result<(), DecodeError> {
    for name in ["resource", "extensions"] {
        if !matches!(
            envelope.get(name),
            None | Some(Value::Null | Value::Object(_))
        ) {
            return Err(DecodeError::Member(name));
        }
    }
    check_payment_identifier(envelope)
}

/// The id that names a payment may be missing, but not be something else.
pub(crate) fn check_payment_identifier(envelope: &Map<String, Value>) -> Result<(), DecodeError> {
    match find_payment_identifier(envelope) {
        None => Ok(()),
        Some(Value::String(id)) if is_payment_identifier(id) => Ok(()),
        Some(_) => Err(DecodeError::Member("extensions.payment-identifier")),
    }
}

fn find_payment_identifier(envelope: &Map<String, Value>) -> Option<&Value> {
    envelope
        .get("extensions")?
        .get("payment-identifier")?
        .get("info")?
        .get("id")
}

/// 16 to 128 of `[A-Za-z0-9_-]` (extension `payment-identifier`).
fn is_payment_identifier(text: &str) -> bool {
    (16..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

impl Version {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

impl fmt::Debug for PaymentPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentPayload")
            .field("version", &self.version)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}
