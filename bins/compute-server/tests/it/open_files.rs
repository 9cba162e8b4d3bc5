//! No file descriptors are left: connections wait, work goes on, and all is well once some are closed.

use std::process::Command;

use compute_testkit::database::count;
use compute_testkit::faults_log::injected;
use tokio::net::TcpStream;

use crate::buyer::{Buyer, order};
use crate::on_both_databases;
use crate::server::{Backend, Home, PATIENCE, Server, pause};

on_both_databases!(
    clients_leave_files_to_the_workers,
    a_server_without_files_works_on_and_recovers,
);

const ACTIVE: &str = "SELECT COUNT(*) FROM instances WHERE state = 'active'";

/// Fewer than `FLOOD` connections fit into it.
const FILES: u32 = 256;
const FLOOD: usize = 300;

/// Connections that say nothing; the system takes them for us until we do.
async fn flood(server: &Server) -> Vec<TcpStream> {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut connections = Vec::new();
    for _ in 0..FLOOD {
        connections.push(TcpStream::connect(address).await.unwrap());
    }
    connections
}

/// How many files and sockets a server has open.
fn open_files(server: &Server) -> usize {
    let folder = format!("/proc/{}/fd", server.process());
    std::fs::read_dir(folder).unwrap().count()
}

async fn until(server: &Server, what: &str, is_so: impl AsyncFn() -> bool) {
    let looking = async {
        while !is_so().await {
            pause().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, looking).await;
    assert!(waited.is_ok(), "never: {what}\n{}", server.log());
}

async fn until_active(home: &Home, server: &Server) {
    let url = home.absolute_url();
    until(server, "the machine is active", async || {
        count(&url, ACTIVE).await == 1
    })
    .await;
}

async fn until_ready(server: &Server) {
    let ready = tokio::time::timeout(PATIENCE, server.get("/readyz", &[])).await;
    assert_eq!(ready.unwrap().status, 200);
}

async fn check_sale(server: &Server) {
    let buyer = Buyer::new();
    let sold = buyer.buy(server, &order()).await;
    let id = sold["order"]["id"].as_str().unwrap();
    buyer.wait_for(server, id, "active").await;
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

async fn clients_leave_files_to_the_workers(backend: Backend) {
    let home = Home::new(backend).await;
    let server = home.dev_with_files(FILES);
    Buyer::new().buy(&server, &order()).await;
    let connections = flood(&server).await;
    injected("F143");
    until_active(&home, &server).await;
    drop(connections);
    until_ready(&server).await;
    check_sale(&server).await;
    let log = server.log();
    assert!(
        log.contains("fewer connections than limits.connections"),
        "{log}"
    );
    assert!(!log.contains("no connection can be accepted"), "{log}");
}

/// The limit sinks to what is open and a few more, which clients take.
async fn a_server_without_files_works_on_and_recovers(backend: Backend) {
    let home = Home::new(backend).await;
    let server = home.dev();
    Buyer::new().buy(&server, &order()).await;
    limit(&server, open_files(&server) + 8);
    let connections = flood(&server).await;
    until(&server, "no connection is accepted", async || {
        server.log().contains("no connection can be accepted")
    })
    .await;
    injected("F143");
    until_active(&home, &server).await;
    drop(connections);
    until_ready(&server).await;
    limit(&server, 4_096);
    check_sale(&server).await;
}

fn limit(server: &Server, files: usize) {
    let limited = Command::new("prlimit")
        .args(["--pid", &server.process().to_string()])
        .arg(format!("--nofile={files}:"))
        .status()
        .unwrap();
    assert!(limited.success());
}
