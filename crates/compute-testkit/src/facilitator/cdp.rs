//! The credentials that Coinbase's facilitator demands, checked with another library than the one
//! that makes them.

use std::collections::BTreeSet;

use axum::extract::{OriginalUri, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::error::Unspecified;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Shared, lock};

/// Longest life of a token, in seconds.
const MAX_LIFE_S: u64 = 120;

/// An account at the vendor: what it issued, and what it knows of it.
#[derive(Clone)]
pub struct CdpAccount {
    /// The key's id.
    pub key_id: String,
    /// The key's secret, as the vendor issues it.
    pub secret: String,
    /// What a token must name; nothing may be named when this is empty.
    pub audience: Vec<String>,
    kind: Kind,
    public: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Ed25519,
    Es256,
}

impl CdpAccount {
    /// An account with the Ed25519 key of a seed; the secret is the base64 text of both halves.
    ///
    /// # Errors
    /// Never for 32 bytes.
    pub fn ed25519(seed: &[u8; 32]) -> Result<Self, Unspecified> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)?;
        let public = pair.public_key().as_ref().to_vec();
        let secret = STANDARD.encode([seed.as_slice(), &public].concat());
        Ok(Self::new(Kind::Ed25519, secret, public))
    }

    /// An account with a new P-256 key; the secret is its PEM form.
    ///
    /// # Errors
    /// When the machine has no randomness.
    pub fn es256() -> Result<Self, Unspecified> {
        let random = ring::rand::SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random)?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random)?;
        let text = STANDARD.encode(document.as_ref());
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        let public = pair.public_key().as_ref().to_vec();
        Ok(Self::new(Kind::Es256, pem, public))
    }

    fn new(kind: Kind, secret: String, public: Vec<u8>) -> Self {
        Self {
            key_id: "organizations/test/apiKeys/1".to_owned(),
            secret,
            audience: Vec::new(),
            kind,
            public,
        }
    }

    /// What is wrong with a token for a request, if anything is. `seen` holds the nonces so far.
    fn find_fault(
        &self,
        token: &str,
        uri: &str,
        now_s: u64,
        seen: &mut BTreeSet<String>,
    ) -> Result<(), &'static str> {
        let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else {
            return Err("a token has three parts");
        };
        let message = [header, ".", claims].concat();
        let signature = decode(signature)?;
        let (name, verified) = match self.kind {
            Kind::Ed25519 => {
                let key = UnparsedPublicKey::new(&ED25519, &self.public);
                ("EdDSA", key.verify(message.as_bytes(), &signature))
            }
            Kind::Es256 => {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.public);
                ("ES256", key.verify(message.as_bytes(), &signature))
            }
        };
        verified.map_err(|_| "the signature is not this key's")?;
        let header: Header = read_json(header)?;
        if header.alg != name || header.typ != "JWT" || header.kid != self.key_id {
            return Err("the header names another algorithm, type or key");
        }
        self.check_claims(&read_json(claims)?, uri, now_s)?;
        if hex::decode(&header.nonce).map_or(0, |bytes| bytes.len()) != 16 {
            return Err("the nonce is not 16 bytes of hex");
        }
        if !seen.insert(header.nonce) {
            return Err("the token was used before");
        }
        Ok(())
    }

    fn check_claims(&self, claims: &Claims, uri: &str, now_s: u64) -> Result<(), &'static str> {
        if claims.sub != self.key_id || claims.iss != "cdp" {
            return Err("another subject or issuer");
        }
        let audience = (!self.audience.is_empty()).then_some(&self.audience);
        if claims.aud.as_ref() != audience {
            return Err("another audience");
        }
        if claims.uris != [uri] {
            return Err("the token is for another request");
        }
        if claims.iat != claims.nbf || claims.exp.saturating_sub(claims.nbf) > MAX_LIFE_S {
            return Err("the token lives too long");
        }
        if now_s < claims.nbf || now_s >= claims.exp {
            return Err("the token is not valid now");
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
    nonce: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    sub: String,
    iss: String,
    aud: Option<Vec<String>>,
    uris: Vec<String>,
    iat: u64,
    nbf: u64,
    exp: u64,
}

fn decode(part: &str) -> Result<Vec<u8>, &'static str> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| "not base64url without padding")
}

fn read_json<T: DeserializeOwned>(part: &str) -> Result<T, &'static str> {
    serde_json::from_slice(&decode(part)?).map_err(|_| "not the members that are needed")
}

impl std::fmt::Debug for CdpAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CdpAccount")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Answers 401 to requests without valid credentials, where they are demanded.
pub(super) async fn demand(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let found = {
        let mut world = lock(&shared);
        let now_s = world.now();
        let account = world.account.clone();
        account.map_or(Ok(()), |account| {
            let (token, uri) = read(&request)?;
            account.find_fault(&token, &uri, now_s, &mut world.nonces)
        })
    };
    match found {
        Ok(()) => next.run(request).await,
        Err(reason) => {
            lock(&shared).refusals.push(reason);
            (StatusCode::UNAUTHORIZED, "Unauthorized").into_response()
        }
    }
}

/// The token of a request, and what it must be bound to.
fn read(request: &Request) -> Result<(String, String), &'static str> {
    let text = |name| request.headers().get(name)?.to_str().ok();
    let token = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let token = token.ok_or("no bearer token")?;
    let correlation = request.headers().get("correlation-context");
    let correlation = correlation.and_then(|value| value.to_str().ok());
    if !correlation.is_some_and(|value| value.contains("source=x402,")) {
        return Err("no correlation context");
    }
    let host = text(header::HOST).ok_or("no host")?;
    let method: &Method = request.method();
    let whole = request.extensions().get::<OriginalUri>();
    let path = whole.map_or_else(|| request.uri().path(), |uri| uri.path());
    let uri = format!("{method} {host}{path}");
    Ok((token.to_owned(), uri))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW_S: u64 = 1_800_000_000;
    const URI: &str = "POST api.example/platform/v2/x402/verify";

    fn account() -> CdpAccount {
        CdpAccount::ed25519(&[7; 32]).unwrap()
    }

    fn sign(header: &Value, claims: &Value) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let signature = pair.sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn good() -> (Value, Value) {
        let key_id = account().key_id;
        let header = json!({"alg": "EdDSA", "kid": key_id, "typ": "JWT", "nonce": "0f".repeat(16)});
        let claims = json!({
            "sub": key_id, "iss": "cdp", "uris": [URI],
            "iat": NOW_S, "nbf": NOW_S, "exp": NOW_S + 120,
        });
        (header, claims)
    }

    fn look(token: &str) -> Result<(), &'static str> {
        account().find_fault(token, URI, NOW_S, &mut BTreeSet::new())
    }

    #[test]
    fn a_good_token_is_good_once() {
        let (header, claims) = good();
        let (token, mut seen) = (sign(&header, &claims), BTreeSet::new());
        let mut ask = |now_s| account().find_fault(&token, URI, now_s, &mut seen);
        assert_eq!(ask(NOW_S - 1), Err("the token is not valid now"));
        assert_eq!(ask(NOW_S + 120), Err("the token is not valid now"));
        assert_eq!(ask(NOW_S + 119), Ok(()));
        assert_eq!(ask(NOW_S), Err("the token was used before"));
    }

    #[test]
    fn anything_else_than_a_good_token_is_refused() {
        for (name, value) in [
            ("alg", json!("ES256")),
            ("kid", json!("another")),
            ("typ", json!("JWS")),
            ("nonce", json!("0f")),
            ("nonce", Value::Null),
            ("more", json!(1)),
        ] {
            let (mut header, claims) = good();
            header[name] = value.clone();
            assert!(look(&sign(&header, &claims)).is_err(), "{name} {value}");
        }
        for (name, value) in [
            ("sub", json!("another")),
            ("iss", json!("somebody")),
            ("aud", json!(["cdp_service"])),
            ("uris", json!(["POST api.example/verify"])),
            ("uris", json!(["GET api.example/platform/v2/x402/verify"])),
            ("uris", json!([URI, URI])),
            ("iat", json!(NOW_S - 1)),
            ("nbf", json!(NOW_S + 1)),
            ("exp", json!(NOW_S + 121)),
            ("exp", json!("soon")),
        ] {
            let (header, mut claims) = good();
            claims[name] = value.clone();
            assert!(look(&sign(&header, &claims)).is_err(), "{name} {value}");
        }
        let (header, claims) = good();
        let token = sign(&header, &claims);
        let (head, rest) = token.split_at(token.len() - 4);
        for bad in [
            "",
            "a.b",
            "a.b.c",
            &format!("{head}AAAA"),
            &format!("{token}="),
            rest,
        ] {
            assert!(look(bad).is_err(), "{bad}");
        }
    }
}
