//! The end of a server, orderly or not, loses nothing.

use compute_testkit::faults_log::injected;
use compute_testkit::{facilitator, vultr};

use crate::buyer::{Buyer, order, pay, text};
use crate::on_both_databases;
use crate::rehearsal::serve;
use crate::server::{Backend, Home, PATIENCE, pause};

on_both_databases!(
    a_terminated_server_ends_well_and_the_next_goes_on,
    a_killed_server_s_work_is_finished_by_the_next,
    a_payer_who_waits_is_answered_before_the_end,
);

async fn a_terminated_server_ends_well_and_the_next_goes_on(backend: Backend) {
    let home = Home::new(backend).await;
    let mut server = home.dev();
    let buyer = Buyer::new();
    let id = buyer.buy(&server, &order()).await["order"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    server.terminate();
    let status = server.wait().await;
    assert_eq!(status.code(), Some(0), "{}", server.log());
    let server = home.dev();
    buyer.wait_for(&server, &id, "active").await;
}

async fn a_killed_server_s_work_is_finished_by_the_next(backend: Backend) {
    let home = Home::new(backend).await;
    let mut server = home.dev();
    let buyer = Buyer::new();
    let id = buyer.buy(&server, &order()).await["order"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    server.kill();
    let server = home.dev();
    buyer.wait_for(&server, &id, "active").await;
    assert_eq!(home.journal("vultr").len(), 1);
}

async fn a_payer_who_waits_is_answered_before_the_end(backend: Backend) {
    let home = Home::new(backend).await;
    let cloud = vultr::spawn(vultr::Options::default()).await.unwrap();
    let network = facilitator::spawn(facilitator::Options::default())
        .await
        .unwrap();
    let mut server = serve(&home, &cloud.api_url(), &network);
    let buyer = Buyer::new();
    let payment = buyer.sign(&server, &order()).await;
    cloud.inject(vultr::Fault::CreateThenHang);
    let order = order();
    let terminated = async {
        while cloud.machines().is_empty() {
            pause().await;
        }
        server.terminate();
    };
    let both = async { tokio::join!(pay(&server, &order, &payment), terminated) };
    let (answer, ()) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert_eq!(answer.status, 200, "{}", text(&answer));
    let reply = answer.json(200).unwrap();
    let status = reply["order"]["status"].as_str().unwrap();
    assert!(["pending", "provisioning"].contains(&status), "{reply}");
    assert_eq!(server.wait().await.code(), Some(0), "{}", server.log());

    let server = serve(&home, &cloud.api_url(), &network);
    let id = reply["order"]["id"].as_str().unwrap();
    buyer.wait_for(&server, id, "active").await;
    assert_eq!(cloud.machines().len(), 1);
}

#[tokio::test]
async fn an_idle_server_ends_at_once() {
    let home = Home::new(Backend::Sqlite).await;
    let mut server = home.dev();
    // A connection that is kept alive must not keep the server alive.
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let _idle = tokio::net::TcpStream::connect(address).await.unwrap();
    server.terminate();
    assert_eq!(server.wait().await.code(), Some(0));
}

#[tokio::test]
async fn two_servers_do_not_share_a_sqlite_database() {
    let home = Home::new(Backend::Sqlite).await;
    let _first = home.dev();
    let second = crate::server::program(home.path())
        .args(["dev", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    injected("F131");
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("another process uses the database"), "{said}");
}
