//! Database files that cannot be used, or vanish: the server says so and does not begin anew.

use compute_testkit::faults_log::injected;

use crate::buyer::{Buyer, order, pay, text};
use crate::configuration::{GOOD, KEY, run, said};
use crate::server::{Backend, Home, PATIENCE, Server, pause, program};

const FILE: &str = "compute-dev.db";

#[test]
fn a_server_without_a_usable_file_does_not_start_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let file = "it must be a file that can be read and written";
    let parent = "its folder must exist and be writable";
    for (database, advice) in [
        ("sqlite:folder", file),
        ("sqlite:nowhere/compute.db", parent),
        ("sqlite:file/compute.db", parent),
        ("sqlite:/proc/compute.db", parent),
    ] {
        let variables = [
            ("COMPUTE_SERVER_SECRETS__API_KEY_PEPPER", KEY),
            ("COMPUTE_SERVER_DATABASE__URL", database),
        ];
        for command in ["serve", "migrate"] {
            let output = run(folder.path(), GOOD, &[command], &variables);
            injected("F133");
            let said = said(&output);
            assert_eq!(output.status.code(), Some(1), "{database}: {said}");
            assert!(said.contains(advice), "{database}: {said}");
        }
    }
}

/// Not ready, no price, no sale, until the file is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_file_vanishes_stops_selling_and_the_next_does_not_begin_anew() {
    let home = Home::new(Backend::Sqlite).await;
    let mut server = home.dev();
    let buyer = Buyer::new();
    let payment = buyer.sign(&server, &order()).await;
    let (file, kept) = (home.path().join(FILE), home.path().join("kept.db"));
    std::fs::rename(&file, &kept).unwrap();
    injected("F133");
    wait_for(&server, 503).await;
    let unpaid = server.send("POST", "/compute/provision", &[], "").await;
    assert_eq!(unpaid.status, 503, "{}", text(&unpaid));
    let paid = pay(&server, &order(), &payment).await;
    assert_eq!(paid.status, 503, "{}", text(&paid));
    assert!(!file.exists());

    // The same file: nothing was lost.
    std::fs::rename(&kept, &file).unwrap();
    wait_for(&server, 200).await;
    let paid = pay(&server, &order(), &payment).await.json(200).unwrap();
    let id = paid["order"]["id"].as_str().unwrap();
    buyer.wait_for(&server, id, "active").await;

    std::fs::rename(&file, &kept).unwrap();
    server.terminate();
    server.wait().await;
    let words = ["dev", "--listen", "127.0.0.1:0"];
    let next = program(home.path()).args(words).output().unwrap();
    injected("F133");
    let said = said(&next);
    assert_eq!(next.status.code(), Some(1), "{said}");
    assert!(said.contains("put it back"), "{said}");
    assert!(!file.exists());
    std::fs::rename(&kept, &file).unwrap();
    let server = home.dev();
    buyer.wait_for(&server, id, "active").await;
}

async fn wait_for(server: &Server, status: u16) {
    let waiting = async {
        while server.get("/readyz", &[]).await.status != status {
            pause().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "never {status}");
}
