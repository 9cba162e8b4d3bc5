//! One process per SQLite file.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use compute_store::{ConnectError, Database, DatabaseConfig};
use compute_testkit::database::TestDatabase;
use compute_testkit::faults_log::injected;

/// Set in the child process that holds a database.
const HELD_URL: &str = "COMPUTE_STORE_HELD_URL";

fn config(url: &str) -> DatabaseConfig {
    DatabaseConfig {
        url: url.to_owned(),
        max_connections: 2,
        acquire_timeout: Duration::from_secs(30),
    }
}

async fn check_in_use(config: &DatabaseConfig) {
    injected("F131");
    let outcome = Database::connect(config).await;
    assert!(
        matches!(outcome, Err(ConnectError::InUse { .. })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_is_gone() {
    let test = TestDatabase::empty_sqlite().await;
    let path = test.config().url.replace("compute.db", "other.db");
    let first = Database::connect(&config(&path)).await.unwrap();
    let clone = first.clone();
    check_in_use(&config(&path)).await;
    drop(first);
    check_in_use(&config(&path)).await;
    drop(clone);
    Database::connect(&config(&path)).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_to_the_file_is_the_same_database() {
    let test = TestDatabase::sqlite().await;
    let file = test.config().url.trim_start_matches("sqlite://").to_owned();
    let link = file.replace("compute.db", "link.db");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    check_in_use(&config(&format!("sqlite://{link}"))).await;
}

#[tokio::test]
async fn a_database_without_a_file_or_a_kind_is_refused() {
    for url in ["sqlite::memory:", "sqlite://x.db?mode=memory"] {
        let outcome = Database::connect(&config(url)).await;
        assert!(
            matches!(outcome, Err(ConnectError::InMemory)),
            "{url}: {outcome:?}"
        );
    }
    for url in ["", "compute.db", "mysql://h/n"] {
        let outcome = Database::connect(&config(url)).await;
        assert!(
            matches!(outcome, Err(ConnectError::UnknownScheme)),
            "{url}: {outcome:?}"
        );
    }
    let outcome = Database::connect(&config("sqlite:///no/such/folder/x.db")).await;
    assert!(
        matches!(outcome, Err(ConnectError::LockFile { .. })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_killed_process_gives_its_database_back() {
    let test = TestDatabase::empty_sqlite().await;
    let url = test.config().url.replace("compute.db", "other.db");
    let mut child = spawn_holder(&url);
    check_in_use(&config(&url)).await;
    child.kill().unwrap();
    child.wait().unwrap();
    Database::connect(&config(&url)).await.unwrap();
}

/// This test binary again, running only the test below; returns once it holds the database.
fn spawn_holder(url: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "file_lock::the_child_process_holds_what_it_is_told",
            "--nocapture",
        ])
        .env(HELD_URL, url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let held = output
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("held"));
    assert!(held, "the child process ended early");
    child
}

/// Only in the child process of the test above; anywhere else there is nothing to hold.
#[tokio::test]
async fn the_child_process_holds_what_it_is_told() {
    let Some(url) = std::env::var_os(HELD_URL) else {
        return;
    };
    let _database = Database::connect(&config(url.to_str().unwrap()))
        .await
        .unwrap();
    let mut output = std::io::stdout();
    writeln!(output, "\nheld").unwrap();
    output.flush().unwrap();
    // Until it is killed, or the parent is gone.
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input).unwrap();
    assert_eq!(
        OsStr::new(""),
        OsStr::new(std::str::from_utf8(&input).unwrap())
    );
}
