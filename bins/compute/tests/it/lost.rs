//! Answers that get lost between the shop and the command.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::town::Town;

const PLAN: &str = "vc2-1c-1gb";

/// A stretch of the way to the shop. While it is bad, what is paid arrives there and its answer does not come back.
struct Way {
    url: String,
    is_bad: Arc<AtomicBool>,
    lost: Arc<AtomicUsize>,
}

impl Way {
    fn to(shop: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            is_bad: Arc::new(AtomicBool::new(true)),
            lost: Arc::default(),
        };
        let (is_bad, lost) = (Arc::clone(&way.is_bad), Arc::clone(&way.lost));
        let shop = shop.trim_start_matches("http://").to_owned();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (shop, is_bad, lost) = (shop.clone(), Arc::clone(&is_bad), Arc::clone(&lost));
                thread::spawn(move || carry(stream.unwrap(), &shop, &is_bad, &lost));
            }
        });
        way
    }
}

/// Carries requests of one connection, one after the other.
fn carry(mut client: TcpStream, shop: &str, is_bad: &AtomicBool, lost: &AtomicUsize) {
    while let Some(request) = read_message(&mut client) {
        let mut server = TcpStream::connect(shop).unwrap();
        server.write_all(&request).unwrap();
        let answer = read_message(&mut server).unwrap();
        let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
        let pays = head.contains("payment-signature:") || head.contains("authorization: payment");
        if pays && is_bad.load(Ordering::SeqCst) {
            lost.fetch_add(1, Ordering::SeqCst);
            let _ = client.shutdown(Shutdown::Both);
            return;
        }
        if client.write_all(&answer).is_err() {
            return;
        }
    }
}

/// A whole message with its length in its head; nothing at the end of the connection.
fn read_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    let mut part = [0; 4_096];
    loop {
        if let Some(end) = message.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&message[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if message.len() >= end + 4 + length {
                return Some(message);
            }
        }
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(read) => message.extend_from_slice(&part[..read]),
        }
    }
}

#[test]
fn an_answer_that_is_lost_for_good_is_found_again_by_another_command() {
    for means in ["base", "tempo"] {
        let town = Town::open();
        let way = Way::to(&town.url);
        let words = [
            "provision",
            "--plan",
            PLAN,
            "--pay",
            means,
            "--patience",
            "1",
        ];
        let unknown = town.at(&way.url, &words);
        assert_eq!(
            (unknown.code, unknown.result()),
            (6, "unknown"),
            "{unknown:?}"
        );
        assert!(way.lost.load(Ordering::SeqCst) > 0);
        let budget = town.run(&["budget"]);
        assert_eq!(budget.json["spent_usd"], "0.00");
        let price = budget.json["open_usd"].as_str().unwrap().to_owned();

        // The same again finds the same, and pays nothing more.
        way.is_bad.store(false, Ordering::SeqCst);
        let found = town.at(&way.url, &["recover"]);
        assert_eq!(found.code, 0, "{found:?}");
        let purchases = found.json["purchases"].as_array().unwrap();
        assert_eq!(purchases.len(), 1);
        assert_eq!(purchases[0]["id"], unknown.json["id"]);
        let machines = town.machines();
        assert_eq!(machines.len(), 1);
        assert_eq!(purchases[0]["reply"]["order"]["id"], machines[0]["id"]);
        let budget = town.run(&["budget"]);
        assert_eq!(budget.json["spent_usd"], price.as_str());
        assert_eq!(budget.json["open_usd"], "0.00");
        assert_eq!(
            town.run(&["recover"]).json["purchases"],
            serde_json::json!([])
        );
    }
}

#[test]
fn an_answer_that_is_lost_once_is_asked_for_again_at_once() {
    let town = Town::open();
    let way = Way::to(&town.url);
    let is_bad = Arc::clone(&way.is_bad);
    let lost = Arc::clone(&way.lost);
    let mender = thread::spawn(move || {
        while lost.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        is_bad.store(false, Ordering::SeqCst);
    });
    let bought = town.at(&way.url, &["provision", "--plan", PLAN]);
    mender.join().unwrap();
    assert_eq!((bought.code, bought.result()), (0, "done"), "{bought:?}");
    assert!(way.lost.load(Ordering::SeqCst) > 0);
    assert_eq!(town.machines().len(), 1);
}
