use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use compute_outbound::{OutboundClient, OutboundConfig};

/// What the peer does with each connection, after the head of a request arrived.
pub(crate) type Script = fn(&mut TcpStream);

/// A listening socket on loopback that plays `script` for every connection and reports the raw
/// requests it read.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Receiver<String>,
}

impl Peer {
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, requests) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let seen = seen.clone();
                thread::spawn(move || {
                    let request = read_request(&mut stream);
                    // The test may be over before the last connection is.
                    let _ = seen.send(request);
                    script(&mut stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client with the limits of these tests: 2 s in total, 1000 bytes.
    pub(crate) fn client(&self) -> OutboundClient {
        OutboundClient::new(&config(&self.url())).unwrap()
    }
}

pub(crate) fn config(url: &str) -> OutboundConfig {
    OutboundConfig {
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(1),
        total_timeout: Duration::from_secs(2),
        max_body_bytes: 1000,
        ..OutboundConfig::new(url)
    }
}

// Head, then as many body bytes as it announces.
pub(crate) fn read_request(stream: &mut impl Read) -> String {
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let whole = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            let announced = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")?
                        .parse()
                        .ok()
                })
                .unwrap_or(0_usize);
            if body.len() >= announced {
                return whole;
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return whole,
            Ok(count) => text.extend_from_slice(&chunk[..count]),
        }
    }
}

pub(crate) fn say(stream: &mut impl Write, text: &str) {
    // The client may have hung up already: that is what some tests are about.
    let _ = stream.write_all(text.as_bytes());
}
