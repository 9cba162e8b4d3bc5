//! Metrics of a running server, and the alarms and the dashboard that read them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::buyer::{Buyer, order, pay};
use crate::first_sale::id_of;
use crate::http::Client;
use crate::on_both_databases;
use crate::server::{Backend, Home, PATIENCE, Server, pause};

on_both_databases!(metrics_tell_of_money_and_machines_and_of_nobody);

const ALERTS: &str = include_str!("../../../../deploy/prometheus/alerts.yml");
const DASHBOARD: &str = include_str!("../../../../deploy/grafana/compute.json");
const OPERATIONS: &str = include_str!("../../../../docs/operations.md");

/// Shown of rails that settle by themselves, and a development server has none: `metrics/standing.rs`
/// tests that they are.
const OF_WALLETS: [&str; 2] = [
    "compute_rail_wallet_atomic",
    "compute_rail_wallet_floor_atomic",
];

/// Prometheus makes this one itself.
const OF_PROMETHEUS: &str = "up";

/// A development server that shows its metrics, and a client of them.
async fn start(home: &Home) -> (Server, Client) {
    let server = home.dev_with(&["--metrics", "127.0.0.1:0"]);
    let client = client_of(&server);
    (server, client)
}

/// A client of the metrics, at the address that the server has logged, in whatever form.
pub(crate) fn client_of(server: &Server) -> Client {
    let log = server.log();
    let line = log.lines().find(|line| line.contains("metrics are shown"));
    let line = line.unwrap_or_else(|| panic!("no metrics:\n{log}"));
    let (_, rest) = line.split_once("127.0.0.1:").unwrap();
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Client::new(&format!("http://127.0.0.1:{port}")).unwrap()
}

pub(crate) async fn scrape(client: &Client) -> String {
    let answer = client.send("GET", "/metrics", &[], b"").await.unwrap();
    assert_eq!(answer.status, 200);
    let kind = answer.header("content-type").unwrap().to_owned();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    String::from_utf8(answer.body.clone().into()).unwrap()
}

/// Scrapes until it says so.
async fn wait_until(client: &Client, says: impl Fn(&str) -> bool) -> String {
    let scraping = async {
        loop {
            let text = scrape(client).await;
            if says(&text) {
                return text;
            }
            pause().await;
        }
    };
    tokio::time::timeout(PATIENCE, scraping).await.unwrap()
}

/// The names of all samples.
fn shown(text: &str) -> BTreeSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .filter_map(|line| line.split(['{', ' ']).next())
        .filter(|name| !name.is_empty())
        .collect()
}

/// The names of metrics in an expression of PromQL.
fn named(expression: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression
        .split(|c| !is_part(c))
        .filter(|word| word.starts_with("compute_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

async fn metrics_tell_of_money_and_machines_and_of_nobody(backend: Backend) {
    let home = Home::new(backend).await;
    let (server, client) = start(&home).await;
    let buyer = Buyer::new();
    let payment = buyer.sign(&server, &order()).await;
    let bought = pay(&server, &order(), &payment).await.json(200).unwrap();
    let id = id_of(&bought);
    let active = buyer.wait_for(&server, &id, "active").await;
    buyer.top_up(&server, 5).await;
    assert_eq!(server.get("/nowhere", &[]).await.status, 404);

    let credits = r#"compute_ledger_micros{account="credits",rail=""} 5000000"#;
    let machine = r#"compute_machines{provider="vultr",state="active"} 1"#;
    let text = wait_until(&client, |text| {
        text.contains(credits) && text.contains(machine)
    })
    .await;
    for line in [
        r#"compute_http_refusals_total{route="none",code="not_found"} 1"#,
        r#"compute_rail_calls_total{rail="base",call="settle",outcome="settled"} 2"#,
        r#"compute_rail_ready{rail="base"} 1"#,
        r#"compute_provider_calls_total{provider="vultr",call="create",outcome="ok"} 1"#,
        r#"compute_operations_rested_total{kind="topup",state="succeeded"} 1"#,
        r#"compute_ledger_moved_micros_total{reason="topup"} 5000000"#,
        r#"compute_http_requests_total{route="/compute/provision",method="POST",status="402"}"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    // Nobody who reads metrics learns who buys, or what.
    let machine = active["provider_instance_id"].as_str().unwrap();
    let payer = buyer.key.address().to_string();
    for secret in [&id, machine, &payer, &payer.to_lowercase()] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    if backend == Backend::Sqlite {
        let wallets = BTreeSet::from(OF_WALLETS.map(str::to_owned));
        assert_eq!(missing(&text), wallets, "in\n{text}");
    }
}

/// What alarms and dashboard read and nobody shows.
fn missing(text: &str) -> BTreeSet<String> {
    let shown = shown(text);
    let mut wanted = BTreeSet::new();
    for rule in rules() {
        wanted.extend(named(rule["expr"].as_str().unwrap()));
    }
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let names = named(target["expr"].as_str().unwrap());
            assert!(!names.is_empty(), "{panel}");
            wanted.extend(names);
        }
    }
    assert!(wanted.len() > 30, "{wanted:?}");
    wanted.retain(|name| !shown.contains(name.as_str()));
    wanted
}

/// Every rule, read as Prometheus reads it.
fn rules() -> Vec<Value> {
    let document: Value = serde_norway::from_str(ALERTS).unwrap();
    let groups = document["groups"].as_array().unwrap();
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap());
    rules.cloned().collect()
}

/// The heading as links name it.
fn anchor(heading: &str) -> String {
    let kept = heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == ' ' || *c == '-')
        .collect::<String>();
    kept.trim().replace(' ', "-")
}

#[test]
fn every_alarm_says_what_to_do() {
    let headings = OPERATIONS
        .lines()
        .filter_map(|line| line.strip_prefix("## "));
    let anchors: BTreeSet<String> = headings.map(anchor).collect();
    let mut names = BTreeSet::new();
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap().to_owned();
        let notes = &rule["annotations"];
        for note in ["summary", "action", "runbook"] {
            assert!(notes[note].as_str().unwrap().len() > 10, "{name}: {note}");
        }
        let (page, heading) = notes["runbook"].as_str().unwrap().split_once('#').unwrap();
        assert_eq!(page, "docs/operations.md");
        assert!(anchors.contains(heading), "{name}: no heading {heading}");
        assert!(OPERATIONS.contains(&format!("`{name}`")), "{name}");
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["page", "warn"].contains(&severity), "{name}");
        let expression = rule["expr"].as_str().unwrap();
        let is_known = !named(expression).is_empty() || expression.starts_with(OF_PROMETHEUS);
        assert!(is_known, "{name}");
        assert!(names.insert(name.clone()), "{name} is there twice");
    }
}

#[test]
fn names_are_found_in_expressions() {
    let names = named("sum by (le) (rate(compute_a_bucket{x=\"y\"}[5m])) / process_b > 1");
    let expected = ["compute_a_bucket", "process_b"].map(str::to_owned);
    assert_eq!(names, BTreeSet::from(expected));
}
