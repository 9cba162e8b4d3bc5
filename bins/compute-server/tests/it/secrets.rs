//! Secrets of the operator and of buyers are planted everywhere they belong, and found nowhere else: not in the log
//! at its most talkative, not in metrics and traces, not in what is refused, and not in the database.

use axum::http::Method;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use compute_payment_double::{stripe, tempo};
use compute_testkit::database::dump;
use compute_testkit::faults_log::injected;
use compute_testkit::scripted_charge::TempoBuyer;
use compute_testkit::vultr::Fault;
use compute_testkit::{facilitator, vultr};
use serde_json::{Map, Value, json};

use crate::buyer::{Buyer, PROVISION, borrowed, now_ms, order, pay, post, random};
use crate::charges;
use crate::http::Answer;
use crate::http2;
use crate::metrics;
use crate::on_both_databases;
use crate::rehearsal::serve_with;
use crate::server::{Backend, Home, Server};
use crate::traces::Collector;

/// Everything that anybody says, our own crates and all others.
const FILTER: &str = "trace";

/// What nobody but its owner may ever read, with a name for it.
type Secrets = Vec<(&'static str, String)>;

/// Stored in clear, so that a look at the database finds something.
const LABEL: &str = "label of a key";

on_both_databases!(secrets_are_nowhere_in_clear);

/// What the operator knows, and nobody else.
struct Operator {
    cloud: vultr::Handle,
    network: facilitator::Handle,
    chain: tempo::Handle,
    cards: stripe::Handle,
    collector: Collector,
    secrets: Secrets,
}

impl Operator {
    async fn new() -> Self {
        let secret = |name| (name, hex::encode(random::<32>()));
        let secrets = [
            "sealing key",
            "pepper",
            "vendor key",
            "token of the facilitator",
            "key of receipts",
            "secret of challenges",
            "previous secret of challenges",
            "key of the node",
            "key of the other node",
            "secret of Stripe's webhooks",
            "token of the collector",
        ];
        let mut secrets: Secrets = secrets.map(secret).into();
        secrets.push(("key of Stripe", stripe::SECRET_KEY.to_owned()));
        let options = vultr::Options {
            api_key: named(&secrets, "vendor key").to_owned(),
            ..vultr::Options::default()
        };
        let network = facilitator::spawn(facilitator::Options::default());
        Self {
            cloud: vultr::spawn(options).await.unwrap(),
            network: network.await.unwrap(),
            chain: tempo::spawn(tempo::Options::default()).await.unwrap(),
            cards: stripe::spawn(now_ms() / 1_000).await.unwrap(),
            collector: Collector::spawn().await,
            secrets,
        }
    }

    fn start(&self, home: &Home) -> Server {
        let secret = |name| named(&self.secrets, name);
        let sealing_keys = format!("[{{id=1,key=\"{}\"}}]", secret("sealing key"));
        // Who sells access to a node writes the key of the customer into its URL.
        let rpc_url = |url: String, name| format!("{url}?key={}", secret(name));
        let base = rpc_url(
            self.network.rpc_url(facilitator::Network::Base),
            "key of the node",
        );
        let tempo = rpc_url(self.chain.url(), "key of the other node");
        let cards = self.cards.url();
        let variables = [
            ("LOG__FORMAT", "json"),
            ("LOG__FILTER", FILTER),
            ("METRICS__ENABLED", "true"),
            ("METRICS__LISTEN", "127.0.0.1:0"),
            ("TRACES__ENDPOINT", self.collector.url()),
            ("TRACES__TOKEN", secret("token of the collector")),
            ("SECRETS__SEALING_KEYS", &sealing_keys),
            ("SECRETS__API_KEY_PEPPER", secret("pepper")),
            ("SERVER__RECEIPT_KEY", secret("key of receipts")),
            ("PROVIDERS__VULTR__API_KEY", secret("vendor key")),
            (
                "RAILS__BASE__FACILITATOR_TOKEN",
                secret("token of the facilitator"),
            ),
            ("RAILS__BASE__RPC_URL", &base),
            ("MPP__SECRET", secret("secret of challenges")),
            (
                "MPP__PREVIOUS_SECRET",
                secret("previous secret of challenges"),
            ),
            ("MPP__TEMPO__RECIPIENT", charges::RECIPIENT),
            ("MPP__TEMPO__RPC_URL", &tempo),
            ("MPP__STRIPE__SECRET_KEY", secret("key of Stripe")),
            (
                "MPP__STRIPE__WEBHOOK_SECRET",
                secret("secret of Stripe's webhooks"),
            ),
            ("MPP__STRIPE__NETWORK_ID", "profile_1"),
            ("MPP__STRIPE__BASE_URL", &cards),
        ];
        let variables = variables.map(|(name, value)| (format!("COMPUTE_SERVER_{name}"), value));
        let variables: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        serve_with(home, &self.cloud.api_url(), &self.network, &variables)
    }
}

fn named<'a>(secrets: &'a Secrets, wanted: &str) -> &'a str {
    let found = secrets.iter().find(|(name, _)| *name == wanted);
    &found.unwrap().1
}

async fn secrets_are_nowhere_in_clear(backend: Backend) {
    let home = Home::new(backend).await;
    let operator = Operator::new().await;
    let mut server = operator.start(&home);
    let (mut secrets, answers) = use_everything(&server, &operator).await;
    let shown = metrics::scrape(&metrics::client_of(&server)).await;
    server.terminate();
    assert_eq!(server.wait().await.code(), Some(0));

    let collected = operator.collector.bodies();
    secrets.extend(operator.secrets);
    injected("F084");
    expect_clean_log(&server.log(), &secrets);
    expect_clean_database(&dump(&home.absolute_url()).await, &secrets);
    assert!(shown.contains("compute_http_requests_total"), "{shown}");
    expect_clean("metrics", &shown, &secrets);
    for word in [
        "POST /compute/provision",
        "provision settle",
        "vultr create",
    ] {
        assert!(
            collected.contains(word),
            "{word} is in no trace: nothing was checked"
        );
    }
    expect_clean("traces", &collected, &secrets);
    // The others were shown where they belong.
    let refused: Vec<_> = answers.iter().filter(|it| it.status >= 400).collect();
    assert!(
        refused.len() > 100,
        "{} of {}",
        refused.len(),
        answers.len()
    );
    for answer in refused {
        let said = format!(
            "{:?}\n{}",
            answer.headers,
            String::from_utf8_lossy(&answer.body)
        );
        expect_clean("an answer", &said, &secrets);
    }
}

/// A purchase by each protocol, its password, an API key, a webhook, a machine that the cloud refuses, the end of a
/// machine, and refusals of whatever a client can get wrong. With what everything that was refused said.
async fn use_everything(server: &Server, operator: &Operator) -> (Secrets, Vec<Answer>) {
    let buyer = Buyer::new();
    let user_data = format!("#cloud-config\npassword: {}\n", hex::encode(random::<16>()));
    let mut wanted = order();
    wanted["user_data"] = user_data.clone().into();
    let payment = buyer.sign(server, &wanted).await;
    let bought = pay(server, &wanted, &payment).await.json(200).unwrap();
    let id = bought["order"]["id"].as_str().unwrap();
    buyer.wait_for(server, id, "active").await;
    let path = format!("/compute/instances/{id}");
    let access = buyer
        .signed(server, "POST", &format!("{path}/password"), "")
        .await;
    let access = access.json(200).unwrap();

    let body = json!({ "label": LABEL }).to_string();
    let made = buyer
        .signed(server, "POST", "/compute/api-keys", &body)
        .await;
    let made = made.json(201).unwrap();
    let api_key = made["api_key"].as_str().unwrap().to_owned();
    let with_key = [("x-api-key", api_key.clone())];
    assert_eq!(server.get(&path, &with_key).await.status, 200);

    let body = json!({ "url": "https://example.com/hook" }).to_string();
    let hook = buyer
        .signed(server, "POST", "/compute/webhooks", &body)
        .await;
    let hook = hook.json(200).unwrap();

    let signed = buyer.headers("GET", PROVISION, "", now_ms(), &hex::encode(random::<16>()));
    // HTTP/2 has a log of its own, down to the frames and their headers.
    let shown = [(payment.header_name(), payment.to_header())];
    let again = (Method::POST, PROVISION, &wanted);
    assert_eq!(http2::status_of(server, again, &shown).await, 200);
    let look = (Method::GET, path.as_str(), &Value::Null);
    assert_eq!(http2::status_of(server, look.clone(), &with_key).await, 200);
    assert_eq!(http2::status_of(server, look, &signed).await, 401);

    let (credential, management_key) = buy_by_credential(server, operator).await;
    let unlucky = buy_in_vain(server, operator, &buyer).await;
    assert_eq!(buyer.signed(server, "DELETE", &path, "").await.status, 200);
    buyer.wait_for(server, id, "destroyed").await;
    let mut lines = signed.iter();
    let signature = lines.find(|(name, _)| *name == "x-auth-signature");
    let secrets = vec![
        (
            "signature of the payment",
            signature_in(&payment.to_header()),
        ),
        ("payment header", payment.to_header()),
        ("user data", user_data.lines().last().unwrap().to_owned()),
        ("API key", api_key),
        (
            "root password",
            access["access"]["password"].as_str().unwrap().to_owned(),
        ),
        (
            "secret of a webhook",
            hook["secret"].as_str().unwrap().to_owned(),
        ),
        ("signature of a request", signature.unwrap().1.clone()),
        ("credential", credential.clone()),
        (
            "token of the credential",
            credential.trim_start_matches("Payment ").to_owned(),
        ),
        ("management key", management_key),
    ];
    let mut answers = be_refused(server, &buyer, &secrets, &wanted, &path).await;
    answers.push(unlucky);
    (secrets, answers)
}

/// From a cloud that says the key aloud.
async fn buy_in_vain(server: &Server, operator: &Operator, buyer: &Buyer) -> Answer {
    let error = format!("no {}", named(&operator.secrets, "vendor key"));
    let refusal = Fault::RefuseCreate { status: 400, error };
    operator.cloud.inject(refusal);
    let payment = buyer.sign(server, &order()).await;
    pay(server, &order(), &payment).await
}

/// The credential and the key in the answer.
async fn buy_by_credential(server: &Server, operator: &Operator) -> (String, String) {
    let buyer = TempoBuyer::new(1);
    operator.chain.fund(buyer.address(), 1_000_000_000);
    let proof = charges::credential(&buyer, &post(server, &order(), &[]).await);
    let bought = post(server, &order(), &proof).await.json(200).unwrap();
    let key = bought["management_api_key"].as_str().unwrap();
    let [(_, credential)] = proof;
    (credential, key.to_owned())
}

/// Shows every secret of a client where it does not belong, or not quite as it should be.
async fn be_refused(
    server: &Server,
    buyer: &Buyer,
    secrets: &Secrets,
    wanted: &Value,
    path: &str,
) -> Vec<Answer> {
    let mut answers = Vec::new();
    let secret = |name| named(secrets, name).to_owned();
    let pairs = [
        "payment header",
        "API key",
        "root password",
        "credential",
        "management key",
    ];
    for name in pairs {
        for header in [
            "x-payment",
            "payment-signature",
            "authorization",
            "x-api-key",
            "x-auth-signature",
            "idempotency-key",
        ] {
            let whole = (header, secret(name));
            let marred = (header, format!("{}~", secret(name)));
            for shown in [whole, marred] {
                let headers = [shown];
                answers.push(post(server, &json!({ "plan": wanted["plan"] }), &headers).await);
                answers.push(server.get(path, &headers).await);
            }
        }
        // In bodies: in members that take no such thing, and as no JSON at all. The name of a member that does not exist
        // is repeated to whoever sent it, because most are typing errors.
        for body in [
            json!({ "plan": secret(name), "os_id": secret(name) }).to_string(),
            json!({ "label": { "key": secret(name) } }).to_string(),
            secret(name),
        ] {
            let made = buyer
                .signed(server, "POST", "/compute/api-keys", &body)
                .await;
            answers.push(made);
            let kind = [("content-type", "application/json".to_owned())];
            answers.push(server.send("POST", PROVISION, &kind, &body).await);
        }
    }
    let signed = buyer.headers("GET", PROVISION, "", now_ms(), &hex::encode(random::<16>()));
    answers.push(server.get(path, &borrowed(&signed)).await);
    let payment = [("payment-signature", secret("payment header"))];
    for change in [
        ("label", json!("another")),
        ("prepaid_hours", json!(-1)),
        ("user_data", json!(5)),
    ] {
        let mut other = wanted.clone();
        other[change.0] = change.1;
        answers.push(post(server, &other, &payment).await);
    }
    answers
}

fn signature_in(header: &str) -> String {
    let text = BASE64_STANDARD.decode(header).unwrap();
    let envelope: Value = serde_json::from_slice(&text).unwrap();
    let signature = envelope["payload"]["signature"].as_str().unwrap();
    signature.trim_start_matches("0x").to_owned()
}

fn expect_clean_log(log: &str, secrets: &Secrets) {
    for event in [
        "payment claimed",
        "one-time password taken",
        "destruction opened",
        "h2::codec::framed_read",
        "sqlx::query",
    ] {
        assert!(
            log.contains(event),
            "{event:?} is not logged: nothing was checked"
        );
    }
    for line in log.lines() {
        let object = serde_json::from_str::<Map<String, Value>>(line);
        let object = object.unwrap_or_else(|error| panic!("{error}: {line}"));
        for member in ["timestamp", "level", "target"] {
            assert!(object.contains_key(member), "{member}: {line}");
        }
        expect_clean("the log", line, secrets);
    }
}

fn expect_clean(place: &str, text: &str, secrets: &Secrets) {
    for (name, secret) in secrets {
        assert!(!text.contains(secret), "the {name} is in {place}: {text}");
    }
}

/// As text or bytes, or in hex, as PostgreSQL shows bytes.
fn expect_clean_database(dump: &[u8], secrets: &Secrets) {
    let has = |needle: &[u8]| dump.windows(needle.len()).any(|part| part == needle);
    assert!(
        has(LABEL.as_bytes()),
        "nothing is stored: nothing was checked"
    );
    for (name, secret) in secrets {
        let mut forms = vec![
            secret.clone().into_bytes(),
            hex::encode(secret).into_bytes(),
        ];
        // A key that is written in hex.
        forms.extend(hex::decode(secret).ok());
        for form in forms {
            assert!(!has(&form), "the {name} is in the database");
        }
    }
}
