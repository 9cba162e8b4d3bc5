//! The credentials of a request: the `X-Auth-*` set or `X-API-Key`, whole and alone.

use compute_engine::{AuthClaim, Presented};
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use super::header::single;
use crate::error::ApiError;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_AUTH_ADDRESS: HeaderName = HeaderName::from_static("x-auth-address");
const X_AUTH_CHAIN: HeaderName = HeaderName::from_static("x-auth-chain");
const X_AUTH_SIGNATURE: HeaderName = HeaderName::from_static("x-auth-signature");
const X_AUTH_TIMESTAMP: HeaderName = HeaderName::from_static("x-auth-timestamp");
const X_AUTH_NONCE: HeaderName = HeaderName::from_static("x-auth-nonce");
const X_AUTH_SIG_ENCODING: HeaderName = HeaderName::from_static("x-auth-sig-encoding");

/// Whether the request claims to be somebody; the claim may be false.
pub(crate) fn is_claimed(headers: &HeaderMap) -> bool {
    headers.contains_key(X_API_KEY) || headers.contains_key(X_AUTH_SIGNATURE)
}

/// What the request shows about its sender. Half a set of headers, and two kinds at once, are
/// refused: nothing falls back to "nobody".
pub(crate) fn presented<'a>(parts: &'a Parts, body: &'a [u8]) -> Result<Presented<'a>, ApiError> {
    let headers = &parts.headers;
    let api_key = single(headers, &X_API_KEY)?;
    let signed = [
        single(headers, &X_AUTH_ADDRESS)?,
        single(headers, &X_AUTH_CHAIN)?,
        single(headers, &X_AUTH_SIGNATURE)?,
        single(headers, &X_AUTH_TIMESTAMP)?,
        single(headers, &X_AUTH_NONCE)?,
    ];
    let encoding = single(headers, &X_AUTH_SIG_ENCODING)?;
    match (api_key, signed) {
        (None, [None, None, None, None, None]) if encoding.is_none() => Ok(Presented::Nothing),
        (Some(text), [None, None, None, None, None]) if encoding.is_none() => {
            Ok(Presented::ApiKey(text))
        }
        (
            None,
            [
                Some(address),
                Some(chain),
                Some(signature),
                Some(timestamp_ms),
                Some(nonce),
            ],
        ) => Ok(Presented::Signature(AuthClaim {
            chain,
            address,
            signature,
            encoding,
            timestamp_ms,
            nonce,
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query(),
            body,
        })),
        (Some(_), _) => Err(ApiError::shape(
            "send X-API-Key or the X-Auth-* headers, not both",
        )),
        (None, _) => Err(ApiError::shape(
            "the X-Auth-* headers come together: Address, Chain, Signature, Timestamp, Nonce",
        )),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;

    const WHOLE: [(&str, &str); 5] = [
        ("x-auth-address", "0xabc"),
        ("x-auth-chain", "base"),
        ("x-auth-signature", "0x00"),
        ("x-auth-timestamp", "1767225600000"),
        ("x-auth-nonce", "0123456789abcdef"),
    ];

    fn parts(headers: &[(&'static str, &'static str)]) -> Parts {
        let mut request = Request::get("/compute/instances?wallet=0x1")
            .body(())
            .unwrap();
        for &(name, value) in headers {
            request
                .headers_mut()
                .append(name, HeaderValue::from_static(value));
        }
        request.into_parts().0
    }

    #[test]
    fn nothing_is_nothing() {
        assert!(matches!(
            presented(&parts(&[]), b""),
            Ok(Presented::Nothing)
        ));
    }

    #[test]
    fn a_whole_set_is_a_claim_over_path_query_and_raw_body() {
        let parts = parts(&WHOLE);
        let Ok(Presented::Signature(claim)) = presented(&parts, b"{ }") else {
            panic!("refused")
        };
        assert_eq!(
            (claim.path, claim.query),
            ("/compute/instances", Some("wallet=0x1"))
        );
        assert_eq!((claim.method, claim.body), ("GET", b"{ }".as_slice()));
    }

    #[test]
    fn a_part_of_the_set_is_refused() {
        for (left_out, (name, _)) in WHOLE.iter().enumerate() {
            let mut some = WHOLE.to_vec();
            some.remove(left_out);
            assert!(presented(&parts(&some), b"").is_err(), "without {name}");
        }
        assert!(presented(&parts(&[("x-auth-sig-encoding", "hex")]), b"").is_err());
    }

    #[test]
    fn two_kinds_and_duplicates_are_refused() {
        let both: Vec<_> = WHOLE
            .into_iter()
            .chain([("x-api-key", "x402c_a")])
            .collect();
        assert!(presented(&parts(&both), b"").is_err());
        let twice = [("x-api-key", "x402c_a"), ("x-api-key", "x402c_a")];
        assert!(presented(&parts(&twice), b"").is_err());
    }
}
