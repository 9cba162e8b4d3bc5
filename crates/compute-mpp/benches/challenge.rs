//! What the scheme costs a seller: naming a price against the bare hash, canonical JSON and base64url, and refusing a
//! hostile header against refusing an empty one. `cargo xtask bench challenge` runs it; it fails when a bound is broken.
//!
//! Everything is measured in one run and in turns, and the best of many short rounds counts, so that the ratios hold
//! on a busy machine.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a benchmark reads a clock, reports on its standard output, and ends where its own input is none"
)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use base64_simd::URL_SAFE_NO_PAD;
use compute_mpp::header::MAX_FIELD_BYTES;
use compute_mpp::{
    Amount, BodyDigest, Challenge, ChallengeTerms, ChargeRequest, Credential, CredentialField,
    EncodedRequest, Method, Opaque, Problem, ProblemType, Realm, Secret, Secrets,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value, json};
use sha2::Sha256;

const NOW_S: u64 = 1_796_126_400;
const KEY: &[u8] = &[7; 32];
const NONCE: [u8; 16] = [4; 16];

/// Rounds of each case; the best one counts.
const ROUNDS: u32 = 100;
/// How long a round is meant to take.
const ROUND: Duration = Duration::from_millis(2);

/// The most that naming a price may cost, in hundredths of the bare cost.
const MAX_ISSUE: u128 = 150;
/// The most that refusing 64 KiB may cost, in hundredths of refusing nothing.
const MAX_REFUSE: u128 = 2_000;

/// One thing that is measured, and its best time so far.
struct Case {
    name: &'static str,
    run: Box<dyn Fn()>,
    /// Calls in a round.
    calls: u32,
    best: Duration,
}

impl Case {
    fn new(name: &'static str, run: impl Fn() + 'static) -> Self {
        let begin = Instant::now();
        run();
        let calls = ROUND.as_nanos() / begin.elapsed().as_nanos().max(1);
        Self {
            name,
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
    let shop = Shop::new();
    let issue = compare(
        Case::new("bare hash, canonical JSON and base64url", shop.bare()),
        shop.issue(),
        MAX_ISSUE,
    );
    let refuse = compare(
        shop.refuse("an empty credential, refused", String::new()),
        shop.hostile(),
        MAX_REFUSE,
    );
    if issue && refuse {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Measures all cases in turns with what they are held against; false when a bound is broken.
fn compare(mut bare: Case, mut cases: Vec<Case>, bound: u128) -> bool {
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
        let is_kept = ratio <= bound * 10;
        kept &= is_kept;
        println!(
            "{}: {} ns, ratio {}.{:03} (bound {}.{:02}: {})",
            case.name,
            case.best.as_nanos(),
            ratio / 1_000,
            ratio % 1_000,
            bound / 100,
            bound % 100,
            if is_kept { "kept" } else { "BROKEN" },
        );
    }
    kept
}

/// Whoever names a price of 1.25 dollars on Tempo.
#[derive(Clone)]
struct Shop {
    realm: Realm,
    request: ChargeRequest,
    encoded: EncodedRequest,
    digest: Option<BodyDigest>,
}

impl Shop {
    fn new() -> Self {
        let Value::Object(method_details) = json!({ "chainId": 4217, "supportedModes": ["pull"] })
        else {
            unreachable!("an object");
        };
        let token = "0x20C000000000000000000000b9537d11c60E8b50";
        let request = ChargeRequest {
            recipient: Some("0x00000000000000000000000000000000000000aa".to_owned()),
            method_details,
            ..ChargeRequest::new(Amount::new(1_250_000), token)
        };
        Self {
            realm: Realm::parse("compute.example").expect("a realm"),
            encoded: request.encode().expect("a request"),
            request,
            digest: BodyDigest::of(b"{\"plan\":\"vc2-1c-1gb\"}"),
        }
    }

    fn challenge(&self, secrets: &Secrets, request: &EncodedRequest) -> Challenge {
        Challenge::issue(
            secrets,
            ChallengeTerms {
                realm: &self.realm,
                method: &Method::TEMPO,
                request,
                expires_s: NOW_S + 300,
                digest: self.digest.as_ref(),
                opaque: &Opaque::new(&NONCE, "provision"),
                description: Some("VPS for 24 h"),
                field: CredentialField::Authorization,
            },
        )
    }

    /// What cannot be left out: both canonical forms, their base64url, the hash and its base64url.
    fn bare(&self) -> impl Fn() + 'static {
        let keyed = Hmac::<Sha256>::new_from_slice(KEY).expect("a key");
        let request = self.request.clone();
        let opaque = json!({ "n": "BAQEBAQEBAQEBAQEBAQEBA", "op": "provision" });
        let digest = self.digest.clone().expect("a body");
        move || {
            let canonical = serde_json_canonicalizer::to_vec(black_box(&request));
            let request = URL_SAFE_NO_PAD.encode_to_string(canonical.expect("JSON"));
            let canonical = serde_json_canonicalizer::to_vec(black_box(&opaque));
            let opaque = URL_SAFE_NO_PAD.encode_to_string(canonical.expect("JSON"));
            let mut mac = keyed.clone();
            mac.update(b"compute.example|tempo|charge|");
            mac.update(request.as_bytes());
            mac.update(b"|2026-12-01T12:05:00.000Z|");
            mac.update(digest.as_str().as_bytes());
            mac.update(b"|");
            mac.update(opaque.as_bytes());
            let id = URL_SAFE_NO_PAD.encode_to_string(mac.finalize().into_bytes());
            black_box((request, opaque, id));
        }
    }

    fn issue(&self) -> Vec<Case> {
        let shop = self.clone();
        let secrets = secrets();
        vec![Case::new("request, challenge and header line", move || {
            let request = black_box(&shop.request).encode().expect("a request");
            black_box(shop.challenge(&secrets, &request).www_authenticate());
        })]
    }

    /// The whole answer to a request: read, found wanting, and told the price again.
    fn refuse(&self, name: &'static str, token: String) -> Case {
        let (shop, secrets) = (self.clone(), secrets());
        let line = format!("Payment {token}");
        Case::new(name, move || {
            let problem_type = match Credential::from_fields([black_box(line.as_bytes())], []) {
                Ok(Some(credential)) => {
                    let result = credential.authenticate(&secrets, &shop.realm, NOW_S);
                    result.expect_err("not to be believed").problem_type()
                }
                Ok(None) => ProblemType::PaymentRequired,
                Err(error) => error.problem_type(),
            };
            let challenge = shop.challenge(&secrets, &shop.encoded);
            let problem = Problem::new(problem_type, "The credential cannot be used here.");
            let body = serde_json::to_string(&problem).expect("JSON");
            black_box((challenge.www_authenticate(), body));
        })
    }

    fn hostile(&self) -> Vec<Case> {
        let mut cases = self.hostile_fields();
        cases.extend(self.crowds());
        cases.extend(self.long_texts());
        cases.extend(self.foreign());
        cases
    }

    /// Fields that are refused before anything is JSON.
    fn hostile_fields(&self) -> Vec<Case> {
        let fill = |piece: &str| piece.repeat(FIELD / piece.len());
        let mut end = "A".repeat(FIELD - 1);
        end.push('!');
        vec![
            self.refuse("64 KiB of 'A'", fill("A")),
            self.refuse("64 KiB of '!'", fill("!")),
            self.refuse("64 KiB of 'A' and one '!'", end),
            self.refuse("64 KiB of '+/'", fill("+/")),
            self.refuse("64 KiB of commas", fill(",")),
            self.refuse("64 KiB of quotes", fill("\"")),
            self.refuse("64 KiB of blanks", format!("{}x", " ".repeat(FIELD - 1))),
            self.refuse("64 KiB of tabs", format!("{}x", "\t".repeat(FIELD - 1))),
        ]
    }

    /// Many small things.
    fn crowds(&self) -> Vec<Case> {
        let names: Vec<String> = (0..5_400).map(|i| format!("\"{i:04}\":1")).collect();
        let numbers = format!("{{\"a\":[{}1]}}", "1,".repeat(300));
        vec![
            self.json("deep lists", &"[".repeat(ROOM)),
            self.json("deep objects", &fill("", "{\"a\":", "")),
            self.json("numbers", &fill("{\"a\":[", "1,", "1]}")),
            self.json("texts", &fill("{\"a\":[", "\"\",", "1]}")),
            self.json("members", &format!("{{{}}}", names.join(","))),
            self.json("one member many times", &fill("{", "\"a\":1,", "\"a\":1}")),
            self.json("blanks", &fill("{", " ", "}")),
            self.json("as many numbers as are read", &numbers),
            self.json(
                "as many members as are read",
                &format!("{{{}}}", names.get(..120).unwrap_or_default().join(",")),
            ),
        ]
    }

    /// Few large things.
    fn long_texts(&self) -> Vec<Case> {
        let number = format!("{{\"a\":{}}}", "1".repeat(1_500));
        vec![
            self.json("escapes", &fill("{\"a\":\"", "\\n", "\"}")),
            self.json("UTF-16 escapes", &fill("{\"a\":\"", "\\u00e9", "\"}")),
            self.json("one long text", &fill("{\"a\":\"", "a", "\"}")),
            self.json(
                "one long text outside ASCII",
                &fill("{\"a\":\"", "€", "\"}"),
            ),
            self.json("one long number", &fill("{\"a\":", "1", "}")),
            self.json("a number as long as is read", &number),
        ]
    }

    /// Credentials that are well-formed, with as much junk beside them as is read.
    fn foreign(&self) -> Vec<Case> {
        let other = Secrets::new(Secret::new(&[8; 32]).expect("a secret"));
        let payload = Map::from_iter([("signature".to_owned(), "0x76f8".into())]);
        let challenge = self.challenge(&other, &self.encoded);
        let foreign = Credential::new(challenge, None, payload)
            .to_json()
            .to_string();
        let rest = foreign.strip_prefix('{').expect("an object");
        let tail = format!("\",{rest}");
        let escapes = format!("{{\"a\":\"{}{tail}", "\\u00e9".repeat(1_000));
        let plain = "a".repeat(40_000);
        let mixed = format!("{{\"a\":\"{plain}{}{tail}", "€".repeat(1_300));
        vec![
            self.json("a foreign challenge", &foreign),
            self.json("a foreign one, a long text", &fill("{\"a\":\"", "a", &tail)),
            self.json("a foreign one, escapes", &escapes),
            self.json("a foreign one, a long text partly outside ASCII", &mixed),
        ]
    }

    fn json(&self, name: &'static str, json: &str) -> Case {
        self.refuse(name, URL_SAFE_NO_PAD.encode_to_string(json))
    }
}

/// What a field of 64 KiB has after the scheme's name.
const FIELD: usize = MAX_FIELD_BYTES - 8;
/// As many bytes as fit into that in base64.
const ROOM: usize = FIELD / 4 * 3;

/// As often the piece as there is room.
fn fill(head: &str, piece: &str, tail: &str) -> String {
    let room = ROOM - head.len() - tail.len();
    format!("{head}{}{tail}", piece.repeat(room / piece.len()))
}

fn secrets() -> Secrets {
    Secrets::new(Secret::new(KEY).expect("a secret"))
}
