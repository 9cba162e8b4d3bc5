//! Credentials that prove nothing.

use super::Stage;
use crate::buyer::{Buyer, borrowed, now_ms, random, text};
use crate::http::Answer;
use crate::on_both_databases;
use crate::server::{Backend, Server};

on_both_databases!(
    bad_signatures_are_refused,
    a_signature_is_good_for_one_request,
    unknown_keys_and_ids_are_refused,
);

const PATH: &str = "/compute/instances";

type Headers = Vec<(&'static str, String)>;

fn fresh() -> String {
    hex::encode(random::<16>())
}

fn good(buyer: &Buyer) -> Headers {
    buyer.headers("GET", PATH, "", now_ms(), &fresh())
}

async fn list(server: &Server, headers: &Headers) -> Answer {
    server.get(PATH, &borrowed(headers)).await
}

async fn expect_code(answer: Answer, code: &str) {
    assert_eq!(answer.json(401).unwrap()["code"], code, "{}", text(&answer));
}

async fn bad_signatures_are_refused(backend: Backend) {
    let stage = Stage::open(backend).await;
    let server = &stage.server;
    let buyer = Buyer::new();
    expect_code(list(server, &vec![]).await, "auth_required").await;
    for minutes in [-6_i64, 6] {
        let then = now_ms().checked_add_signed(minutes * 60_000).unwrap();
        let headers = buyer.headers("GET", PATH, "", then, &fresh());
        expect_code(list(server, &headers).await, "auth_expired").await;
    }
    for (name, value) in [
        ("x-auth-chain", "solana"),
        ("x-auth-chain", "dogecoin"),
        (
            "x-auth-address",
            "0x1111111111111111111111111111111111111111",
        ),
        ("x-auth-signature", "0x00"),
        ("x-auth-nonce", "short"),
    ] {
        let mut headers = good(&buyer);
        headers.retain(|(own, _)| *own != name);
        headers.push((name, value.to_owned()));
        expect_code(list(server, &headers).await, "auth_invalid").await;
    }
    // Half a set is no set, and never "nobody".
    let mut half = good(&buyer);
    half.retain(|(name, _)| *name != "x-auth-nonce");
    assert_eq!(list(server, &half).await.status, 400);
    stage.expect_untouched().await;
}

async fn a_signature_is_good_for_one_request(backend: Backend) {
    let stage = Stage::open(backend).await;
    let server = &stage.server;
    let buyer = Buyer::new();
    let keys = "/compute/api-keys";
    let headers = buyer.headers("POST", keys, "{\"label\":\"a\"}", now_ms(), &fresh());
    let altered = server
        .send("POST", keys, &borrowed(&headers), "{\"label\":\"b\"}")
        .await;
    expect_code(altered, "auth_invalid").await;

    let headers = good(&buyer);
    let elsewhere = server.get(keys, &borrowed(&headers)).await;
    expect_code(elsewhere, "auth_invalid").await;
    assert_eq!(list(server, &headers).await.status, 200);
    expect_code(list(server, &headers).await, "auth_nonce_used").await;
    // The one good request.
    stage.expect_spent_nonces(1).await;
}

async fn unknown_keys_and_ids_are_refused(backend: Backend) {
    let stage = Stage::open(backend).await;
    let server = &stage.server;
    let checksum_is_wrong = format!("x402c_{}", "a".repeat(49));
    for api_key in ["x402c_nonsense", "Bearer x", &checksum_is_wrong] {
        let headers = vec![("x-api-key", api_key.to_owned())];
        expect_code(list(server, &headers).await, "api_key_invalid").await;
    }
    for id in ["1", "x", "00000000-0000-7000-8000-000000000000"] {
        let answer = Buyer::new()
            .signed(server, "GET", &format!("{PATH}/{id}"), "")
            .await;
        assert_eq!(answer.status, 404, "{id}: {}", text(&answer));
    }
    // The last of the three is an id; its signature was good.
    stage.expect_spent_nonces(1).await;
}
