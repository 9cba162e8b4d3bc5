//! Output that nobody reads: `compute … | head`, and a log whose reader has gone.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::process::{Output, Stdio};
use std::time::Duration;

use crate::town::Town;

const PLAN: &str = "vc2-1c-1gb";

/// A stream whose reader has gone already.
fn unread() -> Stdio {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// Runs the command, and nobody reads what it was asked for.
fn into_nothing(town: &Town, words: &[&str]) -> Output {
    let mut command = town.command(&town.url);
    let child = command.args(words).stdout(unread()).stderr(Stdio::piped());
    child.spawn().unwrap().wait_with_output().unwrap()
}

#[test]
fn output_that_nobody_reads_ends_a_command_quietly() {
    let town = Town::open();
    for words in [
        &["plans"][..],
        &["--json", "plans"],
        &["completions", "bash"],
        &["keys", "list"],
        &["budget"],
    ] {
        let output = into_nothing(&town, words);
        assert_eq!(output.status.code(), Some(141), "{words:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked"), "{words:?}: {said}");
    }
    let help = into_nothing(&town, &["--help"]);
    assert!(!String::from_utf8_lossy(&help.stderr).contains("panicked"));
    // What went wrong is still said by the exit code.
    let refused = into_nothing(&town, &["--json", "provision", "--plan", "no-such-plan"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let mut deaf = town.command(&town.url);
    let deaf = deaf.args(["provision", "--plan", "no-such-plan"]);
    let deaf = deaf.stdout(unread()).stderr(unread()).status().unwrap();
    assert_eq!(deaf.code(), Some(1));
}

#[test]
fn a_purchase_is_made_to_its_end_when_nobody_reads() {
    let town = Town::open();
    let bought = into_nothing(&town, &["provision", "--plan", PLAN, "--wait"]);
    assert_eq!(bought.status.code(), Some(141), "{bought:?}");
    assert_eq!(town.machines().len(), 1);
    let budget = town.run(&["budget"]);
    assert_eq!(budget.json["open_usd"], "0.00", "{budget:?}");
    let history = town.run(&["history"]);
    assert_eq!(history.json["purchases"].as_array().unwrap().len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let town = Town::open();
    let full = std::fs::File::create("/dev/full").unwrap();
    let mut command = town.command(&town.url);
    let child = command.arg("budget").stdout(full).stderr(Stdio::piped());
    let output = child.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("could not be written"), "{said}");
}

#[test]
fn a_server_of_tools_lives_on_when_nobody_reads_its_log() {
    let town = Town::open();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut command = town.command(&town.url);
    command.args(["mcp", "--http", &address.to_string()]);
    let mut child = command.stderr(unread()).spawn().unwrap();
    let is_there = (0..6_000).any(|_| {
        assert_eq!(child.try_wait().unwrap(), None, "it ended");
        std::thread::sleep(Duration::from_millis(10));
        TcpStream::connect(address).is_ok()
    });
    assert!(is_there, "it does not listen");
    // It has said where it listens by the time it takes a connection from its queue and answers.
    let mut stream = TcpStream::connect(address).unwrap();
    io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    io::Read::read_to_end(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}
