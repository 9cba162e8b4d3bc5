//! A plain axum service with one priced route: `cargo run -p compute-mpp --example priced_route`.
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, body::Bytes, extract::State, routing::post};
use compute_mpp::stripe::{SharedPaymentToken, StripeDetails};
use compute_mpp::{Amount, BodyDigest, Challenge, ChallengeTerms, Credential, EncodedRequest};
use compute_mpp::{Method, Opaque, Problem, ProblemType, Realm, Receipt, Secret, Secrets};
use std::{collections::BTreeSet, error::Error, hash::*, sync::Arc, sync::Mutex, time::SystemTime};
const NO_STORE: [(&str, &str); 1] = [("cache-control", "no-store")];
type Paid = Result<[(&'static str, String); 1], ProblemType>;
type Shop = Arc<(Secrets, Realm, EncodedRequest, Mutex<BTreeSet<String>>)>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:4022").await?;
    Ok(axum::serve(listener, app(Secret::new(&[7; 32])?)?).await?) // make yours at random
}

pub(crate) fn app(secret: Secret) -> Result<Router, Box<dyn Error>> {
    let price = StripeDetails::default().request(Amount::new(50), "usd");
    let (secrets, realm) = (Secrets::new(secret), Realm::parse("127.0.0.1")?);
    let shop: Shop = Arc::new((secrets, realm, price.encode()?, Mutex::default()));
    Ok(Router::new().route("/", post(joke)).with_state(shop))
}

async fn joke(State(shop): State<Shop>, headers: HeaderMap, body: Bytes) -> Response {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let (digest, now_s) = (BodyDigest::of(&body), now.as_secs());
    let random = || u128::from(RandomState::new().hash_one(now));
    let opaque = Opaque::new(&((random() << 64) | random()).to_be_bytes(), "joke");
    let mut terms = ChallengeTerms::new(&shop.1, &Method::STRIPE, &shop.2, &opaque, now_s + 300);
    terms.digest = digest.as_ref();
    let kind = match pay(&shop, &headers, &terms, now_s) {
        Ok(receipt) => return (NO_STORE, receipt, "Why 402? 404 was lost.").into_response(),
        Err(kind) => kind,
    };
    let line = Challenge::issue(&shop.0, terms).www_authenticate();
    let fresh = kind.has_fresh_challenge();
    let fresh = fresh.then_some([("www-authenticate", line)]);
    let status = StatusCode::from_u16(kind.status()).unwrap_or_default();
    (status, NO_STORE, fresh, Json(Problem::new(kind, "Pay."))).into_response()
}

fn pay(shop: &Shop, headers: &HeaderMap, terms: &ChallengeTerms<'_>, now_s: u64) -> Paid {
    let sent = |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    let sent = Credential::from_fields(sent("authorization"), sent("payment-authorization"))?;
    let credential = sent.ok_or(ProblemType::PaymentRequired)?;
    credential.authenticate(&shop.0, &shop.1, now_s)?;
    let challenge = credential.challenge();
    if !challenge.offers(terms) {
        return Err(ProblemType::InvalidChallenge);
    }
    let token = SharedPaymentToken::from_payload(credential.payload(), &challenge.charge()?)?;
    let spend = |text: &str| shop.3.lock().is_ok_and(|mut it| it.insert(text.to_owned()));
    if !(spend(challenge.id()) && spend(token.expose())) {
        return Err(ProblemType::AlreadyUsed);
    }
    let receipt = Receipt::new(&Method::STRIPE, "pi_pretended", now_s); // here Stripe is called
    Ok([("payment-receipt", receipt.encode())])
}
