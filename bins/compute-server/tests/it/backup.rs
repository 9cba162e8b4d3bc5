//! The restore drill: a copy is made while the shop sells, the database is lost, and the copy takes its
//! place. And what a supervisor asks.

use std::path::Path;
use std::process::Output;

use crate::buyer::{Buyer, order, pay};
use crate::first_sale::id_of;
use crate::ops::{document, ops, said};
use crate::server::{Backend, Home, PATIENCE, Server, pause, program};

const DATABASE: &str = "sqlite:compute-dev.db";

fn run(home: &Home, words: &[&str]) -> Output {
    program(home.path()).args(words).output().unwrap()
}

async fn buy(buyer: &Buyer, server: &Server) -> String {
    let payment = buyer.sign(server, &order()).await;
    let bought = pay(server, &order(), &payment).await.json(200).unwrap();
    let id = id_of(&bought);
    buyer.wait_for(server, &id, "active").await;
    id
}

/// Takes the database away, with what SQLite has beside it.
fn lose_database(folder: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let path = folder.join(format!("compute-dev.db{suffix}"));
        if path.exists() {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_database_comes_back_from_a_copy_that_was_made_while_it_sold() {
    let home = Home::new(Backend::Sqlite).await;
    let mut server = home.dev();
    let buyer = Buyer::new();
    let before = buy(&buyer, &server).await;

    let folder = home.path().to_owned();
    let copying = tokio::task::spawn_blocking(move || {
        let words = ["backup", "--database", DATABASE, "--to", "copy.db"];
        program(&folder).args(words).output().unwrap()
    });
    let (copied, _) = tokio::join!(copying, buy(&buyer, &server));
    let text = said(&copied.unwrap(), 0);
    assert!(text.contains("every promise is kept"), "{text}");
    // Once more under the same name would destroy a good copy.
    let backup = ["backup", "--database", DATABASE, "--to", "copy.db"];
    assert!(!run(&home, &backup).status.success());

    let after = buy(&buyer, &server).await;
    let read = last_event(&buyer, &server).await;
    let machines = home.journal("vultr").len();
    server.kill();
    let restore = ["restore", "--database", DATABASE, "--from", "copy.db"];
    let refused = run(&home, &restore);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("move the database away"));
    lose_database(home.path());
    // What SQLite had beside the lost one would be taken for a part of the restored one.
    let leftover = home.path().join("compute-dev.db-wal");
    std::fs::write(&leftover, "old").unwrap();
    assert!(!run(&home, &restore).status.success());
    std::fs::remove_file(leftover).unwrap();
    said(&run(&home, &restore), 0);

    let server = home.dev();
    let quarantine = said(&ops(&home, &["quarantine"]), 0);
    assert!(
        quarantine.contains("restored from a backup"),
        "{quarantine}"
    );
    buyer.wait_for(&server, &before, "active").await;
    let path = format!("/compute/instances/{after}");
    assert_eq!(buyer.signed(&server, "GET", &path, "").await.status, 404);
    assert_eq!(document(&home, &["audit"], 0)["ok"], true);
    wait_for_suspects(&home).await;
    // What was sold since the backup runs on: its buyer has paid.
    assert_eq!(home.journal("vultr").len(), machines);
    // And the shop sells.
    buy(&buyer, &server).await;
    assert_eq!(document(&home, &["audit"], 0)["ok"], true);
    // Whoever reads on from where it was misses nothing of it.
    let told = last_event(&buyer, &server).await;
    assert!(told > read, "{told} after {read}");
}

async fn last_event(buyer: &Buyer, server: &Server) -> u64 {
    let feed = buyer.signed(server, "GET", "/compute/events", "").await;
    let feed = feed.json(200).unwrap();
    let last = feed["events"].as_array().unwrap().last().unwrap();
    last["sequence"].as_u64().unwrap()
}

/// The machine that the copy does not know.
async fn wait_for_suspects(home: &Home) {
    let looking = async {
        while said(&ops(home, &["suspects"]), 0).starts_with("Every machine") {
            pause().await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_can_ask_whether_the_server_is_well() {
    let home = Home::new(Backend::Sqlite).await;
    let mut server = home.dev();
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let alive = ["health", "--address", &address];
    assert!(said(&run(&home, &alive), 0).contains("\"ok\""));
    let ready = ["health", "--ready", "--address", &address];
    assert!(said(&run(&home, &ready), 0).contains("\"ready\":true"));
    server.kill();
    assert!(!run(&home, &alive).status.success());
}
