//! The payment of a request, out of `X-PAYMENT` or `PAYMENT-SIGNATURE`.

use compute_engine::Error;
use compute_x402::{DecodeError, PaymentPayload, decode_headers};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use crate::error::ApiError;

const X_PAYMENT: HeaderName = HeaderName::from_static("x-payment");
const PAYMENT_SIGNATURE: HeaderName = HeaderName::from_static("payment-signature");

/// Whether the request carries what may be a payment. Blank headers are none.
pub(crate) fn is_presented(headers: &HeaderMap) -> bool {
    let is_filled = |value: &http::HeaderValue| !value.as_bytes().trim_ascii().is_empty();
    [X_PAYMENT, PAYMENT_SIGNATURE]
        .iter()
        .any(|name| headers.get_all(name).iter().any(is_filled))
}

/// The payment, decoded but not believed. Blank headers are no payment.
pub(crate) fn decode(headers: &HeaderMap) -> Result<Option<PaymentPayload>, ApiError> {
    if !is_presented(headers) {
        return Ok(None);
    }
    // Another scheme's proof beside ours: which of the two should pay?
    if headers
        .get_all(AUTHORIZATION)
        .iter()
        .any(|value| value.as_bytes().starts_with(b"Payment "))
    {
        return Err(ApiError::shape("send one payment, not two"));
    }
    let values = |name| {
        headers
            .get_all(name)
            .iter()
            .map(http::HeaderValue::as_bytes)
    };
    decode_headers(values(&X_PAYMENT), values(&PAYMENT_SIGNATURE)).map_err(|error| {
        let detail = match &error {
            DecodeError::Header(inner) => inner.to_string(),
            other => other.to_string(),
        };
        Error::PaymentMalformed {
            code: error.code().as_str().to_owned(),
            detail,
        }
        .into()
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(headers: &[(HeaderName, &'static str)]) -> Result<bool, String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_static(value));
        }
        match decode(&map) {
            Ok(payment) => Ok(payment.is_some()),
            Err(ApiError::Engine(Error::PaymentMalformed { code, .. })) => Err(code),
            Err(other) => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn a_blank_header_is_no_payment() {
        assert_eq!(check(&[]), Ok(false));
        assert_eq!(check(&[(X_PAYMENT, "")]), Ok(false));
        assert_eq!(check(&[(PAYMENT_SIGNATURE, "  ")]), Ok(false));
        let blank_beside_another = [(X_PAYMENT, " "), (AUTHORIZATION, "Payment abc")];
        assert_eq!(check(&blank_beside_another), Ok(false));
    }

    #[test]
    fn junk_repeats_and_disagreement_are_malformed() {
        let malformed = Err("invalid_payload".to_owned());
        assert_eq!(check(&[(X_PAYMENT, "%%%")]), malformed);
        assert_eq!(check(&[(X_PAYMENT, "bnVsbA==")]), malformed);
        assert_eq!(
            check(&[(X_PAYMENT, "e30="), (X_PAYMENT, "e30=")]),
            malformed
        );
        assert_eq!(
            check(&[(X_PAYMENT, "e30="), (PAYMENT_SIGNATURE, "e31=")]),
            malformed
        );
    }

    #[test]
    fn two_schemes_at_once_are_refused() {
        let refused = check(&[(X_PAYMENT, "e30="), (AUTHORIZATION, "Payment abc")]);
        assert!(refused.is_err_and(|error| error.contains("one payment")));
    }
}
