use std::io::{Read, Write};
use std::net::TcpListener;

use compute_outbound::{
    NotSentReason, OutboundClient, OutboundError, OutboundRequest, UnknownReason,
};
use http::StatusCode;

use crate::peer::{Peer, Script, config, say};

async fn check(script: Script, expected: UnknownReason, expected_status: Option<StatusCode>) {
    let peer = Peer::start(script);
    let request = OutboundRequest::post(&["settle"]).json(&"pay").unwrap();
    let error = peer.client().send(request).await.unwrap_err();
    assert!(!error.is_not_sent());
    let OutboundError::Unknown { reason, status, .. } = error else {
        unreachable!()
    };
    assert_eq!((reason, status), (expected, expected_status));
    peer.requests.recv().unwrap();
    assert!(
        peer.requests.try_recv().is_err(),
        "the request was sent a second time"
    );
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = OutboundClient::new(&config(&url)).unwrap();
    let error = client
        .send(OutboundRequest::get(&["secret-path"]))
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        OutboundError::NotSent {
            reason: NotSentReason::Connect,
            ..
        }
    ));
    assert!(!format!("{error:?}").contains("secret-path"), "{error:?}");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_not_sent() {
    let mut config = config("https://nowhere.invalid");
    config.total_timeout = std::time::Duration::from_secs(30);
    let client = OutboundClient::new(&config).unwrap();
    let error = client.send(OutboundRequest::get(&[])).await.unwrap_err();
    assert!(error.is_not_sent(), "{error:?}");
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_is_unknown() {
    check(|_| {}, UnknownReason::Broken, None).await;
}

#[tokio::test]
async fn a_connection_closed_inside_the_head_is_unknown() {
    check(
        |stream| say(stream, "HTTP/1.1 200 OK\r\nContent-Le"),
        UnknownReason::Broken,
        None,
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_unknown() {
    check(
        |stream| say(stream, "220 mail.example ESMTP\r\n"),
        UnknownReason::Broken,
        None,
    )
    .await;
}

#[tokio::test]
async fn a_connection_closed_inside_the_body_is_unknown() {
    let script: Script = |stream| {
        say(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"suc",
        )
    };
    check(script, UnknownReason::Unreadable, Some(StatusCode::OK)).await;
}

#[tokio::test]
async fn a_silent_peer_is_unknown() {
    let script: Script = |stream| wait_for_hangup(stream);
    check(script, UnknownReason::TimedOut, None).await;
}

#[tokio::test]
async fn a_body_of_one_byte_at_a_time_ends_at_the_total_time_out() {
    let script: Script = |stream| {
        say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n");
        stream
            .set_read_timeout(Some(std::time::Duration::from_millis(50)))
            .unwrap();
        // Each unsuccessful read takes 50 ms, well below the limit on silence.
        while stream.write_all(b".").is_ok() && !matches!(stream.read(&mut [0]), Ok(0)) {}
    };
    check(script, UnknownReason::TimedOut, Some(StatusCode::OK)).await;
}

#[tokio::test]
async fn an_endless_body_ends_at_the_size_limit() {
    let script: Script = |stream| {
        say(
            stream,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        while stream.write_all(b"64\r\n").is_ok()
            && stream.write_all(&[b'.'; 100]).is_ok()
            && stream.write_all(b"\r\n").is_ok()
        {}
    };
    check(script, UnknownReason::Oversized, Some(StatusCode::OK)).await;
}

#[tokio::test]
async fn a_body_announced_too_large_is_not_read() {
    let script: Script = |stream| {
        say(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n",
        );
        wait_for_hangup(stream);
    };
    check(script, UnknownReason::Oversized, Some(StatusCode::OK)).await;
}

#[tokio::test]
async fn a_compressed_body_stays_compressed() {
    // Nothing asks for compression, so a decompression bomb stays as small as it was sent.
    let peer = Peer::start(|stream| {
        say(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nbomb",
        );
    });
    let answer = peer.client().send(OutboundRequest::get(&[])).await.unwrap();
    assert_eq!(answer.body.as_ref(), b"bomb");
    assert!(
        !peer
            .requests
            .recv()
            .unwrap()
            .to_lowercase()
            .contains("accept-encoding")
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let peer = Peer::start(|stream| {
        say(
            stream,
            "HTTP/1.1 308 Permanent Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
        );
    });
    let answer = peer
        .client()
        .send(OutboundRequest::post(&["settle"]))
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT);
    assert!(answer.json::<serde_json::Value>().is_err());
    peer.requests.recv().unwrap();
    assert!(peer.requests.try_recv().is_err());
}

// Returns when the client closes its side.
fn wait_for_hangup(stream: &mut impl Read) {
    while !matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_)) {}
}
