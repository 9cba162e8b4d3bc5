//! Inputs to begin with: the fixtures of `compute-x402`, and what our own client and server write.

use compute_wallet::{EvmAddress, SolanaAddress, auth_message};
use compute_x402::{Network, SettlementHeaders};
use serde_json::{Value, json};

use crate::corpus::MAX_INPUT_BYTES;
use crate::shop::{self, Way};
use crate::targets::auth;

const EVM: &str = include_str!("../../compute-x402/tests/fixtures/evm-vectors.json");
const SVM: &str = include_str!("../../compute-x402/tests/fixtures/svm-vectors.json");
const MALFORMED: &str = include_str!("../../compute-x402/tests/fixtures/malformed-headers.json");

/// The inputs that a target begins with, besides its corpus.
#[must_use]
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let mut seeds = match target {
        "x402_v1_header" => headers("X-PAYMENT"),
        "x402_v2_header" => headers("PAYMENT-SIGNATURE"),
        "eip3009_payload" => payments("eip3009", &shop::EIP3009),
        "permit_payload" => payments("erc2612", &shop::PERMIT),
        "permit2_payload" => payments("permit2", &shop::PERMIT2),
        "svm_transaction" => transactions(),
        "client_challenge" | "client_pay" => challenges(),
        "settle_answer" => settle_answers(),
        "verify_answer" => verify_answers(),
        "supported_answer" => supported_answers(),
        "settlement_header" => settlement_headers(),
        "amount" | "uint256" => words(&NUMBERS),
        "evm_address" | "solana_address" => addresses(),
        "network" => words(&NETWORKS),
        "signature_text" => signatures(),
        "auth_headers" => claims(),
        "eip712_digest" => vec![Vec::new(), vec![1; 300], (0..=255).collect()],
        _ => Vec::new(),
    };
    seeds.retain(|seed| seed.len() <= MAX_INPUT_BYTES);
    seeds
}

const NUMBERS: [&str; 12] = [
    "0",
    "00",
    "1",
    "-1",
    "+1",
    "1e6",
    "0x10",
    "90000000",
    "340282366920938463463374607431768211455",
    "340282366920938463463374607431768211456",
    "115792089237316195423570985008687907853269984665640564039457584007913129639935",
    "115792089237316195423570985008687907853269984665640564039457584007913129639936",
];

const NETWORKS: [&str; 8] = [
    "base",
    "base-sepolia",
    "megaeth",
    "solana",
    "eip155:8453",
    "eip155:08453",
    "eip155:18446744073709551615",
    "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
];

fn words(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn parse(file: &str) -> Value {
    serde_json::from_str(file).expect("a fixture is JSON")
}

fn list(file: &Value, name: &str) -> Vec<Value> {
    file.get(name)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

fn text(value: &Value, pointer: &str) -> String {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// The headers of the vectors of this kind.
pub(crate) fn evm_headers(kind: &str) -> Vec<String> {
    let vectors = list(&parse(EVM), "vectors");
    let of_kind = vectors
        .iter()
        .filter(|vector| text(vector, "/kind").starts_with(kind));
    of_kind
        .map(|vector| text(vector, "/http_header/value"))
        .collect()
}

/// The malformed headers of this name, and all vectors as JSON.
fn headers(name: &str) -> Vec<Vec<u8>> {
    let malformed = list(&parse(MALFORMED), "cases");
    let malformed = malformed
        .iter()
        .filter(|case| text(case, "/header") == name)
        .map(|case| text(case, "/value").into_bytes());
    let vectors = [EVM, SVM]
        .map(|file| list(&parse(file), "vectors"))
        .concat();
    let good = vectors
        .iter()
        .filter_map(|vector| vector.get("payment_payload"))
        .map(|payment| payment.to_string().into_bytes());
    malformed.chain(good).collect()
}

/// The vectors of this kind, good and bad, our own payments, and edits of them.
fn payments(kind: &str, way: &Way) -> Vec<Vec<u8>> {
    let vectors = list(&parse(EVM), "vectors");
    let vectors = vectors
        .iter()
        .filter(|vector| text(vector, "/kind").starts_with(kind))
        .filter_map(|vector| vector.get("payment_payload"));
    let edits = (0..=u8::MAX).flat_map(|place| {
        (0..10).map(move |kind| vec![b'@', place.wrapping_mul(7), place, kind, 2, kind, place])
    });
    vectors
        .chain(&way.payments)
        .map(|payment| payment.to_string().into_bytes())
        .chain(edits.step_by(41))
        .collect()
}

fn transactions() -> Vec<Vec<u8>> {
    let vectors = list(&parse(SVM), "vectors");
    let vectors = vectors
        .iter()
        .map(|vector| text(vector, "/transaction_base64").into_bytes());
    vectors.chain([shop::svm_payment()]).collect()
}

fn challenges() -> Vec<Vec<u8>> {
    let mut seeds = words(&["{}", "", "%%%"]);
    seeds.push(shop::challenge_header().into_bytes());
    for network in ["base", "megaeth"] {
        seeds.push(shop::challenge_body(network).into_bytes());
        seeds.push([b"=", shop::challenge_body(network).as_bytes()].concat());
    }
    let header = compute_x402::header::decode(shop::challenge_header().as_bytes());
    let mut header = Value::Object(header.expect("our own challenge"));
    seeds.push([b"=", header.to_string().as_bytes()].concat());
    for echo in [
        json!({"payment-identifier": {"info": {"id": "0123456789abcdef"}}}),
        json!({"payment-identifier": {"info": {"id": 7}}}),
        json!([1]),
    ] {
        if let Some(extensions) = header.pointer_mut("/extensions") {
            *extensions = echo;
        }
        seeds.push([b"=", header.to_string().as_bytes()].concat());
    }
    seeds
}

fn answers(bodies: &[Value]) -> Vec<Vec<u8>> {
    // The status comes first: 200, and 400.
    let bodies = bodies.iter().flat_map(|body| {
        [[0, 200], [1, 144]].map(|status| [&status[..], body.to_string().as_bytes()].concat())
    });
    bodies.chain([vec![0, 200, b'{'], vec![1, 173]]).collect()
}

fn settle_answers() -> Vec<Vec<u8>> {
    let hash = format!("0x{}", "ab".repeat(32));
    let payer = shop::BUYER.address().to_checksum();
    let failed = |code: &str| json!({"success": false, "errorReason": code, "transaction": ""});
    answers(&[
        json!({"success": true, "transaction": hash, "network": "eip155:8453", "payer": payer}),
        json!({"success": true, "transaction": "pending", "network": "base"}),
        json!({"success": false, "errorReason": "x", "transaction": hash, "network": "base"}),
        failed("insufficient_funds"),
        failed("settlement_pending"),
        failed("invalid_exact_evm_payload_signature"),
        failed("permit2_invalid_nonce"),
        failed("invalid_exact_evm_nonce_already_used"),
        failed("FiatTokenV2: authorization is used or canceled"),
        failed("x_confirmation_timed_out"),
        failed("invalid_transaction_state"),
    ])
}

fn verify_answers() -> Vec<Vec<u8>> {
    let payer = shop::BUYER.address().to_string();
    answers(&[
        json!({"isValid": true, "payer": payer}),
        json!({"isValid": false, "invalidReason": "insufficient_funds", "payer": payer}),
        json!({"isValid": false, "invalidReason": "unexpected_verify_error"}),
        json!({"isValid": false}),
    ])
}

fn supported_answers() -> Vec<Vec<u8>> {
    let kind = |version, network| {
        json!({"x402Version": version, "scheme": "exact", "network": network,
               "extra": {"feePayer": "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu"}})
    };
    let kinds = json!({"kinds": [kind(1, "base"), kind(2, "eip155:8453"), kind(3, "x"), 7]});
    [kinds, json!({"kinds": {}}), json!([])]
        .map(|body| body.to_string().into_bytes())
        .into()
}

fn settlement_headers() -> Vec<Vec<u8>> {
    let payer = shop::BUYER.address().into();
    let settled = SettlementHeaders::settled(&Network::BASE, "0xab", &payer);
    let code = compute_x402::ErrorCode::InsufficientFunds;
    let declined = SettlementHeaders::declined(&Network::SOLANA, &code, None);
    let mut seeds = Vec::new();
    for header in [settled, declined] {
        seeds.push(header.x_payment_response.as_bytes().to_vec());
        let json = compute_x402::header::decode(header.payment_response.as_bytes());
        let json = Value::Object(json.expect("our own header"));
        seeds.push(json.to_string().into_bytes());
    }
    seeds
}

fn addresses() -> Vec<Vec<u8>> {
    let evm = EvmAddress::new([0xab; 20]);
    words(&[
        &evm.to_string(),
        &evm.to_checksum(),
        &evm.to_checksum().to_uppercase().replace('X', "x"),
        &SolanaAddress::new([0; 32]).to_string(),
        &SolanaAddress::new([255; 32]).to_string(),
        "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
        "0x",
    ])
}

fn signatures() -> Vec<Vec<u8>> {
    let good = shop::BUYER.sign_digest(&[7; 32]).to_hex();
    let high = format!("0x{}{}1b", "11".repeat(32), "ff".repeat(32));
    words(&[
        &good,
        good.trim_start_matches("0x"),
        &good.to_uppercase(),
        &high,
        "0x",
        &"00".repeat(65),
    ])
}

fn claims() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for chain in ["base", "solana"] {
        let lines = auth::LINES;
        let address = match chain {
            "base" => shop::BUYER.address().to_string(),
            _ => shop::SVM_BUYER.address().to_string(),
        };
        let [method, path, query, time, nonce, body] = lines;
        for target in [path.to_owned(), format!("{path}?{query}")] {
            let message = auth_message(
                chain,
                &address,
                method,
                &target,
                body.as_bytes(),
                time,
                nonce,
            );
            let evm = shop::BUYER.sign_message(message.as_bytes()).to_hex();
            let solana = shop::SVM_BUYER.sign(message.as_bytes());
            let signed = match chain {
                "base" => vec![("hex", evm)],
                _ => vec![
                    ("base64", shop::to_header(&solana)),
                    ("hex", hex::encode(solana)),
                ],
            };
            for (encoding, signature) in signed {
                let fields = [
                    chain, &address, &signature, encoding, time, nonce, method, path, query, body,
                ];
                seeds.push(fields.join("\n").into_bytes());
            }
        }
    }
    seeds
}
