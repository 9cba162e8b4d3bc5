//! The example that the README tells everybody to run.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::server::{Backend, Home};

/// Cargo builds the examples with the tests, beside the folder of the tests.
fn paid_flow() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own
        .parent()
        .unwrap()
        .join("../examples")
        .join(format!("paid_flow{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} is missing; build it: cargo build -p compute-server --example paid_flow",
        program.display()
    );
    program
}

#[tokio::test]
async fn the_paid_flow_of_the_readme_works() {
    let home = Home::new(Backend::Sqlite).await;
    let server = home.dev();
    let output = Command::new(paid_flow())
        .env_clear()
        .current_dir(home.path())
        .args(["--url", &server.url])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}{errors}");
    let last = said.lines().next_back().unwrap_or_default();
    let id = last
        .strip_prefix("Done: bought, listed, read, extended, resized and destroyed ")
        .and_then(|rest| rest.strip_suffix('.'))
        .unwrap_or_else(|| panic!("{last:?} is not the end of a sale:\n{said}"));
    assert!(server.log().contains(id), "{id}");
    // The machine and the top-up; the extension was paid with credits.
    assert_eq!(home.journal("settled-base").len(), 2);
    // A second machine and its extension, paid on Tempo.
    assert_eq!(home.journal("settled-tempo").len(), 2);
    let counts = home.count_rows(&["payments", "instances"]).await;
    assert_eq!((counts["payments"], counts["instances"]), (4, 2));
    assert_eq!(
        said.matches("Receipt: settled by tempo").count(),
        2,
        "{said}"
    );
    assert!(said.contains("Credits: 10.00 USD."), "{said}");
    assert!(said.contains("USD are left: "), "{said}");
}
