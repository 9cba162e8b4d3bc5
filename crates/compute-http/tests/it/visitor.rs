//! Somebody with a wallet who speaks HTTP.

use axum::body::Body;
use compute_domain::time::Entropy as _;
use compute_testkit::ambient::SeededEntropy;
use compute_wallet::{EvmKey, auth_message};
use compute_x402::PaymentPayload;
use compute_x402::client::PaymentRequired;
use http::Request;
use http::request::Builder;

use crate::shop::{Answer, ORDER, Shop, purchase};

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

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }
}

/// A purchase with its payment.
pub(crate) fn paid(payment: &PaymentPayload, body: &str) -> Request<Body> {
    purchase(body)
        .header(payment.header_name(), payment.to_header())
        .body(Body::from(body.to_owned()))
        .unwrap()
}
