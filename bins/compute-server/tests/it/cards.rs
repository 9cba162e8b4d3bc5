//! `serve` paid by cards, with a double of Stripe behind it: its record says what was taken.

use compute_mpp::stripe::SharedPaymentToken;
use compute_mpp::{Challenge, client};
use compute_payment_double::stripe::{self, Card, Fault, Handle, SECRET_KEY, Token};
use compute_testkit::faults_log::injected;
use compute_testkit::{facilitator, vultr};
use serde_json::Value;

use crate::buyer::{now_ms, order, post};
use crate::http::Answer;
use crate::on_both_databases;
use crate::rehearsal::serve_with;
use crate::server::{Backend, Home, Server};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const CHARGE: &str = "POST payment_intents";

on_both_databases!(a_card_pays_once, a_card_that_does_not_pay_buys_nothing);

pub(crate) struct Shop {
    pub(crate) api: Handle,
    cloud: vultr::Handle,
    pub(crate) server: Server,
    network: facilitator::Handle,
    pub(crate) home: Home,
}

impl Shop {
    pub(crate) async fn open(backend: Backend) -> Self {
        let home = Home::new(backend).await;
        let api = stripe::spawn(now_ms() / 1_000).await.unwrap();
        let cloud = vultr::spawn(vultr::Options::default()).await.unwrap();
        let network = facilitator::spawn(facilitator::Options::default());
        let network = network.await.unwrap();
        let server = start(&home, &cloud, &network, &api, &[]);
        Self {
            api,
            cloud,
            server,
            network,
            home,
        }
    }

    /// Another server of this shop, with more settings.
    pub(crate) fn serve(&self, more: &[(&str, &str)]) -> Server {
        start(&self.home, &self.cloud, &self.network, &self.api, more)
    }

    async fn send(&self, credential: &str) -> Answer {
        let headers = [("authorization", credential.to_owned())];
        post(&self.server, &month(), &headers).await
    }

    /// A credential with a token for this card.
    pub(crate) async fn sign(&self, name: &str, card: Card) -> String {
        let asked = post(&self.server, &month(), &[]).await;
        let token = Token {
            max_amount: 100_000,
            currency: "usd",
            card,
            flaw: None,
        };
        self.api.grant(name, token);
        answer(&challenge(&asked), name)
    }
}

fn start(
    home: &Home,
    cloud: &vultr::Handle,
    network: &facilitator::Handle,
    api: &Handle,
    more: &[(&str, &str)],
) -> Server {
    let usual = [
        ("COMPUTE_SERVER_MPP__SECRET", SECRET),
        ("COMPUTE_SERVER_MPP__STRIPE__SECRET_KEY", SECRET_KEY),
        ("COMPUTE_SERVER_MPP__STRIPE__NETWORK_ID", "profile_1"),
        ("COMPUTE_SERVER_MPP__STRIPE__BASE_URL", &api.url()),
    ];
    let variables = [usual.as_slice(), more].concat();
    serve_with(home, &cloud.api_url(), network, &variables)
}

/// More than the least that is charged to a card.
pub(crate) fn month() -> Value {
    let mut order = order();
    order["prepaid_hours"] = 720.into();
    order
}

fn challenge(answer: &Answer) -> Challenge {
    assert_eq!(answer.status, 402);
    let lines = answer.headers.get_all("www-authenticate").iter();
    let lines = lines.map(axum::http::HeaderValue::as_bytes);
    let offers = Challenge::parse_www_authenticate(lines).unwrap();
    let mut offers = offers.into_iter();
    offers.find(|offer| offer.method() == "stripe").unwrap()
}

fn answer(offer: &Challenge, token: &str) -> String {
    let token = SharedPaymentToken::parse(token).unwrap();
    let payload = token.payload(&offer.charge().unwrap());
    client::answer(offer.clone(), None, payload).1
}

fn ends_with(answer: &Answer, kind: &str) -> bool {
    let problem = answer.json(answer.status).unwrap();
    problem["type"].as_str().unwrap().ends_with(kind)
}

/// Also when the answer is lost: the charge is found again, and asked for once.
async fn a_card_pays_once(backend: Backend) {
    let shop = Shop::open(backend).await;
    for (name, fault) in [("spt_one", Fault::Nothing), ("spt_two", Fault::DropAfter)] {
        let before = shop.api.taken().len();
        shop.api.disturb(CHARGE, fault);
        let credential = shop.sign(name, Card::Pays).await;
        let bought = shop.send(&credential).await.json(200).unwrap();
        assert!(bought["management_api_key"].is_string(), "{bought}");
        let id = &bought["order"]["id"];
        injected("F081");
        let settled = loop {
            let again = shop.send(&credential).await;
            let reply = again.json(200).unwrap();
            assert_eq!(&reply["order"]["id"], id);
            if reply["settlement"] == "settled" {
                break again;
            }
        };
        assert!(settled.header("payment-receipt").is_some());
        // Another token on a challenge that was paid: money has moved, so nothing is offered.
        let sent =
            compute_mpp::Credential::decode(credential.trim_start_matches("Payment ").as_bytes());
        let other = answer(sent.unwrap().challenge(), "spt_other");
        let second = shop.send(&other).await;
        assert_eq!(second.status, 409);
        assert!(second.header("www-authenticate").is_none());
        assert_eq!(shop.api.taken().len(), before + 1);
    }
    assert_eq!(shop.cloud.machines().len(), 2);
    let log = shop.server.log();
    assert!(
        !log.contains(SECRET_KEY) && !log.contains("spt_one"),
        "{log}"
    );
}

async fn a_card_that_does_not_pay_buys_nothing(backend: Backend) {
    let shop = Shop::open(backend).await;
    for (name, card, kind, code) in [
        (
            "spt_no",
            Card::Declines("generic_decline"),
            "/verification-failed",
            "card_declined",
        ),
        (
            "spt_poor",
            Card::Declines("insufficient_funds"),
            "/verification-failed",
            "insufficient_funds",
        ),
        (
            "spt_asks",
            Card::WantsAction,
            "/payment-action-required",
            "payment_action_required",
        ),
    ] {
        let credential = shop.sign(name, card).await;
        injected("F081");
        let refused = shop.send(&credential).await;
        assert!(ends_with(&refused, kind), "{kind}");
        let problem = refused.json(402).unwrap();
        assert_eq!(problem["error"], code);
        // The double's own sentence, as Stripe sends one with each error.
        assert!(!problem.to_string().contains("in words"), "{problem}");
        // With a fresh challenge: nothing was taken.
        let fresh = challenge(&refused);
        assert!(!credential.contains(fresh.id()));
    }
    assert!(shop.api.taken().is_empty());
    assert!(shop.cloud.machines().is_empty());
}
