//! HTTP/2 without TLS and without asking first, as proxies speak it ("prior knowledge", RFC 9113
//! section 3.3).

use axum::http::{Method, Request, Response, Version};
use compute_x402::client::PaymentRequired;
use compute_x402::wire::v2;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::buyer::{PROVISION, order};
use crate::server::{Backend, Home, Server};

#[expect(
    clippy::disallowed_methods,
    reason = "a client drives its own connection"
)]
async fn connect(server: &Server) -> SendRequest<Full<Bytes>> {
    let address = server.url.strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    // It ends with the last sender, or with the server: nobody's failure.
    tokio::spawn(async move { drop(connection.await) });
    sender
}

/// Sends a request with these headers, and gives the status.
pub(crate) async fn status_of(
    server: &Server,
    (method, path, body): (Method, &str, &Value),
    headers: &[(&'static str, String)],
) -> u16 {
    let mut request = request(server, method, path, body);
    for (name, value) in headers {
        let value = value.parse().unwrap();
        request.headers_mut().insert(*name, value);
    }
    let answer = connect(server).await.send_request(request).await.unwrap();
    answer.status().as_u16()
}

fn request(server: &Server, method: Method, path: &str, body: &Value) -> Request<Full<Bytes>> {
    let builder = Request::builder()
        .method(method)
        .uri(format!("{}{path}", server.url));
    let (builder, body) = if body.is_null() {
        (builder, Bytes::new())
    } else {
        let builder = builder.header("content-type", "application/json");
        (builder, Bytes::from(body.to_string()))
    };
    builder.body(Full::new(body)).unwrap()
}

async fn json(answer: Response<Incoming>, status: u16) -> Value {
    assert_eq!(answer.version(), Version::HTTP_2);
    assert_eq!(answer.status().as_u16(), status);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn requests_share_a_connection_of_http_2() {
    let home = Home::new(Backend::Sqlite).await;
    let server = home.dev();
    let mut sender = connect(&server).await;
    let plans = request(&server, Method::GET, "/compute/plans", &Value::Null);
    let unpaid = request(&server, Method::POST, PROVISION, &order());
    let (plans, unpaid) = (sender.send_request(plans), sender.send_request(unpaid));
    let (plans, unpaid) = tokio::join!(plans, unpaid);

    let plans = json(plans.unwrap(), 200).await;
    let plans = plans["plans"].as_array().unwrap();
    assert!(plans.iter().any(|plan| plan["id"] == order()["plan"]));

    let unpaid = unpaid.unwrap();
    let challenge = unpaid.headers()[v2::REQUIRED_HEADER].as_bytes().to_vec();
    assert_eq!(json(unpaid, 402).await["error"], "payment_required");
    let challenge = PaymentRequired::from_header(&challenge).unwrap();
    assert_eq!(challenge.offers().len(), 1);
}
