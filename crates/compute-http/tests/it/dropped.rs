//! The client drops the connection in the middle of an answer: the work goes on, and the same payment
//! sent again is answered with what it bought.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};

use axum::serve::Listener;
use axum::{Extension, Router};
use compute_http::{Peer, router};
use compute_testkit::faults_log::injected;
use compute_x402::PaymentPayload;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, Join};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::shop::{ORDER, Shop};
use crate::visitor::{Visitor, paid};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

/// A connection that holds so many bytes of the answer: what the client does not read, the server
/// cannot send.
type Narrow = Join<DuplexStream, DuplexStream>;

fn narrow(bytes: usize) -> (Narrow, Narrow) {
    let (ask, question) = tokio::io::duplex(64 * 1_024);
    let (answer, hear) = tokio::io::duplex(bytes.max(1));
    (
        tokio::io::join(hear, ask),
        tokio::io::join(question, answer),
    )
}

/// A network of such connections.
struct Pipes(mpsc::Receiver<Narrow>);

impl Listener for Pipes {
    type Io = Narrow;
    type Addr = ();

    async fn accept(&mut self) -> (Narrow, ()) {
        match self.0.recv().await {
            Some(connection) => (connection, ()),
            None => core::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A server that ends with its test.
struct Served(JoinHandle<()>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "a server is a task of its own")]
fn serve<L>(listener: L, shop: &Shop) -> Served
where
    L: Listener,
    L::Addr: core::fmt::Debug,
{
    let app: Router = router(shop.app.clone()).layer(Extension(Peer(CLIENT)));
    Served(tokio::spawn(async move {
        axum::serve(listener, app).await.unwrap();
    }))
}

/// A purchase as it goes over the wire.
fn wire(payment: &PaymentPayload) -> Vec<u8> {
    let mut text = "POST /compute/provision HTTP/1.1\r\nhost: compute.example\r\n".to_owned();
    for (name, value) in paid(payment, ORDER).headers() {
        text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    format!("{text}connection: close\r\n\r\n{ORDER}").into_bytes()
}

/// Sends a purchase, and reads the answer up to so many bytes. The connection ends with this.
async fn read_some(
    mut connection: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
    bytes: usize,
) -> Vec<u8> {
    connection.write_all(request).await.unwrap();
    let mut answer = vec![0; bytes];
    match connection.read_exact(&mut answer).await {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => panic!("it is shorter"),
        Err(error) => panic!("{error}"),
    }
    answer
}

async fn read_all(mut connection: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> String {
    connection.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

fn order_in(answer: &str) -> serde_json::Value {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    body["order"]["id"].clone()
}

#[tokio::test]
async fn an_answer_may_be_lost_at_every_byte() {
    let shop = Shop::open().await;
    let (connect, incoming) = mpsc::channel(1);
    let _served = serve(Pipes(incoming), &shop);
    let open = async |bytes| {
        let (ours, theirs) = narrow(bytes);
        connect.send(theirs).await.unwrap();
        ours
    };
    let payment = Visitor::new(1).payment(&shop).await;
    let request = wire(&payment);
    let whole = read_all(open(64).await, &request).await;
    let order = order_in(&whole);
    shop.settle_down().await;
    // The same answer over and over: only its request id changes.
    let again = read_all(open(64).await, &request).await;
    assert_eq!(order_in(&again), order);
    for bytes in 0..again.len() {
        let some = read_some(open(bytes).await, &request, bytes).await;
        injected("F158");
        let status = b"HTTP/1.1 200 OK\r\n";
        let known = status.len().min(bytes);
        assert_eq!(some[..known], status[..known]);
    }
    assert_eq!(order_in(&read_all(open(64).await, &request).await), order);
    shop.settle_down().await;
    assert_eq!(shop.rail.settle_calls(), 1);
    assert_eq!(shop.provider.machines().len(), 1);
}

/// Also before the first byte, when the purchase has only just been sent.
#[tokio::test]
async fn a_purchase_whose_client_went_away_is_made_all_the_same() {
    let shop = Shop::open().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let _served = serve(listener, &shop);
    // An answer has some 1 900 bytes.
    for (number, bytes) in (1_u8..).zip((0..1_500).step_by(60)) {
        let buyer = Visitor::new(number);
        let request = wire(&buyer.payment(&shop).await);
        let connection = TcpStream::connect(address).await.unwrap();
        read_some(connection, &request, bytes).await;
        injected("F158");
        let again = async {
            let connection = TcpStream::connect(address).await.unwrap();
            read_all(connection, &request).await
        };
        let order = order_in(&shop.patiently(again).await);
        let instances = buyer.send(&shop, "GET", "/compute/instances").await.json();
        let instances = instances["instances"].as_array().unwrap();
        assert_eq!(instances.len(), 1, "{instances:?}");
        assert_eq!(instances[0]["id"], order);
        shop.settle_down().await;
        shop.drive().await;
        let number = usize::from(number);
        let calls = usize::try_from(shop.rail.settle_calls()).unwrap();
        assert_eq!((calls, shop.rail.settled().len()), (number, number));
        assert_eq!(shop.provider.machines().len(), number);
    }
}
