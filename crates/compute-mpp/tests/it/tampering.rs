//! What becomes of a credential on its way: altered, moved, old, or somebody else's.

use compute_mpp::{
    Amount, BodyDigest, Challenge, ChallengeError, ChallengeTerms, ChargeRequest, Credential,
    CredentialField, Method, Opaque, Realm, Secret, Secrets,
};
use serde_json::{Value, json};

use crate::shop::{
    BODY, NOW_S, OPERATION, challenge, challenge_in, credential, realm, request, secrets,
};

fn authenticate(json: Value) -> Result<(), ChallengeError> {
    let credential = Credential::from_json(json).unwrap();
    credential.authenticate(&secrets(), &realm(), NOW_S)
}

/// The credential of the shop's buyer with one member of its challenge replaced.
fn altered(name: &str, value: impl Into<Value>) -> Value {
    let mut json = credential().to_json();
    json["challenge"][name] = value.into();
    json
}

#[test]
fn a_genuine_challenge_is_believed_until_it_expires() {
    let credential = credential();
    let at = |now_s| credential.authenticate(&secrets(), &realm(), now_s);
    assert_eq!(at(NOW_S), Ok(()));
    assert_eq!(at(NOW_S + 299), Ok(()));
    assert_eq!(at(NOW_S + 300), Err(ChallengeError::Expired));
}

#[test]
fn every_bound_member_is_bound() {
    let json = credential().to_json();
    for name in [
        "id", "realm", "method", "intent", "request", "expires", "digest", "opaque",
    ] {
        let text = json["challenge"][name].as_str().unwrap();
        let longer = format!("{text}AAAA");
        let shorter = &text[..text.len() - 4];
        for other in [longer.as_str(), shorter] {
            // What is no base64 any more does not even decode.
            let read = Credential::from_json(altered(name, other));
            if let Ok(credential) = read {
                let result = credential.authenticate(&secrets(), &realm(), NOW_S);
                assert_eq!(result, Err(ChallengeError::Invalid), "{name}");
            }
        }
    }
    for name in ["expires", "digest", "opaque"] {
        let mut json = credential().to_json();
        json["challenge"].as_object_mut().unwrap().remove(name);
        assert_eq!(authenticate(json), Err(ChallengeError::Invalid), "{name}");
    }
}

#[test]
fn what_is_not_bound_changes_nothing() {
    let free = altered("description", "free of charge");
    assert_eq!(authenticate(free), Ok(()));
    assert_eq!(authenticate(altered("header", "Authorization")), Ok(()));
    assert_eq!(authenticate(altered("unknown", json!({ "a": 1 }))), Ok(()));
}

#[test]
fn the_field_of_the_credential_is_bound() {
    let challenge = challenge_in(CredentialField::PaymentAuthorization);
    assert_eq!(
        challenge.field(),
        Some(CredentialField::PaymentAuthorization)
    );
    let credential = Credential::new(challenge, None, credential().payload().clone());
    let mut json = credential.to_json();
    assert_eq!(authenticate(json.clone()), Ok(()));
    for other in ["Authorization", "payment-authorization", "X-Pay"] {
        json["challenge"]["header"] = other.into();
        assert_eq!(authenticate(json.clone()), Err(ChallengeError::Invalid));
    }
    let added = altered("header", "Payment-Authorization");
    assert_eq!(authenticate(added), Err(ChallengeError::Invalid));
}

#[test]
fn members_cannot_be_shifted_across_the_bar() {
    let json = credential().to_json();
    let text = |name: &str| json["challenge"][name].as_str().unwrap().to_owned();
    let both = format!("{}|{}", text("method"), text("intent"));
    let moves = [
        [
            ("method", both),
            ("intent", text("request")),
            ("request", text("expires")),
        ],
        [
            ("expires", text("digest")),
            ("digest", text("expires")),
            ("opaque", text("opaque")),
        ],
        [
            ("expires", format!("{}|{}", text("expires"), text("digest"))),
            ("digest", text("opaque")),
            ("opaque", String::new()),
        ],
        [
            ("digest", format!("{}|{}", text("digest"), text("opaque"))),
            ("opaque", String::new()),
            ("expires", text("expires")),
        ],
    ];
    for replaced in moves {
        let mut json = json.clone();
        for (name, value) in replaced {
            json["challenge"][name] = value.into();
        }
        match Credential::from_json(json) {
            Ok(credential) => {
                let result = credential.authenticate(&secrets(), &realm(), NOW_S);
                assert_eq!(result, Err(ChallengeError::Invalid));
            }
            Err(error) => assert_eq!(
                error,
                compute_mpp::CredentialError::Member("request"),
                "only a time in place of a request is refused earlier"
            ),
        }
    }
}

#[test]
fn ids_of_any_length_are_refused() {
    let id = challenge().id().to_owned();
    let mut last = id.clone();
    // The same 32 bytes, written with stray bits.
    let end = last.pop().unwrap();
    last.push(char::from_u32(u32::from(end) + 1).unwrap());
    for id in [
        String::new(),
        "A".to_owned(),
        "A".repeat(10_240),
        format!("{id}="),
        format!("{id}A"),
        id[1..].to_owned(),
        last,
    ] {
        assert_eq!(
            authenticate(altered("id", id)),
            Err(ChallengeError::Invalid)
        );
    }
}

#[test]
fn other_secrets_and_realms_are_refused() {
    let credential = credential();
    let other = Secret::new(&[9; 32]).unwrap();
    let result = credential.authenticate(&Secrets::new(other), &realm(), NOW_S);
    assert_eq!(result, Err(ChallengeError::Invalid));
    let elsewhere = Realm::parse("other.example").unwrap();
    let result = credential.authenticate(&secrets(), &elsewhere, NOW_S);
    assert_eq!(result, Err(ChallengeError::Invalid));
}

#[test]
fn the_previous_secret_is_believed_and_issues_nothing() {
    let rotated = Secrets {
        current: Secret::new(&[9; 32]).unwrap(),
        previous: Some(secrets().current),
    };
    assert_eq!(credential().authenticate(&rotated, &realm(), NOW_S), Ok(()));
    assert!(challenge().is_issued_by(&rotated));
    assert!(!challenge().is_issued_by(&Secrets::new(rotated.current)));
}

#[test]
fn a_challenge_without_an_end_is_refused() {
    // Genuine ids of a library that leaves the time out.
    let line = r#"Payment id="2VS63xVeXbyfkASDe1SFdqNyuaUGwMxmVE5vecZ8z5E", realm="compute.example", method="tempo", intent="charge", request="eyJhbW91bnQiOiIxMjUwMDAwIn0""#;
    let read = Challenge::parse_www_authenticate([line.as_bytes()]).unwrap();
    assert!(read[0].is_issued_by(&secrets()));
    let result = read[0].authenticate(&secrets(), &realm(), 0);
    assert_eq!(result, Err(ChallengeError::Invalid));
}

#[test]
fn a_challenge_is_for_one_body_one_request_and_one_operation() {
    let challenge = challenge();
    assert!(challenge.binds_body(BodyDigest::of(BODY).as_ref()));
    assert!(!challenge.binds_body(BodyDigest::of(b"{}").as_ref()));
    assert!(!challenge.binds_body(None));
    assert!(challenge.is_for(OPERATION));
    assert!(!challenge.is_for("extend:1"));
    let mut request = request();
    assert!(challenge.asks_for(&Method::TEMPO, &request.encode().unwrap()));
    assert_eq!(challenge.charge(), Ok(request.clone()));
    assert!(!challenge.asks_for(&Method::STRIPE, &request.encode().unwrap()));
    request.recipient = None;
    assert!(!challenge.asks_for(&Method::TEMPO, &request.encode().unwrap()));
}

#[test]
fn an_offer_is_what_its_terms_say() {
    let (realm, request) = (realm(), request().encode().unwrap());
    let (digest, opaque) = (BodyDigest::of(BODY), Opaque::new(&[9; 16], OPERATION));
    let mut terms = ChallengeTerms::new(&realm, &Method::TEMPO, &request, &opaque, NOW_S);
    assert!(!challenge().offers(&terms));
    terms.digest = digest.as_ref();
    assert!(challenge().offers(&terms));
    let elsewhere = Realm::parse("other.example").unwrap();
    let other_request = ChargeRequest::new(Amount::new(1), "usd").encode().unwrap();
    let (other_body, nothing) = (BodyDigest::of(b"{}"), Opaque::default());
    let other = Opaque::new(&[7; 16], "extend:1");
    for terms in [
        ChallengeTerms {
            realm: &elsewhere,
            ..terms
        },
        ChallengeTerms {
            method: &Method::STRIPE,
            ..terms
        },
        ChallengeTerms {
            request: &other_request,
            ..terms
        },
        ChallengeTerms {
            digest: other_body.as_ref(),
            ..terms
        },
        ChallengeTerms {
            opaque: &other,
            ..terms
        },
        ChallengeTerms {
            opaque: &nothing,
            ..terms
        },
    ] {
        assert!(!challenge().offers(&terms), "{terms:?}");
    }
}

#[test]
fn what_is_issued_is_read_alike_by_clients() {
    let challenge = challenge();
    let line = challenge.www_authenticate();
    assert!(line.starts_with("Payment id="));
    assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    let description = "24 h of \"vc2\" f?r \\ 1 ???";
    assert_eq!(challenge.description(), Some(description));
    let read = Challenge::parse_www_authenticate([line.as_bytes()]);
    assert_eq!(read, Ok(vec![challenge]));
}
