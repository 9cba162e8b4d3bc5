//! What `serve` writes for machines: whole objects, and no secrets; nor are there any in the database.

use axum::http::Method;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use compute_testkit::database::dump;
use compute_testkit::faults_log::injected;
use compute_testkit::{facilitator, vultr};
use serde_json::{Map, Value, json};

use crate::buyer::{Buyer, PROVISION, borrowed, now_ms, order, pay, random};
use crate::http2;
use crate::on_both_databases;
use crate::rehearsal::serve_with;
use crate::server::{Backend, Home, Server};

/// Everything that anybody says, our own crates and all others.
const FILTER: &str = "trace";

/// What nobody but its owner may ever read, with a name for it.
type Secrets = Vec<(&'static str, String)>;

/// Stored in clear, so that a look at the database finds something.
const LABEL: &str = "label of a key";

on_both_databases!(secrets_are_nowhere_in_clear);

async fn secrets_are_nowhere_in_clear(backend: Backend) {
    let home = Home::new(backend).await;
    let [sealing, pepper, vendor] = [(); 3].map(|()| hex::encode(random::<32>()));
    let options = vultr::Options {
        api_key: vendor.clone(),
        ..vultr::Options::default()
    };
    let cloud = vultr::spawn(options).await.unwrap();
    let network = facilitator::spawn(facilitator::Options::default())
        .await
        .unwrap();
    let sealing_keys = format!("[{{id=1,key=\"{sealing}\"}}]");
    let variables = [
        ("COMPUTE_SERVER_LOG__FORMAT", "json"),
        ("COMPUTE_SERVER_LOG__FILTER", FILTER),
        ("COMPUTE_SERVER_SECRETS__SEALING_KEYS", &sealing_keys),
        ("COMPUTE_SERVER_SECRETS__API_KEY_PEPPER", &pepper),
        ("COMPUTE_SERVER_PROVIDERS__VULTR__API_KEY", &vendor),
    ];
    let mut server = serve_with(&home, &cloud.api_url(), &network, &variables);
    let mut secrets = use_everything(&server).await;
    server.terminate();
    assert_eq!(server.wait().await.code(), Some(0));

    secrets.extend([
        ("sealing key", sealing),
        ("pepper", pepper),
        ("vendor key", vendor),
    ]);
    injected("F084");
    expect_clean_log(&server.log(), &secrets);
    expect_clean_database(&dump(&home.absolute_url()).await, &secrets);
}

/// A purchase, its password, an API key, the end of the machine, and some refusals.
async fn use_everything(server: &Server) -> Secrets {
    let buyer = Buyer::new();
    let payment = buyer.sign(server, &order()).await;
    let bought = pay(server, &order(), &payment).await.json(200).unwrap();
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

    let signed = buyer.headers("GET", PROVISION, "", now_ms(), &hex::encode(random::<16>()));
    assert_eq!(server.get(&path, &borrowed(&signed)).await.status, 401);
    // HTTP/2 has a log of its own, down to the frames and their headers.
    let shown = [(payment.header_name(), payment.to_header())];
    let again = (Method::POST, PROVISION, &order());
    assert_eq!(http2::status_of(server, again, &shown).await, 200);
    let look = (Method::GET, path.as_str(), &Value::Null);
    assert_eq!(http2::status_of(server, look, &with_key).await, 200);
    let look = (Method::GET, path.as_str(), &Value::Null);
    assert_eq!(http2::status_of(server, look, &signed).await, 401);

    let mut other = order();
    other["label"] = "another".into();
    assert_eq!(pay(server, &other, &payment).await.status, 409);

    assert_eq!(buyer.signed(server, "DELETE", &path, "").await.status, 200);
    buyer.wait_for(server, id, "destroyed").await;
    let (_, signature) = signed
        .into_iter()
        .find(|(name, _)| *name == "x-auth-signature")
        .unwrap();
    vec![
        (
            "signature of the payment",
            signature_in(&payment.to_header()),
        ),
        ("payment header", payment.to_header()),
        ("API key", api_key),
        (
            "root password",
            access["access"]["password"].as_str().unwrap().to_owned(),
        ),
        ("signature of a request", signature),
    ]
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
        for (name, secret) in secrets {
            assert!(!line.contains(secret), "the {name} was logged: {line}");
        }
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
