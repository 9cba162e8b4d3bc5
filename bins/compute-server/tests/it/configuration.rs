//! The configuration as an operator meets it.

use compute_testkit::faults_log::injected;
use std::path::Path;
use std::process::Output;

use crate::server::program;

pub(crate) const KEY: &str = "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

pub(crate) const GOOD: &str = r#"
[server]
public_url = "https://compute.example"
[secrets]
sealing_keys = [{ id = 1, key_file = "sealing-key" }]
[providers.vultr]
api_key = "VERYSECRETKEY"
[rails.base]
chain = "eip155:8453"
pay_to = "0x1111111111111111111111111111111111111111"
facilitator_url = "https://facilitator.example"
"#;

pub(crate) fn run(folder: &Path, file: &str, words: &[&str], variables: &[(&str, &str)]) -> Output {
    std::fs::write(folder.join("compute.toml"), file).unwrap();
    std::fs::write(folder.join("sealing-key"), format!("{KEY}\n")).unwrap();
    program(folder)
        .args(words)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).unwrap()
}

#[test]
fn the_environment_wins_over_the_file_and_secrets_are_masked() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("COMPUTE_SERVER_SECRETS__API_KEY_PEPPER", KEY),
        ("COMPUTE_SERVER_SERVER__LISTEN", "127.0.0.1:9"),
        (
            "COMPUTE_SERVER_DATABASE__URL",
            "postgres://shop:hunter2@localhost/shop",
        ),
    ];
    let output = run(folder.path(), GOOD, &["config", "check"], &variables);
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("server.listen = \"127.0.0.1:9\"  # COMPUTE_SERVER_SERVER__LISTEN"),
        "{said}"
    );
    assert!(
        said.contains("providers.vultr.api_key = (hidden)  # "),
        "{said}"
    );
    for secret in [KEY, "VERYSECRETKEY", "hunter2"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
}

#[test]
fn every_problem_is_named_at_once_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = GOOD
        .replace("https://facilitator", "http://facilitator")
        .replace("[server]", "[server]\ncolour = 1");
    for command in [["config", "check"].as_slice(), &["serve"], &["migrate"]] {
        let output = run(
            folder.path(),
            &file,
            command,
            &[("COMPUTE_SERVER_LOG__FORMAT", "xml")],
        );
        let said = said(&output);
        injected("F146");
        assert_eq!(output.status.code(), Some(1), "{said}");
        for problem in [
            "server.colour",
            "secrets.api_key_pepper",
            "rails.base.facilitator_url",
            "COMPUTE_SERVER_LOG__FORMAT",
        ] {
            assert!(said.contains(problem), "{command:?} {problem}: {said}");
        }
        assert!(!said.contains("VERYSECRETKEY"), "{said}");
        assert!(!folder.path().join("compute.db").exists());
    }
}

#[test]
fn serve_refuses_what_is_simulated() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("COMPUTE_SERVER_SECRETS__API_KEY_PEPPER", KEY),
        ("COMPUTE_SERVER_PROVIDERS__VULTR__BACKEND", "simulated"),
        ("COMPUTE_SERVER_RAILS__BASE__SETTLEMENT", "simulated"),
    ];
    let output = run(folder.path(), GOOD, &["serve"], &variables);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("providers.vultr.backend") && said.contains("rails.base.settlement"),
        "{said}"
    );
}

#[test]
fn dev_stays_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), "", &["dev", "--listen", "0.0.0.0:0"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("loopback"), "{}", said(&output));
}

#[test]
fn a_database_keeps_its_purpose() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [("COMPUTE_SERVER_SECRETS__API_KEY_PEPPER", KEY)];
    let migrated = run(folder.path(), GOOD, &["migrate"], &variables);
    assert!(migrated.status.success(), "{}", said(&migrated));
    let dev = [
        "dev",
        "--listen",
        "127.0.0.1:0",
        "--database",
        "sqlite:compute.db",
    ];
    let output = run(folder.path(), GOOD, &dev, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("this is a live database"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_named_file_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(
        folder.path(),
        GOOD,
        &["config", "check", "--config", "nowhere.toml"],
        &[],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("nowhere.toml"), "{}", said(&output));
}
