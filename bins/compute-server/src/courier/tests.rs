use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use compute_testkit::faults_log::injected;

use super::*;

const OWN: &str = "shop.example.com";

fn courier(allows_loopback: bool) -> PublicCourier {
    PublicCourier::new(OWN.to_owned(), allows_loopback)
}

/// Plays `script` for every connection, and tells what it was first sent over each.
fn receiver(script: fn(&mut TcpStream)) -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, requests) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut first = vec![0; 16 << 10];
            let count = stream.read(&mut first).unwrap();
            first.truncate(count);
            // The test may be over before the last connection is.
            let _ = seen.send(first);
            script(&mut stream);
        }
    });
    (address, requests)
}

/// Hands something to a receiver on this machine, with little patience.
async fn hand_to(address: SocketAddr) -> Handed {
    let courier = PublicCourier {
        patience: Duration::from_secs(2),
        ..courier(true)
    };
    let url = format!("http://{address}/hook");
    courier.hand(&url, "{}", "t=1,v1=00").await
}

fn holds(bytes: &[u8], name: &str) -> bool {
    bytes
        .windows(name.len())
        .any(|part| part == name.as_bytes())
}

#[test]
fn a_url_that_leads_inwards_is_refused_in_every_spelling() {
    let courier = courier(false);
    for url in [
        "http://hooks.example.com/",
        "http://127.0.0.1:8000/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://0x7f000001/",
        "https://127.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://user@hooks.example.com/",
        "https://hooks.example.com:8443/",
        "https://localhost/",
        "https://localhost./",
        "https://\u{ff4c}ocalhost/",
        "https://metadata.google.internal/",
        "https://shop.example.com/compute/webhooks",
        "https://SHOP.example.com./",
    ] {
        injected("F240");
        assert!(courier.check(url).is_err(), "{url}");
    }
    let good = "https://xn--bcher-kva.example/";
    assert_eq!(courier.check(good).as_deref(), Ok(good));
}

/// What was refused when it was registered is not called either.
#[tokio::test]
async fn what_breaks_the_rules_by_now_is_not_called() {
    let (address, requests) = receiver(|_| {});
    let url = format!("http://{address}/hook");
    let handed = courier(false).hand(&url, "{}", "t=1,v1=00").await;
    assert!(matches!(handed, Handed::Failed(_)), "{handed:?}");
    assert!(requests.try_recv().is_err());
}

/// DNS says something else, here nothing at all, once the name was judged: the connection goes to the
/// address that was judged, and asks there for the name.
#[tokio::test]
async fn only_the_address_that_was_judged_is_connected_to() {
    let (judged, requests) = receiver(|_| {});
    let url = "https://hooks.nowhere.example/hook";
    let courier = courier(false);
    let parsed = PublicUrl::parse(url, courier.rules()).unwrap();
    let none = parsed.resolve().await.unwrap_err();
    injected("F241");
    let handed = courier
        .send_to(&parsed, vec![judged], "{}", "t=1,v1=00")
        .await;
    // It has no certificate for the name, so it is told nothing but that.
    assert!(matches!(handed, Handed::Failed(_)), "{handed:?}");
    let hello = requests.recv().unwrap();
    assert_eq!(hello.first(), Some(&22), "a greeting of TLS");
    assert!(holds(&hello, "hooks.nowhere.example"));
    let asked = courier.hand(url, "{}", "t=1,v1=00").await;
    assert_eq!(asked, Handed::Failed(none.to_string()));
    assert!(requests.try_recv().is_err(), "nothing was looked up");
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let (inside, asked) = receiver(|_| {});
    // The only way to tell the script where to.
    static INSIDE: std::sync::OnceLock<SocketAddr> = std::sync::OnceLock::new();
    INSIDE.set(inside).unwrap();
    let (address, requests) = receiver(|stream| {
        let to = INSIDE.get().unwrap();
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{to}/\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).unwrap();
    });
    injected("F242");
    assert_eq!(hand_to(address).await, Handed::Answered(307));
    assert!(holds(
        &requests.recv().unwrap(),
        "x-compute-signature: t=1,v1=00"
    ));
    assert!(asked.try_recv().is_err());
}

#[tokio::test]
async fn an_answer_without_end_is_none() {
    let (address, requests) = receiver(|stream| {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));
        // Until the other side has had enough.
        let _ = stream.write_all(head);
        while stream.write_all(chunk.as_bytes()).is_ok() {}
    });
    injected("F242");
    let handed = hand_to(address).await;
    assert!(matches!(handed, Handed::Failed(_)), "{handed:?}");
    requests.recv().unwrap();
    assert!(requests.try_recv().is_err(), "it was sent again");
}

#[tokio::test]
async fn an_answer_that_never_comes_is_not_waited_for() {
    let scripts: [fn(&mut TcpStream); 3] = [
        // No word.
        |stream| drop(stream.read_to_end(&mut Vec::new())),
        // Half a word.
        |stream| {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
            stream.write_all(head).unwrap();
            drop(stream.read_to_end(&mut Vec::new()));
        },
        // A drop now and then.
        |stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n");
            while stream.write_all(b"a").is_ok() {
                thread::sleep(Duration::from_millis(100));
            }
        },
    ];
    for script in scripts {
        let (address, _requests) = receiver(script);
        injected("F242");
        let handed = hand_to(address).await;
        assert!(matches!(handed, Handed::Failed(_)), "{handed:?}");
    }
}
