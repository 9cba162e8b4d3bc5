//! Challenges, credentials and receipts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use compute_mpp::{BodyDigest, Challenge, ChallengeTerms, Credential, Method, Receipt, Source};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::cases::{Case, any_case, payable_case, some};
use crate::peer;

/// Cases for each library and direction.
const CASES: usize = 300;

/// Signing takes longer.
const PAID_CASES: usize = 60;

const OTHER_SECRET: &str = "another secret of thirty-two bytes";

fn issue(case: &Case) -> Challenge {
    let digest = case.digest();
    Challenge::issue(
        &case.secrets(),
        ChallengeTerms {
            realm: &case.realm,
            method: &case.method,
            request: &case.request.encode().unwrap(),
            expires_s: case.expires_s,
            digest: digest.as_ref(),
            opaque: &case.opaque,
            description: case.description.as_deref(),
            field: case.field,
        },
    )
}

fn object(base64url: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(base64url).unwrap()).unwrap()
}

/// A challenge in the words of the libraries.
fn described(challenge: &Challenge) -> Value {
    let mut members = json!({
        "id": challenge.id(),
        "realm": challenge.realm(),
        "method": challenge.method(),
        "intent": challenge.intent(),
        "request": object(challenge.request()),
    });
    let optional = [
        ("expires", challenge.expires()),
        ("digest", challenge.digest()),
        ("opaque", challenge.opaque()),
        ("header", challenge.header()),
        ("description", challenge.description()),
    ];
    for (name, text) in optional {
        if let Some(text) = text {
            members[name] = text.into();
        }
    }
    members
}

/// What a library is told to offer: the same terms.
fn terms(case: &Case) -> Value {
    let mut terms = described(&issue(case));
    let members = terms.as_object_mut().unwrap();
    members.remove("id");
    let opaque = members.remove("opaque").unwrap();
    members.insert("meta".to_owned(), object(opaque.as_str().unwrap()));
    terms
}

#[test]
fn libraries_read_our_challenges_and_believe_their_ids() {
    let cases = some(CASES, &any_case());
    for mut library in peer::all() {
        for case in &cases {
            let challenge = issue(case);
            let line = challenge.www_authenticate();
            let read = library.ask(&json!({"ask": "parse", "line": line}));
            assert_eq!(read, described(&challenge), "{}: {line}", library.name);
            for (secret, genuine) in [(case.secret.as_str(), true), (OTHER_SECRET, false)] {
                let question = json!({"ask": "verify", "line": line, "secret": secret});
                assert_eq!(
                    library.ask(&question),
                    json!(genuine),
                    "{}: {line}",
                    library.name
                );
            }
        }
    }
}

#[test]
fn libraries_find_our_challenges_among_others() {
    let cases = some(CASES, &any_case());
    for mut library in peer::all() {
        for pair in cases.chunks_exact(2) {
            let offers = [issue(&pair[0]), issue(&pair[1])];
            let [first, second] = offers.each_ref().map(Challenge::www_authenticate);
            let line =
                format!("Bearer realm=\"a, Payment id=\", {first}, Basic realm=\"b\", {second}");
            let read = library.ask(&json!({"ask": "parseList", "line": line}));
            let expected: Value = offers.iter().map(described).collect();
            assert_eq!(read, expected, "{}: {line}", library.name);
        }
    }
}

#[test]
fn we_read_the_challenges_of_libraries_and_believe_their_ids() {
    let cases = some(CASES, &any_case());
    for mut library in peer::all() {
        for case in &cases {
            let ours = issue(case);
            let question = json!({"ask": "create", "secret": case.secret, "terms": terms(case)});
            let line = library.ask(&question);
            let line = line.as_str().unwrap();
            let read = Challenge::parse_www_authenticate([line.as_bytes()]).unwrap();
            assert_eq!(read, [ours], "{}: {line}", library.name);
            assert!(read[0].is_issued_by(&case.secrets()), "{line}");
        }
    }
}

#[test]
fn libraries_pay_our_challenges_and_we_believe_it() {
    let cases = some(PAID_CASES, &payable_case());
    let key = format!("0x{}", "11".repeat(32));
    for mut library in peer::all() {
        for case in &cases {
            let challenge = issue(case);
            let question = json!({"ask": "pay", "line": challenge.www_authenticate(), "key": key});
            let header = library.ask(&question);
            let header = header.as_str().unwrap();
            let credential = Credential::from_fields([header.as_bytes()], [])
                .unwrap()
                .unwrap();
            let secrets = case.secrets();
            assert_eq!(
                credential.challenge(),
                &challenge,
                "{}: {header}",
                library.name
            );
            assert_eq!(
                credential.authenticate(&secrets, &case.realm, case.expires_s - 1),
                Ok(())
            );
            let source = credential.source().unwrap().unwrap().to_string();
            assert_eq!(
                source.to_lowercase(),
                "did:pkh:eip155:4217:0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a"
            );
            assert_eq!(credential.payload()["type"], "transaction");
        }
    }
}

#[test]
fn libraries_read_our_credentials_and_believe_their_challenges() {
    let cases = some(CASES, &any_case());
    let source = "did:pkh:eip155:4217:0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a";
    for mut library in peer::all() {
        for case in &cases {
            let challenge = issue(case);
            let described = described(&challenge);
            let payload = Map::from_iter([("spt".to_owned(), case.secret.as_str().into())]);
            let known = Source::parse(source).unwrap();
            let header = Credential::new(challenge, Some(&known), payload.clone()).encode();
            let ask = |secret| json!({"ask": "readCredential", "header": header, "secret": secret});
            let read = library.ask(&ask(case.secret.as_str()));
            let expected = json!({
                "challenge": described, "payload": payload, "source": known.to_string(), "verified": true,
            });
            assert_eq!(read, expected, "{}: {header}", library.name);
            assert_eq!(library.ask(&ask(OTHER_SECRET))["verified"], json!(false));
        }
    }
}

#[test]
fn receipts_are_read_by_both_sides() {
    let external_id = prop::option::of(".{1,20}");
    let parts = ("0x[0-9a-f]{64}", 0..253_402_300_800_u64, external_id);
    let method = Method::parse("tempo").unwrap();
    let cases = some(CASES, &parts);
    for mut library in peer::all() {
        for (reference, settled_s, external_id) in cases.clone() {
            let ours = Receipt::new(&method, reference, settled_s).with_external_id(external_id);
            let mut read = library.ask(&json!({"ask": "readReceipt", "header": ours.encode()}));
            // Languages disagree on whether there is a point in it.
            let seconds = read["timestamp"].take().as_f64();
            assert_eq!(
                seconds.map(|it| it.to_string()),
                Some(settled_s.to_string())
            );
            let mut expected = ours.to_json();
            expected["timestamp"].take();
            assert_eq!(read, expected, "{}", library.name);

            let question = json!({"ask": "writeReceipt", "receipt": ours.to_json()});
            let theirs = library.ask(&question);
            let theirs = Receipt::decode(theirs.as_str().unwrap()).unwrap();
            // No library must write milliseconds that are nought.
            let members = |receipt: &Receipt| receipt.to_json().to_string().replace(".000Z", "Z");
            assert_eq!(members(&theirs), members(&ours), "{}", library.name);
        }
    }
}

#[test]
fn digests_of_bodies_are_the_same() {
    let bodies = some(CASES, &".{1,80}");
    for mut library in peer::all() {
        for body in &bodies {
            let theirs = library.ask(&json!({"ask": "digest", "body": body}));
            let ours = BodyDigest::of(body.as_bytes()).unwrap();
            assert_eq!(theirs, ours.as_str(), "{}: {body:?}", library.name);
        }
    }
}
