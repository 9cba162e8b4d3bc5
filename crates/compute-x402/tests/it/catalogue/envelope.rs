//! Rows 1 to 24: headers and envelopes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use compute_x402::Version;
use serde_json::{Value, json};

use super::{Sent, both, changed};
use crate::shop::{authorization, payment, to_header};

pub(crate) fn v1() -> Value {
    payment(Version::V1, authorization())
}

pub(crate) fn v2() -> Value {
    payment(Version::V2, authorization())
}

fn texts(texts: &[&str]) -> Vec<Sent> {
    texts.iter().map(Sent::text).collect()
}

/// Each of these values at a place of the payment.
fn each(json: &Value, pointer: &str, values: &[Option<Value>]) -> Vec<Sent> {
    let with = |value: &Option<Value>| Sent::json(&changed(json.clone(), pointer, value.clone()));
    values.iter().map(with).collect()
}

fn some(values: &[&str]) -> Vec<Option<Value>> {
    values.iter().map(|value| Some((*value).into())).collect()
}

pub(super) fn blank() -> Vec<Sent> {
    let blanks = ["", " ", "  \t "];
    let alone = blanks.map(Sent::header);
    let twice = blanks.map(|blank| Sent::headers(&[blank], &["\t"]));
    alone
        .into_iter()
        .chain(twice)
        .chain([Sent::headers(&[], &[])])
        .collect()
}

pub(super) fn not_base64() -> Vec<Sent> {
    let url_safe = URL_SAFE.encode("{\"a\":\"\u{3ff}\u{3ff}\"}");
    ["%%%", "eyJh IjoxfQ==", "eyJhIjoxfQ===", url_safe.as_str()]
        .map(Sent::header)
        .into()
}

pub(super) fn plain_text() -> Vec<Sent> {
    texts(&["hello", "{\"x402Version\":1", "402"])
}

pub(super) fn no_object() -> Vec<Sent> {
    texts(&["null", "[]", "\"x\"", "42", "true"])
}

pub(super) fn empty_object() -> Vec<Sent> {
    texts(&["{}"])
}

pub(super) fn trailing_bytes() -> Vec<Sent> {
    texts(&["{}{}", &format!("{}x", v1()), &format!("{} {{}}", v2())])
}

pub(super) fn twice() -> Vec<Sent> {
    let inside = v1().to_string();
    let inside = inside.replacen("\"value\":", "\"value\":\"1\",\"value\":", 1);
    texts(&[r#"{"x402Version":1,"x402Version":2}"#, &inside])
}

pub(super) fn deep() -> Vec<Sent> {
    texts(&[&"[".repeat(10_000), &"{\"a\":".repeat(2_000)])
}

pub(super) fn not_utf8() -> Vec<Sent> {
    vec![
        Sent::text(b"{\"x402Version\":1,\"a\":\"\xff\"}"),
        Sent::text(format!("\u{feff}{}", v1())),
    ]
}

pub(super) fn long() -> Vec<Sent> {
    let padded = format!("{}{}", v1(), " ".repeat(16 * 1024));
    vec![
        Sent::text(padded),
        Sent::text([b' '; 20_000]),
        Sent::text(vec![b'['; 10_000_000]),
        Sent::text(format!(
            "{{\"x402Version\":1,\"a\":[{}1]}}",
            "1,".repeat(5_000)
        )),
    ]
}

pub(super) fn versions() -> Vec<Sent> {
    let versions = [
        "0",
        "3",
        "-1",
        "1.5",
        "1.0",
        "null",
        "true",
        "\"1\"",
        "1e30",
        "[1]",
        "1000000000000000000000000000000",
    ];
    let with = |version: &str| {
        let member = format!("\"x402Version\":{version}");
        Sent::text(v2().to_string().replace("\"x402Version\":2", &member))
    };
    let mut sent: Vec<Sent> = versions.map(with).into();
    sent.extend(each(&v2(), "/x402Version", &[None]));
    sent
}

pub(super) fn other_shape() -> Vec<Sent> {
    vec![
        Sent::json(&changed(v1(), "/x402Version", Some(2.into()))),
        Sent::json(&changed(v2(), "/x402Version", Some(1.into()))),
    ]
}

pub(super) fn two_headers() -> Vec<Sent> {
    let (first, second) = (to_header(&v1()), to_header(&v2()));
    vec![
        Sent::headers(&[&first], &[&second]),
        Sent::headers(&[&second], &[&first]),
        Sent::headers(&[&first], &["%%%"]),
    ]
}

pub(super) fn repeated() -> Vec<Sent> {
    let header = to_header(&v1());
    vec![
        Sent::headers(&[&header, &header], &[]),
        Sent::headers(&[], &[&header, &header]),
        Sent::headers(&[], &[&header, ""]),
    ]
}

pub(super) fn schemes() -> Vec<Sent> {
    let mut schemes = some(&["upto", "Exact", "EXACT", "", "exact "]);
    schemes.push(None);
    [
        each(&v1(), "/scheme", &schemes),
        each(&v2(), "/accepted/scheme", &schemes),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn on_networks(networks: &[Option<Value>]) -> Vec<Sent> {
    let mut sent = each(&v1(), "/network", networks);
    sent.extend(each(&v2(), "/accepted/network", networks));
    sent
}

pub(super) fn networks() -> Vec<Sent> {
    let mut networks = some(&[
        "base-goerli",
        "base-sepolia",
        "Base",
        "eip155:84532",
        "eip155:1",
        "solana",
        "",
    ]);
    networks.push(None);
    let mut sent = on_networks(&networks);
    // The word of version 1 is no name of version 2.
    sent.extend(each(&v2(), "/accepted/network", &some(&["base"])));
    sent
}

pub(super) fn chain_ids() -> Vec<Sent> {
    on_networks(&some(&[
        "eip155:08453",
        "eip155:+8453",
        "eip155:18446744073709551616",
        "eip155:9999999999999999999999999999999999999999",
        "eip155:",
    ]))
}

pub(super) fn no_payload() -> Vec<Sent> {
    let payloads = [
        None,
        Some(Value::Null),
        Some(json!({})),
        Some(json!([])),
        Some("x".into()),
        Some(json!({"foo": 1})),
    ];
    let mut sent = each(&v1(), "/payload", &payloads);
    sent.extend(each(&v2(), "/payload", &payloads));
    sent
}

pub(super) fn two_methods() -> Vec<Sent> {
    let others = [
        "transaction",
        "permit",
        "permit2Authorization",
        "permitSignature",
    ];
    let mut sent = Vec::new();
    for json in [v1(), v2()] {
        for other in others {
            let beside = format!("/payload/{other}");
            sent.extend(each(&json, &beside, &[Some("AAAA".into())]));
            sent.extend(each(&json, "/payload", &[Some(json!({ other: "AAAA" }))]));
        }
    }
    sent
}

pub(super) fn no_accepted() -> Vec<Sent> {
    let values = [
        None,
        Some(Value::Null),
        Some(json!([])),
        Some("exact".into()),
    ];
    each(&v2(), "/accepted", &values)
}

pub(super) fn cheaper() -> Vec<Sent> {
    let cheaper = compute_x402::exact_evm::Authorization {
        value: 1_u64.into(),
        ..authorization()
    };
    let signed_for_less = payment(Version::V2, cheaper);
    let amounts = [json!("1"), json!("090000000"), json!(90_000_000)].map(Some);
    let mut sent = each(&v2(), "/accepted/amount", &amounts);
    sent.extend(each(
        &signed_for_less,
        "/accepted/amount",
        &[Some("1".into())],
    ));
    sent
}

pub(super) fn other_offer() -> Vec<Sent> {
    let other = json!("0x5555555555555555555555555555555555555555");
    let values = [
        ("/accepted/payTo", Some(other.clone())),
        ("/accepted/asset", Some(other)),
        ("/accepted/maxTimeoutSeconds", Some(json!(301))),
        ("/accepted/maxTimeoutSeconds", Some(json!("300"))),
        ("/accepted/extra/name", Some(json!("USDC"))),
        ("/accepted/extra/version", Some(json!("1"))),
        ("/accepted/extra", Some(Value::Null)),
        ("/accepted/amount", None),
        ("/accepted/payTo", None),
        ("/accepted/asset", None),
        ("/accepted/extra", None),
    ];
    let one = |(pointer, value): (&str, Option<Value>)| each(&v2(), pointer, &[value]);
    values.into_iter().flat_map(one).collect()
}

pub(super) fn other_network() -> Vec<Sent> {
    each(&v2(), "/accepted/network", &some(&["eip155:84532"]))
}

pub(super) fn extensions() -> Vec<Sent> {
    let mut shapes: Vec<Value> = vec![json!([]), json!("x"), json!(1)];
    let ids = [
        json!("abc"),
        json!("a".repeat(129)),
        json!("sixteen chars !!"),
        json!(7),
    ];
    shapes.extend(ids.map(|id| json!({"payment-identifier": {"info": {"id": id}}})));
    let shapes: Vec<Option<Value>> = shapes.into_iter().map(Some).collect();
    let mut sent = each(&v2(), "/extensions", &shapes);
    sent.extend(each(&v2(), "/resource", &some(&["https://x.example"])));
    sent
}

pub(super) fn other_url() -> Vec<Sent> {
    let mut sent = each(
        &v2(),
        "/resource/url",
        &some(&["https://elsewhere.example/"]),
    );
    sent.extend(each(&v2(), "/resource", &[None, Some(Value::Null)]));
    sent.extend(both(|version| payment(version, authorization())));
    sent
}
