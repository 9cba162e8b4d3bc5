//! Somebody with a wallet who speaks HTTP.

use axum::body::Body;
use compute_domain::time::Entropy as _;
use compute_testkit::ambient::SeededEntropy;
use compute_wallet::{EvmKey, WalletAddress, auth_message};
use compute_x402::PaymentPayload;
use compute_x402::client::PaymentRequired;
use http::Request;
use http::request::Builder;

use crate::shop::{Answer, ORDER, Shop, extend_path, post};

pub(crate) const TOPUP: &str = "/compute/credits/topup";

pub(crate) struct Visitor {
    key: EvmKey,
    entropy: SeededEntropy,
}

impl Visitor {
    /// A visitor with a wallet of its own per number.
    pub(crate) fn new(number: u8) -> Self {
        let entropy = SeededEntropy::new(u64::from(number));
        Self {
            key: EvmKey::from_bytes(&[number; 32]).unwrap(),
            entropy,
        }
    }

    pub(crate) fn wallet(&self) -> WalletAddress {
        self.key.address().into()
    }

    /// A request that this wallet signed; the target is path and query.
    pub(crate) fn signed(&self, shop: &Shop, method: &str, path: &str, body: &str) -> Builder {
        let address = self.key.address().to_string();
        let timestamp = shop.now_ms().to_string();
        let nonce = hex::encode(self.random::<16>());
        let bytes = body.as_bytes();
        let message = auth_message("base", &address, method, path, bytes, &timestamp, &nonce);
        Request::builder()
            .method(method)
            .uri(path)
            .header("x-auth-address", &address)
            .header("x-auth-chain", "base")
            .header(
                "x-auth-signature",
                self.key.sign_message(message.as_bytes()).to_hex(),
            )
            .header("x-auth-timestamp", &timestamp)
            .header("x-auth-nonce", &nonce)
            .header("x-auth-sig-encoding", "hex")
    }

    /// Sends a signed request without a body.
    pub(crate) async fn send(&self, shop: &Shop, method: &str, path: &str) -> Answer {
        shop.send(
            self.signed(shop, method, path, "")
                .body(Body::empty())
                .unwrap(),
        )
        .await
    }

    /// Sends a signed request with a JSON body.
    pub(crate) async fn post(&self, shop: &Shop, path: &str, body: &str) -> Answer {
        shop.send(self.signed_post(shop, path, body)).await
    }

    fn signed_post(&self, shop: &Shop, path: &str, body: &str) -> Request<Body> {
        self.signed(shop, "POST", path, body)
            .header("content-type", "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap()
    }

    /// A signed request with a JSON body and a payment.
    pub(crate) fn signed_payment(
        &self,
        shop: &Shop,
        path: &str,
        body: &str,
        payment: &PaymentPayload,
    ) -> Request<Body> {
        with_payment(self.signed_post(shop, path, body), payment)
    }

    /// Signs a payment for what a 402 asks, as a client of version 1.
    pub(crate) fn pay(&self, shop: &Shop, challenge: &Answer) -> PaymentPayload {
        let required = PaymentRequired::from_body(challenge.body.as_bytes()).unwrap();
        self.sign(shop, &required)
    }

    /// The same as a client of version 2.
    pub(crate) fn pay_v2(&self, shop: &Shop, challenge: &Answer) -> PaymentPayload {
        let header = challenge.header("payment-required").unwrap();
        self.sign(
            shop,
            &PaymentRequired::from_header(header.as_bytes()).unwrap(),
        )
    }

    fn sign(&self, shop: &Shop, required: &PaymentRequired) -> PaymentPayload {
        let offer = required.offers().first().expect("an offer");
        let now_s = u64::try_from(shop.now_ms() / 1_000).unwrap();
        required.pay(offer, &self.key, self.random(), now_s)
    }

    /// Asks for the price of the ordinary purchase, and signs the payment.
    pub(crate) async fn payment(&self, shop: &Shop) -> PaymentPayload {
        self.pay(shop, &shop.ask(ORDER).await)
    }

    /// The ordinary purchase, from the question to the answer.
    pub(crate) async fn buy(&self, shop: &Shop) -> Answer {
        let payment = self.payment(shop).await;
        shop.send(paid(&payment, ORDER)).await
    }

    /// Buys a machine, waits until it runs, and gives its id.
    pub(crate) async fn machine(&self, shop: &Shop) -> String {
        let answer = self.buy(shop).await;
        shop.settle_down().await;
        answer.json()["order"]["id"]
            .as_str()
            .unwrap_or_else(|| panic!("no machine: {answer:?}"))
            .to_owned()
    }

    /// The payment for a top-up.
    pub(crate) async fn topup_payment(&self, shop: &Shop, body: &str) -> PaymentPayload {
        self.pay(shop, &self.post(shop, TOPUP, body).await)
    }

    /// Tops credits up, from the question to the answer.
    pub(crate) async fn top_up(&self, shop: &Shop, amount: &str) -> Answer {
        let body = format!("{{\"amount\":{amount}}}");
        let payment = self.topup_payment(shop, &body).await;
        let request = self.signed_payment(shop, TOPUP, &body, &payment);
        let answer = shop.patiently(shop.send(request)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    /// The payment for an extension.
    pub(crate) async fn time_payment(&self, shop: &Shop, id: &str, body: &str) -> PaymentPayload {
        self.pay(shop, &shop.ask_at(&extend_path(id), body).await)
    }

    /// What this wallet has in credits.
    pub(crate) async fn balance(&self, shop: &Shop) -> String {
        let answer = self.send(shop, "GET", "/compute/credits/balance").await;
        answer.text("balance")
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }
}

/// A purchase with its payment.
pub(crate) fn paid(payment: &PaymentPayload, body: &str) -> Request<Body> {
    paid_at("/compute/provision", payment, body)
}

/// Any request with its payment and without credentials.
pub(crate) fn paid_at(path: &str, payment: &PaymentPayload, body: &str) -> Request<Body> {
    let request = post(path, body).body(Body::from(body.to_owned())).unwrap();
    with_payment(request, payment)
}

fn with_payment(mut request: Request<Body>, payment: &PaymentPayload) -> Request<Body> {
    let value = payment.to_header().parse().unwrap();
    request.headers_mut().insert(payment.header_name(), value);
    request
}

/// A request under a name of the client's.
pub(crate) fn named(mut request: Request<Body>, key: &str) -> Request<Body> {
    request
        .headers_mut()
        .insert("idempotency-key", key.parse().unwrap());
    request
}
