//! What a payment costs a seller: reading and verifying it against the bare hashes and recovery, and refusing what is
//! no payment. `cargo xtask bench payment` runs it; it fails when a bound is broken.
//!
//! Everything is measured in one run and in turns, and the best of many short rounds counts, so that the ratios hold
//! on a busy machine.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a benchmark reads a clock, reports on its standard output, and ends where its own payment is none"
)]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compute_wallet::{EvmAddress, EvmKey, Uint256};
use compute_x402::client::{payload_for, sign};
use compute_x402::exact_evm::Authorization;
use compute_x402::networks::BASE_USDC;
use compute_x402::{
    Amount, Offer, Recipient, Resource, ValidityWindow, Version, decode_headers, verify,
};
use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use serde_json::{Value, json};
use sha3::{Digest as _, Keccak256};

const NOW_S: u64 = 1_767_225_600;
const PRICE: Amount = Amount::new(90_000_000);
const RESOURCE: Resource<'static> =
    Resource::new("https://shop.example/buy", "A thing", "application/json");

/// Rounds of each case; the best one counts.
const ROUNDS: u32 = 100;
/// How long a round is meant to take.
const ROUND: Duration = Duration::from_millis(2);

/// The most that verifying may cost, in hundredths of the bare cost.
const MAX_VERIFY: u128 = 130;
/// The most that refusing may cost, in hundredths of the bare cost.
const MAX_REFUSE: u128 = 5;
/// The most that refusing a well-formed payment may cost that pays something else, with as much junk beside it as is
/// read: nothing that is refused without looking at a signature is dearer.
const MAX_CROWDED: u128 = 20;

/// One thing that is measured, and its best time so far.
struct Case {
    name: &'static str,
    /// The most it may cost, in hundredths of the bare cost.
    bound: u128,
    run: Box<dyn Fn()>,
    /// Calls in a round.
    calls: u32,
    best: Duration,
}

impl Case {
    fn new(name: &'static str, bound: u128, run: impl Fn() + 'static) -> Self {
        let begin = Instant::now();
        run();
        let calls = ROUND.as_nanos() / begin.elapsed().as_nanos().max(1);
        Self {
            name,
            bound,
            run: Box::new(run),
            calls: u32::try_from(calls).unwrap_or(u32::MAX).max(1),
            best: Duration::MAX,
        }
    }

    fn round(&mut self) {
        let begin = Instant::now();
        for _ in 0..self.calls {
            (self.run)();
        }
        self.best = self.best.min(begin.elapsed() / self.calls);
    }
}

fn main() -> ExitCode {
    let seller = Seller::new();
    let mut bare = Case::new("bare hashes and recovery", 100, seller.bare());
    let mut cases = seller.cases();
    for _ in 0..ROUNDS {
        bare.round();
        for case in &mut cases {
            case.round();
        }
    }
    println!("{}: {} ns", bare.name, bare.best.as_nanos());
    let mut kept = true;
    for case in &cases {
        // Rounded up, so that a bound is never kept by rounding.
        let ratio = (case.best.as_nanos() * 1_000).div_ceil(bare.best.as_nanos().max(1));
        let is_kept = ratio <= case.bound * 10;
        kept &= is_kept;
        println!(
            "{}: {} ns, ratio {}.{:03} (bound {}.{:02}: {})",
            case.name,
            case.best.as_nanos(),
            ratio / 1_000,
            ratio % 1_000,
            case.bound / 100,
            case.bound % 100,
            if is_kept { "kept" } else { "BROKEN" },
        );
    }
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Whoever is paid, and a payment of 90 USDC.
struct Seller {
    offer: Offer,
    authorization: Authorization,
    key: EvmKey,
}

impl Seller {
    fn new() -> Self {
        let token = Arc::new(BASE_USDC.eip3009_terms().expect("USDC has EIP-3009"));
        let pay_to = EvmAddress::new([0x60; 20]);
        let key = EvmKey::from_bytes(&[1; 32]).expect("a key");
        Self {
            offer: Offer::new(token, Recipient::new(pay_to), PRICE, 300),
            authorization: Authorization {
                from: key.address(),
                to: pay_to,
                value: Uint256::from(PRICE.get()),
                valid_after: NOW_S - 600,
                valid_before: NOW_S + 300,
                nonce: [4; 32],
            },
            key,
        }
    }

    fn payment(&self, version: Version) -> Value {
        let token = self.offer.token().as_evm().expect("an EVM token");
        let signed = sign(token, self.authorization, &self.key);
        payload_for(version, &self.offer, RESOURCE, &signed).to_json()
    }

    /// Struct hash, digest, recovery and address, with nothing read and nothing checked.
    fn bare(&self) -> impl Fn() + 'static {
        let token = self.offer.token().as_evm().expect("an EVM token");
        let separator = *token.domain_separator();
        let signature = self.key.sign_digest(&self.authorization.digest(token));
        let bytes = signature.to_bytes();
        let (rs, v) = bytes.split_at(64);
        let rs = Signature::from_slice(rs).expect("a signature");
        let recovery = RecoveryId::new(v == [28], false);
        let members = [[7_u8; 32]; 7];
        let payer = self.authorization.from;
        let digest = self.authorization.digest(token);
        move || {
            let struct_hash = Keccak256::digest(black_box(members).as_flattened());
            let mut hasher = Keccak256::new();
            hasher.update(b"\x19\x01");
            hasher.update(black_box(separator));
            hasher.update(struct_hash);
            black_box(hasher.finalize());
            let key = VerifyingKey::recover_from_prehash(black_box(&digest), &rs, recovery);
            let point = key.expect("the payer's key").to_encoded_point(false);
            let hash = Keccak256::digest(point.as_bytes().get(1..).expect("a point"));
            assert_eq!(hash.get(12..), Some(payer.as_bytes().as_slice()));
        }
    }

    fn cases(&self) -> Vec<Case> {
        let [v1, v2] = [Version::V1, Version::V2].map(|version| self.payment(version));
        let changed = |json: &Value, pointer: &str, value: Value| {
            let mut json = json.clone();
            *json.pointer_mut(pointer).expect("a member") = value;
            header(json.to_string().as_bytes())
        };
        let short = format!("0x{}", "11".repeat(64));
        let case = |name, bound, header: String, is_good| {
            let offers = [self.offer.clone()];
            Case::new(name, bound, move || {
                assert_eq!(is_paid(&header, &offers), is_good, "{name}");
            })
        };
        let accept = |name, header| case(name, MAX_VERIFY, header, true);
        let refuse = |name, header| case(name, MAX_REFUSE, header, false);
        let crowded = |name, header| case(name, MAX_CROWDED, header, false);
        let value = "/payload/authorization/value";
        let many = |element: &str, count: usize| {
            header(format!("{{\"x402Version\":1,\"a\":[{}1]}}", element.repeat(count)).as_bytes())
        };
        let long = |element: &str| many(element, 12_000 / element.len());
        let beside = |element: &str| {
            let mut json = v2.clone();
            *json.pointer_mut(value).expect("a value") = "90000001".into();
            let text = json.to_string();
            let rest = text.strip_prefix('{').expect("an object");
            header(format!("{{\"a\":[{}1],{rest}", element.repeat(400)).as_bytes())
        };
        vec![
            accept("verify, version 1", header(v1.to_string().as_bytes())),
            accept("verify, version 2", header(v2.to_string().as_bytes())),
            refuse("not base64", "%%%not base64%%%".to_owned()),
            refuse("16 KiB that are not base64", "%".repeat(16 * 1024)),
            refuse("16 KiB of base64 that is no text", "/".repeat(16 * 1024)),
            refuse("16 KiB of base64 that is no JSON", "QUFB".repeat(4 * 1024)),
            refuse("20 KiB", "A".repeat(20 * 1024)),
            refuse("wrong shape", changed(&v1, "/payload", json!([1, 2]))),
            refuse("wrong type", changed(&v2, value, json!(90_000_000))),
            refuse("12 KB of numbers", long("1,")),
            refuse("12 KB of objects", long("{},")),
            refuse("12 KB of empty texts", long("\"\",")),
            refuse("12 KB of members", header(members(12_000 / 8).as_bytes())),
            refuse("12 KB of blanks", long(&" ".repeat(12_000))),
            refuse("700 numbers", many("1,", 700)),
            refuse("700 objects", many("{},", 700)),
            crowded("a wrong payment beside numbers", beside("1,")),
            crowded("a wrong payment beside objects", beside("{},")),
            refuse(
                "12 KB of text",
                long(&format!("\"{}\",", "a".repeat(11_900))),
            ),
            refuse("deep nesting", header("{\"a\":".repeat(2_000).as_bytes())),
            refuse(
                "wrong amount, version 1",
                changed(&v1, value, "90000001".into()),
            ),
            refuse(
                "wrong amount, version 2",
                changed(&v2, value, "90000001".into()),
            ),
            refuse(
                "short signature",
                changed(&v2, "/payload/signature", short.into()),
            ),
        ]
    }
}

fn members(count: usize) -> String {
    let members: String = (0..count).map(|i| format!("\"{i:03x}\":1,")).collect();
    format!("{{{members}\"x402Version\":1}}")
}

fn header(json: &[u8]) -> String {
    STANDARD.encode(json)
}

/// The public path of a server.
fn is_paid(header: &str, offers: &[Offer]) -> bool {
    let payment = decode_headers([black_box(header.as_bytes())], []);
    payment.is_ok_and(|payment| {
        payment.is_some_and(|payment| verify(&payment, offers, ValidityWindow::at(NOW_S)).is_ok())
    })
}
