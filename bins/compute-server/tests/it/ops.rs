//! `ops`: an operator looks and decides while the server runs.

use std::process::Output;

use compute_domain::id::{InstanceId, OperationId, TransferId};
use compute_domain::instance::FailureCode;
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::operation::{OperationState, Step};
use compute_domain::payment::RailLabel;
use compute_domain::time::{Entropy, Span, Timestamp};
use compute_engine::ports::{Posted, Store as _, TxMode};
use compute_testkit::{facilitator, vultr};
use compute_x402::PaymentPayload;
use serde_json::Value;

use crate::buyer::{Buyer, dollars, now_ms, order, pay, random};
use crate::first_sale::id_of;
use crate::on_both_databases;
use crate::rehearsal::serve;
use crate::server::{Backend, Home, PATIENCE, pause, program};

on_both_databases!(
    the_books_are_audited_beside_a_running_server,
    a_stuck_payment_is_tried_again,
    a_stuck_payment_is_refunded,
);

/// Runs `ops` with the database of a home.
pub(crate) fn ops(home: &Home, words: &[&str]) -> Output {
    let database = home.database_url();
    program(home.path())
        .args(["ops", "--database", &database])
        .args(words)
        .output()
        .unwrap()
}

/// What it printed, when it ended as expected.
pub(crate) fn said(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}{errors}");
    text
}

pub(crate) fn document(home: &Home, words: &[&str], code: i32) -> Value {
    let output = ops(home, &[&["--json"], words].concat());
    serde_json::from_str(&said(&output, code)).unwrap()
}

async fn the_books_are_audited_beside_a_running_server(backend: Backend) {
    let home = Home::new(backend).await;
    let server = home.dev();
    assert!(said(&ops(&home, &["list"]), 0).starts_with("Nothing is stuck"));
    assert!(said(&ops(&home, &["suspects"]), 0).starts_with("Every machine"));
    assert!(said(&ops(&home, &["audit"]), 0).starts_with("No promise is broken"));

    let buyer = Buyer::new();
    let payment = buyer.sign(&server, &order()).await;
    let bought = pay(&server, &order(), &payment).await.json(200).unwrap();
    let id = id_of(&bought);
    buyer.wait_for(&server, &id, "active").await;
    buyer.top_up(&server, 5).await;
    assert_eq!(document(&home, &["audit"], 0)["ok"], true);
    let operation = expect_story(&home, &payment, &id);

    plant_unpaid_credit(&home, operation).await;
    let findings = said(&ops(&home, &["audit"]), 1);
    assert!(findings.contains(&operation.to_string()), "{findings}");
    let document = document(&home, &["audit"], 1);
    assert_eq!(document["ok"], false);
    assert!(!document["findings"].as_array().unwrap().is_empty());

    // A decision about what is not stuck changes nothing, and says so.
    for words in [
        ["retry", &operation.to_string()].as_slice(),
        &["refund", &operation.to_string(), "--reason", "why not"],
        &["show", "00000000-0000-0000-0000-000000000000"],
    ] {
        let refused = ops(&home, words);
        said(&refused, 2);
        assert!(String::from_utf8_lossy(&refused.stderr).contains("operation"));
    }
}

/// The story of an order, found by its public id. Says which operation delivered it.
fn expect_story(home: &Home, payment: &PaymentPayload, id: &str) -> OperationId {
    let story = document(home, &["show", id], 0);
    assert_eq!(story["order"]["id"], id);
    assert_eq!(story["order"]["lots"].as_array().unwrap().len(), 1);
    assert_eq!(story["owner"]["balance"], "5.00");
    let told = &story["operations"][0];
    assert_eq!(told["operation"]["state"], "succeeded");
    assert_eq!(told["payment"]["state"], "settled");
    assert_eq!(told["transfers"][0]["reason"], "sale");
    assert!(told["events"].as_array().unwrap().len() > 2, "{story}");
    let operation = told["operation"]["id"].as_str().unwrap();
    let text = said(&ops(home, &["show", operation]), 0);
    assert!(text.contains(&format!("Order {id}")), "{text}");
    let header = payment.to_header();
    let printed = format!("{story}{text}");
    assert!(!printed.contains(&header), "the proof was printed");
    operation.parse().unwrap()
}

/// Credits that no payment brought, as only a fault of ours could write them.
pub(crate) async fn plant_unpaid_credit(home: &Home, operation: OperationId) {
    let database = home.open_database().await;
    let mut tx = database.begin(TxMode::Write).await.unwrap();
    let found = tx.find_operation(operation).await.unwrap().unwrap();
    let transfer = Transfer {
        id: TransferId::generate(now(), &Random),
        debit: Account::Clearing(RailLabel::parse("base").unwrap()),
        credit: Account::Credits(found.owner),
        amount: compute_domain::money::Usd::parse("1").unwrap(),
        reason: TransferReason::Topup,
        cause: operation.into(),
        created_at: now(),
    };
    assert_eq!(tx.post_transfer(&transfer).await.unwrap(), Posted::New);
    tx.commit().await.unwrap();
    database.close().await;
}

/// A purchase whose server died while the facilitator was asked to settle, as an operator finds it
/// once all looks were in vain.
struct Stuck {
    home: Home,
    cloud: vultr::Handle,
    network: facilitator::Handle,
    buyer: Buyer,
    payment: PaymentPayload,
    operation: OperationId,
    instance: InstanceId,
}

impl Stuck {
    async fn make(backend: Backend, fault: facilitator::Fault) -> Self {
        let home = Home::new(backend).await;
        let cloud = vultr::spawn(vultr::Options::default()).await.unwrap();
        let network = facilitator::spawn(facilitator::Options::default())
            .await
            .unwrap();
        network.inject(fault);
        let buyer = Buyer::new();
        let mut server = serve(&home, &cloud.api_url(), &network);
        let order = order();
        let payment = buyer.sign(&server, &order).await;
        let asked = async {
            while network.calls("/settle") == 0 || !is_settling(&home).await {
                pause().await;
            }
        };
        tokio::select! {
            answer = pay(&server, &order, &payment) => panic!("answered {}", answer.status),
            asked = tokio::time::timeout(PATIENCE, asked) => asked.unwrap(),
        }
        server.kill();
        let (operation, instance) = give_up(&home).await;
        Self {
            home,
            cloud,
            network,
            buyer,
            payment,
            operation,
            instance,
        }
    }

    fn serve(&self) -> crate::server::Server {
        serve(&self.home, &self.cloud.api_url(), &self.network)
    }

    /// The operator finds it in the list, and reads what can be done.
    fn expect_in_list(&self) {
        let list = document(&self.home, &["list"], 0);
        let operations = list["operations"].as_array().unwrap();
        assert_eq!(operations.len(), 1, "{list}");
        assert_eq!(operations[0]["id"], self.operation.to_string());
        assert_eq!(operations[0]["code"], "settlement_unknown");
        let id = self.operation.to_string();
        let text = said(&ops(&self.home, &["show", &id]), 0);
        assert!(text.contains("stuck at step settle"), "{text}");
        assert!(text.contains("ops retry"), "{text}");
    }
}

async fn is_settling(home: &Home) -> bool {
    home.count_rows(&["payments"]).await["payments"] == 1
}

/// Makes the only operation stuck, as the driver does after hours without an answer.
async fn give_up(home: &Home) -> (OperationId, InstanceId) {
    let database = home.open_database().await;
    let mut tx = database.begin(TxMode::Write).await.unwrap();
    let future = now().plus(Span::from_hours(1));
    let claimed = tx.claim_due("test", future, future, 10).await.unwrap();
    let [(operation, lease)] = claimed.as_slice() else {
        panic!("not one operation: {claimed:?}");
    };
    let stuck = OperationState::Stuck {
        code: FailureCode::SettlementUnknown,
        step: Step::Settle,
    };
    let stuck = operation.clone().rest(stuck, now());
    tx.save_operation(&stuck, lease, now()).await.unwrap();
    tx.release_lease(lease).await.unwrap();
    tx.commit().await.unwrap();
    database.close().await;
    (stuck.id, stuck.instance.unwrap())
}

/// The money had moved: the chain says so when it is asked again.
async fn a_stuck_payment_is_tried_again(backend: Backend) {
    let stuck = Stuck::make(backend, facilitator::Fault::SettleThenHang).await;
    let server = stuck.serve();
    stuck.expect_in_list();
    let id = stuck.operation.to_string();
    let text = said(&ops(&stuck.home, &["retry", &id]), 0);
    assert!(text.contains("runs again at step settle"), "{text}");
    let instance = stuck.instance.to_string();
    stuck.buyer.wait_for(&server, &instance, "active").await;
    let again = pay(&server, &order(), &stuck.payment).await;
    assert_eq!(id_of(&again.json(200).unwrap()), instance);
    assert_eq!(stuck.cloud.machines().len(), 1);
    assert_eq!(document(&stuck.home, &["audit"], 0)["ok"], true);
    assert!(said(&ops(&stuck.home, &["list"]), 0).starts_with("Nothing is stuck"));
}

/// Nobody knows, and nobody will.
async fn a_stuck_payment_is_refunded(backend: Backend) {
    let stuck = Stuck::make(backend, facilitator::Fault::SettleThenHang).await;
    stuck.expect_in_list();
    let id = stuck.operation.to_string();
    let nameless = ops(&stuck.home, &["refund", &id]);
    said(&nameless, 2);
    let words = ["refund", &id, "--reason", "the chain was forked away"];
    let refunded = document(&stuck.home, &words, 0);
    let price = refunded["credited"].as_str().unwrap();
    assert_eq!(refunded["owner"]["balance"], price);

    let server = stuck.serve();
    let balance = stuck.buyer.balance(&server).await.balance;
    assert_eq!(balance.to_string(), price);
    let path = format!("/compute/instances/{}", stuck.instance);
    let seen = stuck.buyer.signed(&server, "GET", &path, "").await;
    let seen = seen.json(200).unwrap()["order"].clone();
    assert_eq!(seen["status"], "failed");
    assert_eq!(dollars(&seen["payment_amount"]), balance);
    assert!(stuck.cloud.machines().is_empty());
    assert_eq!(document(&stuck.home, &["audit"], 0)["ok"], true);
    let story = said(&ops(&stuck.home, &["show", &id]), 0);
    assert!(story.contains("the chain was forked away"), "{story}");
    said(&ops(&stuck.home, &words), 2);
}

#[test]
fn a_database_that_no_server_made_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let output = program(folder.path())
        .args(["ops", "list", "--database", "sqlite:nothing.db"])
        .output()
        .unwrap();
    said(&output, 2);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let both = ["ops", "list", "--database", "sqlite:x", "--config", "y"];
    let output = program(folder.path()).args(both).output().unwrap();
    said(&output, 2);
}

#[derive(Debug)]
struct Random;

impl Entropy for Random {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            [*byte] = random();
        }
    }
}

fn now() -> Timestamp {
    Timestamp::from_millis(i64::try_from(now_ms()).unwrap())
}
