use compute_outbound::{BearerToken, HeaderName, HeaderValue, OutboundClient, OutboundRequest};
use http::StatusCode;

use crate::peer::{Peer, config, say};

const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";

#[tokio::test]
async fn method_path_query_token_and_body_arrive() {
    let peer = Peer::start(|stream| say(stream, EMPTY));
    let mut config = config(&format!("{}/v2", peer.url()));
    config.bearer = Some(BearerToken::parse("vendor-key".into()).unwrap());
    let client = OutboundClient::new(&config).unwrap();
    let request = OutboundRequest::post(&["instances"])
        .query("tag", "x402-op=7f")
        .json(&serde_json::json!({"plan": "vc2-1c-1gb"}))
        .unwrap();
    assert_eq!(
        client.send(request).await.unwrap().status,
        StatusCode::NO_CONTENT
    );
    let seen = peer.requests.recv().unwrap();
    assert!(
        seen.starts_with("POST /v2/instances?tag=x402-op%3D7f HTTP/1.1\r\n"),
        "{seen}"
    );
    let lower = seen.to_lowercase();
    assert!(
        lower.contains("authorization: bearer vendor-key\r\n"),
        "{seen}"
    );
    assert!(
        lower.contains("content-type: application/json\r\n"),
        "{seen}"
    );
    assert!(
        seen.ends_with("\r\n\r\n{\"plan\":\"vc2-1c-1gb\"}"),
        "{seen}"
    );
    assert!(!format!("{client:?}").contains("v2"));
}

#[tokio::test]
async fn a_token_for_one_request_replaces_the_usual_one() {
    let peer = Peer::start(|stream| say(stream, EMPTY));
    let mut config = config(&peer.url());
    config.bearer = Some(BearerToken::parse("usual-key".into()).unwrap());
    let client = OutboundClient::new(&config).unwrap();
    let request = OutboundRequest::get(&["supported"])
        .bearer(BearerToken::parse("fresh-token".into()).unwrap())
        .header(
            HeaderName::from_static("correlation-context"),
            HeaderValue::from_static("source=x402"),
        );
    assert!(!format!("{request:?}").contains("fresh"));
    client.send(request).await.unwrap();
    let seen = peer.requests.recv().unwrap().to_lowercase();
    let credentials: Vec<&str> = seen
        .lines()
        .filter(|line| line.starts_with("authorization"))
        .collect();
    assert_eq!(credentials, ["authorization: bearer fresh-token"]);
    assert!(
        seen.contains("\ncorrelation-context: source=x402\r\n"),
        "{seen}"
    );
}

#[tokio::test]
async fn an_error_status_is_an_answer() {
    let peer = Peer::start(|stream| {
        say(
            stream,
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\n{}",
        );
    });
    let answer = peer
        .client()
        .send(OutboundRequest::delete(&["instances", "x"]))
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        answer.retry_after(),
        Some(std::time::Duration::from_secs(3))
    );
    assert!(
        peer.requests
            .recv()
            .unwrap()
            .starts_with("DELETE /instances/x HTTP/1.1\r\n")
    );
}

#[tokio::test]
async fn a_proxy_in_the_environment_is_ignored() {
    // The proxy variables are read when a client is built; this crate switches that off. Were it
    // on, this request would go to the proxy in absolute form.
    let peer = Peer::start(|stream| say(stream, EMPTY));
    peer.client()
        .send(OutboundRequest::get(&["direct"]))
        .await
        .unwrap();
    assert!(
        peer.requests
            .recv()
            .unwrap()
            .starts_with("GET /direct HTTP/1.1\r\n")
    );
}

#[tokio::test]
async fn localhost_is_this_machine_without_asking_a_resolver() {
    let peer = Peer::start(|stream| say(stream, EMPTY));
    let url = format!("http://localhost:{}", peer.address.port());
    let client = OutboundClient::new(&config(&url)).unwrap();
    let answer = client.send(OutboundRequest::get(&[])).await.unwrap();
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn what_a_peer_repeats_of_our_credentials_is_not_read() {
    const REFUSAL: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 64\r\n\r\n\
        {\"error\":\"no usual-vendor-key, no fresh-vendor-token, no key=1\"}";
    let peer = Peer::start(|stream| say(stream, REFUSAL));
    let mut config = config(&peer.url());
    config.bearer = Some(BearerToken::parse("usual-vendor-key".into()).unwrap());
    let client = OutboundClient::new(&config).unwrap();
    let request = OutboundRequest::get(&["account"])
        .bearer(BearerToken::parse("fresh-vendor-token".into()).unwrap());
    let answer = client.send(request).await.unwrap();
    let error = answer.json::<serde_json::Value>().unwrap();
    let expected = "no ****************, no ******************, no key=1";
    assert_eq!(error["error"], expected);
}
