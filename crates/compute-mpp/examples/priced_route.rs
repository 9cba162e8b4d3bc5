//! A plain axum service with one priced route: `cargo run -p compute-mpp --example priced_route`.
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, body::Bytes, extract::State, routing::post};
use compute_mpp::stripe::{SharedPaymentToken, StripeDetails};
use compute_mpp::{Amount, BodyDigest, Challenge, ChallengeTerms, Credential, EncodedRequest};
use compute_mpp::{Method, Opaque, Problem, ProblemType, Realm, Receipt, Secret, Secrets};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::{collections::BTreeSet, error::Error, sync::Arc, sync::Mutex, time::SystemTime};
type Paid = Result<[(&'static str, String); 2], ProblemType>;
type Shop = Arc<(Secrets, Realm, EncodedRequest, Mutex<BTreeSet<String>>)>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:4022").await?;
    Ok(axum::serve(
        listener,
        app(Secret::new(b"32 random bytes, made once, kept")?)?,
    )
    .await?)
}

pub(crate) fn app(secret: Secret) -> Result<Router, Box<dyn Error>> {
    let price = StripeDetails::default().request(Amount::new(50), "usd");
    let (realm, price) = (Realm::parse("127.0.0.1")?, price.encode()?);
    let shop: Shop = Arc::new((Secrets::new(secret), realm, price, Mutex::default()));
    Ok(Router::new().route("/", post(joke)).with_state(shop))
}

async fn joke(State(shop): State<Shop>, headers: HeaderMap, body: Bytes) -> Response {
    let now_s = SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default()
        .as_secs();
    let digest = BodyDigest::of(&body);
    let kind = match pay(&shop, &headers, digest.as_ref(), now_s) {
        Ok(receipt) => return (receipt, "Why 402? 404 was lost.").into_response(),
        Err(kind) => kind,
    };
    let random = || u128::from(RandomState::new().build_hasher().finish());
    let opaque = Opaque::new(&((random() << 64) | random()).to_be_bytes(), "joke");
    let terms = ChallengeTerms::new(&shop.1, &Method::STRIPE, &shop.2, now_s + 300, &opaque);
    let terms = ChallengeTerms {
        digest: digest.as_ref(),
        ..terms
    };
    let line = Challenge::issue(&shop.0, terms).www_authenticate();
    let fields = [
        ("www-authenticate", line),
        ("cache-control", "no-store".into()),
    ];
    let fresh = kind.has_fresh_challenge().then_some(fields);
    let status = StatusCode::from_u16(kind.status()).unwrap_or_default();
    (status, fresh, Json(Problem::new(kind, "Pay for it."))).into_response()
}

fn pay(shop: &Shop, all: &HeaderMap, body: Option<&BodyDigest>, now_s: u64) -> Paid {
    let sent = |name| all.get_all(name).into_iter().map(HeaderValue::as_bytes);
    let sent = Credential::from_fields(sent("authorization"), sent("payment-authorization"))?;
    let credential = sent.ok_or(ProblemType::PaymentRequired)?;
    credential.authenticate(&shop.0, &shop.1, now_s)?;
    let challenge = credential.challenge();
    let is_ours = challenge.asks_for(&Method::STRIPE, &shop.2) && challenge.is_for("joke");
    if !is_ours || !challenge.binds_body(body) {
        return Err(ProblemType::InvalidChallenge);
    }
    let token = SharedPaymentToken::from_payload(credential.payload(), &challenge.charge()?)?;
    let spend = |text: &str| shop.3.lock().is_ok_and(|mut it| it.insert(text.to_owned()));
    if !(spend(challenge.id()) && spend(token.expose())) {
        return Err(ProblemType::AlreadyUsed);
    }
    let receipt = Receipt::new(&Method::STRIPE, "pi_pretended", now_s); // here Stripe is called
    Ok([
        ("payment-receipt", receipt.encode()),
        ("cache-control", "private".into()),
    ])
}
