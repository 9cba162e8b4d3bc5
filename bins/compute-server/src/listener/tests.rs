//! The accept loop with real sockets and short limits.

use std::time::Duration;

use axum::Extension;
use axum::http::HeaderValue;
use axum::routing::{get, post};
use compute_domain::time::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

/// Longer than any limit here; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Loop {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Loop {
    async fn start(connections_per_address: u32) -> Self {
        Self::start_behind(connections_per_address, Vec::new(), ServerClock::start()).await
    }

    /// With so many connections in all.
    async fn start_small(connections: usize) -> Self {
        let limits = ListenerLimits {
            connections,
            ..limits()
        };
        Self::start_with(limits, ServerClock::start()).await
    }

    async fn start_behind(
        connections_per_address: u32,
        trusted_proxies: Vec<IpAddr>,
        clock: ServerClock,
    ) -> Self {
        let limits = ListenerLimits {
            connections_per_address,
            trusted_proxies,
            ..limits()
        };
        Self::start_with(limits, clock).await
    }

    async fn start_with(limits: ListenerLimits, clock: ServerClock) -> Self {
        let doubt = async |doubt: Option<Extension<Doubt>>| {
            doubt.map_or_else(|| "ready".to_owned(), |Extension(Doubt(reason))| reason)
        };
        let router = Router::new()
            .route("/", get(async || "hello"))
            .route("/readyz", get(doubt))
            .route("/echo", post(async |body: String| body));
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = serve(socket, router, limits, Arc::new(clock), shutdown.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "the loop under test runs beside the test"
        )]
        let task = tokio::spawn(serving);
        Self {
            address,
            shutdown,
            task,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the server closes.
    async fn talk(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The server may close while it is still being sent to.
        let _ = stream.write_all(bytes).await;
        read_to_end(&mut stream).await
    }
}

fn limits() -> ListenerLimits {
    ListenerLimits {
        header_read: Duration::from_millis(400),
        idle: Duration::from_secs(2),
        connections: 100,
        connections_per_address: 100,
        exempt_loopback: false,
        trusted_proxies: Vec::new(),
        is_behind_proxies: false,
    }
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let reading = stream.read_to_end(&mut bytes);
    // A reset is a close, too.
    let _ = tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("the server closes");
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let looped = Loop::start(10).await;
    assert_eq!(read_to_end(&mut looped.connect().await).await, "");
}

#[tokio::test]
async fn half_a_head_is_cut() {
    let looped = Loop::start(10).await;
    assert_eq!(looped.talk(b"GET / HTTP/1.1\r\nhost: x\r\n").await, "");
    let second = b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nho";
    assert_eq!(looped.talk(second).await.matches("200 OK").count(), 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_answer() {
    let looped = Loop::start(10).await;
    let said = looped.talk(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(
        said.starts_with("HTTP/1.1 200 OK") && said.ends_with("hello"),
        "{said}"
    );
}

#[tokio::test]
async fn too_many_or_too_large_headers_get_431() {
    let looped = Loop::start(10).await;
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101));
    let large = format!(
        "GET / HTTP/1.1\r\na: {}\r\n\r\n",
        "b".repeat(HTTP1_HEAD_BYTES)
    );
    for head in [many, large] {
        let said = looped.talk(head.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    }
}

#[tokio::test]
async fn contradictions_about_the_length_get_400() {
    let looped = Loop::start(10).await;
    for lengths in [
        "content-length: 1\r\ncontent-length: 2",
        "content-length: x",
    ] {
        let head = format!("POST /echo HTTP/1.1\r\nhost: x\r\n{lengths}\r\n\r\nab");
        let said = looped.talk(head.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 400 "), "{lengths}: {said}");
    }
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let looped = Loop::start(1).await;
    let mut first = looped.connect().await;
    first
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0_u8; 12];
    let _ = first.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert_eq!(looped.talk(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await, "");
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Whoever is cut off for what it sends does not come again at once.
#[tokio::test]
async fn a_flood_costs_its_address_a_place() {
    let pings = b"\0\0\x08\x06\0\0\0\0\0pingping".repeat(8_000);
    // A stream that nobody opened.
    let nonsense = b"\0\0\x01\0\0\0\0\0\x05x".to_vec();
    for flood in [[PREFACE, &pings].concat(), [PREFACE, &nonsense].concat()] {
        let looped = Loop::start(2).await;
        let mut stream = looped.connect().await;
        // The server may close while it is still being sent to.
        let _ = stream.write_all(&flood).await;
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(PATIENCE, reading)
            .await
            .expect("the server closes");
        // It is written down when the connection is gone, which a client can be a moment ahead of.
        let mut is_refused = false;
        for _ in 0..100 {
            let hello = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            is_refused |= looped.talk(hello).await.is_empty();
            if is_refused {
                break;
            }
        }
        assert!(is_refused);
    }
}

/// An idle connection gives its place up for a new one, and one with a request in progress does not.
#[tokio::test]
async fn the_last_place_is_not_kept_by_who_does_nothing() {
    let looped = Loop::start_small(2).await;
    let mut silent = looped.connect().await;
    let mut busy = looped.connect().await;
    let head = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab";
    busy.write_all(head).await.unwrap();
    let hello = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    for _ in 0..3 {
        // Each takes the place of the one before it.
        let mut next = looped.connect().await;
        next.write_all(hello).await.unwrap();
        let mut answer = [0_u8; 12];
        let _ = next.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
    assert_eq!(read_to_end(&mut silent).await, "");
    busy.write_all(b"cde").await.unwrap();
    assert!(read_to_end(&mut busy).await.ends_with("abcde"));
}

/// A client that takes its request back is idle again: its connection ends like any other.
#[tokio::test]
async fn a_request_that_was_taken_back_keeps_no_place() {
    let looped = Loop::start_small(1).await;
    let io = TokioIo::new(looped.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Body>(TokioExecutor::new(), io)
            .await
            .unwrap();
    let ending = async {
        // The stream is reset when nobody waits for the answer any more.
        let request = Request::post("http://x/echo")
            .body(Body::new(Never))
            .unwrap();
        let answer = sender.send_request(request);
        let waited = tokio::time::timeout(Duration::from_millis(200), answer).await;
        assert!(waited.is_err());
        // The only place is free for somebody else.
        let mut next = looped.connect().await;
        next.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = [0_u8; 12];
        let _ = next.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    };
    // The server may end the first connection before; the other one must still be served.
    let driving = async {
        let _ended = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = tokio::time::timeout(PATIENCE, ending) => served.unwrap(),
        () = driving => {}
    }
}

/// A body that never comes.
struct Never;

impl hyper::body::Body for Never {
    type Data = hyper::body::Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn a_trusted_proxy_has_as_many_connections_as_it_likes() {
    let proxies = vec!["127.0.0.1".parse().unwrap()];
    let looped = Loop::start_behind(1, proxies, ServerClock::start()).await;
    let _open = [looped.connect().await, looped.connect().await];
    let said = looped
        .talk(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    assert!(said.ends_with("hello"), "{said}");
}

#[tokio::test]
async fn doubts_about_the_clock_reach_the_readiness_route_alone() {
    let clock = ServerClock::start();
    clock.compare(Timestamp::from_millis(2_000_000_000_000));
    clock.compare(Timestamp::from_millis(1_900_000_000_000));
    let doubtful = Loop::start_behind(10, Vec::new(), clock).await;
    let trusting = Loop::start(10).await;
    let ready = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let said = doubtful.talk(ready).await;
    assert!(said.contains("the clock stepped back"), "{said}");
    assert!(trusting.talk(ready).await.ends_with("ready"));
    let hello = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(doubtful.talk(hello).await.ends_with("hello"));
}

#[tokio::test]
async fn http2_headers_may_have_32_kib() {
    let looped = Loop::start(10).await;
    let io = TokioIo::new(looped.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Body>(TokioExecutor::new(), io)
            .await
            .unwrap();
    let mut ask = async |bytes: usize| {
        let value = HeaderValue::try_from("b".repeat(bytes)).unwrap();
        let request = Request::get("http://x/").header("a", value);
        let answer = sender.send_request(request.body(Body::empty()).unwrap());
        answer.await.unwrap().status().as_u16()
    };
    let talk = async { [ask(31 * 1_024).await, ask(33 * 1_024).await] };
    tokio::select! {
        statuses = talk => assert_eq!(statuses, [200, 431]),
        ended = connection => panic!("{ended:?}"),
    }
}

#[tokio::test]
async fn shutdown_closes_idle_connections_and_ends() {
    let looped = Loop::start(10).await;
    let mut silent = looped.connect().await;
    let mut idle = looped.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0_u8; 12];
    let _ = idle.read_exact(&mut answer).await.unwrap();
    looped.shutdown.cancel();
    tokio::time::timeout(PATIENCE, looped.task)
        .await
        .expect("it ends")
        .unwrap();
    assert_eq!(read_to_end(&mut silent).await, "");
    assert!(read_to_end(&mut idle).await.ends_with("hello"));
    assert!(TcpStream::connect(looped.address).await.is_err());
}
