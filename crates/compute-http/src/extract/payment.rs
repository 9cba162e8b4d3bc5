//! The payment of a request: of x402 out of `X-PAYMENT` or `PAYMENT-SIGNATURE`, a credential of the
//! Payment authentication scheme out of `Authorization` or `Payment-Authorization`.

use compute_engine::{Error, PaymentProof};
use compute_mpp::header::{FieldError, find_credential};
use compute_mpp::{Credential, CredentialError};
use compute_x402::{DecodeError, PaymentPayload, decode_headers};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use crate::error::ApiError;

const X_PAYMENT: HeaderName = HeaderName::from_static("x-payment");
const PAYMENT_SIGNATURE: HeaderName = HeaderName::from_static("payment-signature");
const PAYMENT_AUTHORIZATION: HeaderName = HeaderName::from_static("payment-authorization");

/// The payment of a request, decoded but not believed.
#[derive(Debug)]
pub(crate) enum Payment {
    Readable(PaymentProof),
    /// A credential in a shop that takes none: it is looked up, because it may have paid before, and else
    /// it is no payment.
    Perhaps(PaymentProof),
    /// A credential that cannot be read: its sender gets a fresh challenge.
    Unreadable(CredentialError),
}

impl Payment {
    /// A payment of x402.
    pub(crate) const fn payload(&self) -> Option<&PaymentPayload> {
        match self {
            Self::Readable(PaymentProof::X402(payload)) => Some(payload),
            _ => None,
        }
    }

    /// Whether it is meant to pay here, well or badly.
    pub(crate) const fn is_certain(&self) -> bool {
        !matches!(self, Self::Perhaps(_))
    }

    /// For routes that are free: a credential means nothing there (mpp.md 21, row 50).
    pub(crate) fn into_x402(self) -> Option<PaymentProof> {
        match self {
            Self::Readable(proof @ PaymentProof::X402(_)) => Some(proof),
            _ => None,
        }
    }
}

/// Whether the request carries what may be a payment. Blank headers are none.
pub(crate) fn is_presented(headers: &HeaderMap) -> bool {
    is_x402(headers) || !matches!(find(headers), Ok(None))
}

/// Whether what may be a payment is a credential, and not of x402.
pub(crate) fn is_credential(headers: &HeaderMap) -> bool {
    !is_x402(headers) && !matches!(find(headers), Ok(None))
}

/// Whether there is what may be a payment of x402.
pub(crate) fn is_x402(headers: &HeaderMap) -> bool {
    let is_filled = |value: &http::HeaderValue| !value.as_bytes().trim_ascii().is_empty();
    [X_PAYMENT, PAYMENT_SIGNATURE]
        .iter()
        .any(|name| headers.get_all(name).iter().any(is_filled))
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).iter();
    values.map(http::HeaderValue::as_bytes)
}

fn find(headers: &HeaderMap) -> Result<Option<&[u8]>, CredentialError> {
    find_credential(
        values(headers, &AUTHORIZATION),
        values(headers, &PAYMENT_AUTHORIZATION),
    )
    .map_err(CredentialError::Field)
}

/// The payment. Blank headers are no payment.
///
/// Where no credentials are taken, one is no payment, as for every shop before there was the scheme, but
/// it is still known when it has paid before; what cannot be read is not looked at.
pub(crate) fn decode(
    headers: &HeaderMap,
    takes_credentials: bool,
) -> Result<Option<Payment>, ApiError> {
    let is_x402 = is_x402(headers);
    let credential = match find(headers) {
        Ok(None) => None,
        Ok(Some(text)) => Some(Credential::decode(text)),
        Err(CredentialError::Field(FieldError::TooLarge | FieldError::TooManyElements))
            if !takes_credentials =>
        {
            None
        }
        Err(error) => Some(Err(error)),
    };
    match credential {
        Some(Err(CredentialError::Field(FieldError::TooLarge | FieldError::TooManyElements)))
            if is_x402 =>
        {
            Err(ApiError::HeadersTooLarge)
        }
        // Another scheme's proof beside ours: which of the two should pay?
        Some(_) if is_x402 => Err(ApiError::SeveralPayments),
        Some(Ok(credential)) => {
            let proof = PaymentProof::Mpp(Box::new(credential));
            Ok(Some(if takes_credentials {
                Payment::Readable(proof)
            } else {
                Payment::Perhaps(proof)
            }))
        }
        Some(Err(_)) if !takes_credentials => Ok(None),
        Some(Err(CredentialError::Field(FieldError::Repeated))) => Err(ApiError::SeveralPayments),
        Some(Err(error)) => Ok(Some(Payment::Unreadable(error))),
        None if is_x402 => {
            let payload = decode_x402(headers)?;
            Ok(payload.map(|payload| Payment::Readable(PaymentProof::X402(payload))))
        }
        None => Ok(None),
    }
}

fn decode_x402(headers: &HeaderMap) -> Result<Option<PaymentPayload>, ApiError> {
    decode_headers(
        values(headers, &X_PAYMENT),
        values(headers, &PAYMENT_SIGNATURE),
    )
    .map_err(|error| {
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

    fn check(headers: &[(HeaderName, &str)]) -> Result<bool, String> {
        check_in(true, headers)
    }

    /// In a shop that takes credentials, or none.
    fn check_in(takes: bool, headers: &[(HeaderName, &str)]) -> Result<bool, String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        match decode(&map, takes) {
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
        assert_eq!(check(&[(AUTHORIZATION, "Bearer abc")]), Ok(false));
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
    fn a_credential_that_cannot_be_read_is_a_payment() {
        for field in [AUTHORIZATION, PAYMENT_AUTHORIZATION] {
            for text in ["Payment dGhpcyBpcyBnYXJiYWdl", "payment %%%", "Payment"] {
                assert_eq!(check(&[(field.clone(), text)]), Ok(true), "{field} {text}");
            }
        }
        // A blank header of x402 beside it is none.
        let beside = [(X_PAYMENT, " "), (AUTHORIZATION, "Payment abc")];
        assert_eq!(check(&beside), Ok(true));
    }

    #[test]
    fn two_payments_at_once_are_refused() {
        for two in [
            [(X_PAYMENT, "e30="), (AUTHORIZATION, "Payment abc")],
            [
                (PAYMENT_SIGNATURE, "e30="),
                (PAYMENT_AUTHORIZATION, "Payment abc"),
            ],
            [(AUTHORIZATION, "Payment a"), (AUTHORIZATION, "Payment b")],
            [
                (AUTHORIZATION, "Payment a"),
                (PAYMENT_AUTHORIZATION, "Payment a"),
            ],
        ] {
            let refused = check(&two);
            assert_eq!(refused, Err("SeveralPayments".to_owned()), "{two:?}");
        }
        let listed = check(&[(AUTHORIZATION, "Payment a, Payment b")]);
        assert_eq!(listed, Err("SeveralPayments".to_owned()));
    }

    #[test]
    fn what_is_too_large_to_be_looked_at_is_no_second_payment() {
        let large = format!("Bearer {}", "a".repeat(64 * 1_024));
        let listed = format!("Bearer a{}", ", Basic b".repeat(300));
        for text in [&large, &listed] {
            let alone = [(AUTHORIZATION, text.as_str())];
            assert_eq!(check(&alone), Ok(true), "a credential that cannot be read");
            assert_eq!(check_in(false, &alone), Ok(false));
            let beside = [(X_PAYMENT, "e30="), (AUTHORIZATION, text.as_str())];
            assert_eq!(check(&beside), Err("HeadersTooLarge".to_owned()));
            let version = Err("invalid_x402_version".to_owned());
            assert_eq!(check_in(false, &beside), version, "of x402 alone");
        }
    }

    #[test]
    fn where_no_credentials_are_taken_they_are_no_payment() {
        for text in ["Payment abc", "Payment a, Payment b", "Payment", "Bearer x"] {
            let field = (AUTHORIZATION, text);
            assert_eq!(
                check_in(false, std::slice::from_ref(&field)),
                Ok(false),
                "{text}"
            );
            // Beside one, as ever: whoever sends two may have paid with either.
            let beside = [(X_PAYMENT, "e30="), field];
            let code = if text == "Bearer x" {
                "invalid_x402_version"
            } else {
                "SeveralPayments"
            };
            assert_eq!(check_in(false, &beside), Err(code.to_owned()), "{text}");
        }
    }
}
