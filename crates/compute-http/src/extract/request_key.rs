//! The client's names for a purchase: the header `Idempotency-Key`, and the identifier in an x402
//! payment.

use compute_domain::request_key::RequestKey;
use compute_engine::Error;
use compute_x402::{ErrorCode, PaymentPayload};
use http::request::Parts;
use http::{HeaderName, Method};

use super::header::single;
use crate::error::ApiError;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The name in the header. It is read where it can mean something; a bad one is refused there, also
/// by routes that need no name, because its sender relies on it.
pub(crate) fn of_request(parts: &Parts) -> Result<Option<RequestKey>, ApiError> {
    if parts.method != Method::POST {
        return Ok(None);
    }
    let text = single(&parts.headers, &IDEMPOTENCY_KEY)?;
    text.map(RequestKey::idempotency_key)
        .transpose()
        .map_err(|error| ApiError::field("Idempotency-Key", error.to_string()))
}

/// The name in a payment of version 2.
pub(crate) fn of_payment(payment: &PaymentPayload) -> Result<Option<RequestKey>, ApiError> {
    let text = payment.payment_identifier();
    text.map(RequestKey::payment_identifier)
        .transpose()
        .map_err(|error| {
            let code = ErrorCode::InvalidPayload.as_str().to_owned();
            let detail = error.to_string();
            Error::PaymentMalformed { code, detail }.into()
        })
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;

    /// The key of a request with these header values, or the status of its refusal.
    fn key(method: Method, values: &[&[u8]]) -> Result<Option<String>, u16> {
        let mut request = Request::builder().method(method).body(()).unwrap();
        for value in values {
            let value = HeaderValue::from_bytes(value).unwrap();
            request.headers_mut().append(IDEMPOTENCY_KEY, value);
        }
        match of_request(&request.into_parts().0) {
            Ok(key) => Ok(key.map(String::from)),
            Err(error) => Err(error.row().status.as_u16()),
        }
    }

    #[test]
    fn a_key_is_read_once_and_whole() {
        assert_eq!(key(Method::POST, &[]), Ok(None));
        let read = key(Method::POST, &[b"order-1:a.b_c"]);
        assert_eq!(read, Ok(Some("key:order-1:a.b_c".to_owned())));
        assert!(key(Method::POST, &["k".repeat(255).as_bytes()]).is_ok());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = "k".repeat(256);
        let bad: [&[u8]; 7] = [
            b"",
            b"1234567",
            long.as_bytes(),
            b"with space",
            b"tab\tinside",
            b"comma,key",
            b"\xfcmlaut-8",
        ];
        for value in bad {
            assert_eq!(key(Method::POST, &[value]), Err(400), "{value:?}");
        }
        assert_eq!(key(Method::POST, &[b"same-key", b"same-key"]), Err(400));
    }

    #[test]
    fn a_request_that_only_reads_has_no_name() {
        assert_eq!(key(Method::GET, &[b""]), Ok(None));
        assert_eq!(key(Method::DELETE, &[b"order-001"]), Ok(None));
    }
}
