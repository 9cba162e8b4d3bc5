//! A receiver on this machine agrees to hear, and hears of a purchase what the feed says of it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::buyer::{Buyer, order};
use crate::first_sale::id_of;
use crate::on_both_databases;
use crate::server::{Backend, Home, PATIENCE, Server, pause, program};

on_both_databases!(a_purchase_is_told_to_a_receiver_that_agreed);

/// A body and the header that signs it.
type Parcel = (Value, String);

/// Takes whatever is posted to it.
#[expect(clippy::disallowed_methods, reason = "a receiver runs beside the test")]
async fn receiver() -> (String, mpsc::UnboundedReceiver<Parcel>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, parcels) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if sender.send(take(stream).await).is_err() {
                return;
            }
        }
    });
    (url, parcels)
}

async fn take(mut stream: TcpStream) -> Parcel {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0_u8; 4_096];
        let count = stream.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..count]);
        let read = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = read.split_once("\r\n\r\n") else {
            continue;
        };
        assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
        let header = |name: &str| {
            let lines = head.lines();
            let mut pairs = lines.filter_map(|line| line.split_once(": "));
            let found = pairs.find(|(own, _)| own.eq_ignore_ascii_case(name));
            found
                .unwrap_or_else(|| panic!("no {name}: {head}"))
                .1
                .to_owned()
        };
        if body.len() == header("content-length").parse::<usize>().unwrap() {
            let answer = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            let signature = header("x-compute-signature");
            return (serde_json::from_str(body).unwrap(), signature);
        }
    }
}

fn dev_with_loopback_webhooks(home: &Home) -> Server {
    let mut command = program(home.path());
    command.args(["dev", "--loopback-webhooks", "--listen", "127.0.0.1:0"]);
    command.args(["--time-scale", "20", "--database"]);
    command.arg(home.database_url());
    Server::launch(home, command)
}

async fn a_purchase_is_told_to_a_receiver_that_agreed(backend: Backend) {
    let home = Home::new(backend).await;
    let server = dev_with_loopback_webhooks(&home);
    let (url, mut parcels) = receiver().await;
    let buyer = Buyer::new();
    let body = json!({ "url": url, "events": ["instance.active"] }).to_string();
    let made = buyer
        .signed(&server, "POST", "/compute/webhooks", &body)
        .await;
    let made = made.json(200).unwrap();
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(made["webhook"]["status"], "waiting");
    let id = made["webhook"]["id"].as_str().unwrap();
    let path = format!("/compute/webhooks/{id}/ping");
    let pinged = buyer
        .signed(&server, "POST", &path, "")
        .await
        .json(200)
        .unwrap();
    assert_eq!(pinged["webhook"]["status"], "active", "{pinged}");
    let (ping, signature) = parcels.recv().await.unwrap();
    assert_eq!(ping["type"], "ping");
    assert_eq!(signature.matches(",v1=").count(), 1, "{signature}");

    let bought = buyer.buy(&server, &order()).await;
    let order_id = id_of(&bought);
    let told = tokio::time::timeout(PATIENCE.min(Duration::from_secs(60)), parcels.recv());
    let (event, _) = told.await.unwrap().unwrap();
    assert_eq!(event["type"], "instance.active");
    assert_eq!(event["order_id"], order_id);
    let feed = buyer
        .signed(&server, "GET", "/compute/events", "")
        .await
        .json(200)
        .unwrap();
    let events = feed["events"].as_array().unwrap();
    assert!(events.contains(&event), "{feed}");

    let path = format!("/compute/webhooks/{id}/deliveries");
    // What became of a delivery is written when its receiver has it already.
    let written = async {
        loop {
            let log = buyer.signed(&server, "GET", &path, "").await;
            let log = log.json(200).unwrap();
            if log["deliveries"].as_array().map(Vec::len) == Some(2) {
                return;
            }
            pause().await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.unwrap();
    // Only by the explicit setting.
    let other = Home::new(Backend::Sqlite).await;
    let strict = other.dev();
    let refused = buyer
        .signed(&strict, "POST", "/compute/webhooks", &body)
        .await;
    assert_eq!(refused.json(400).unwrap()["code"], "invalid_request");
}
