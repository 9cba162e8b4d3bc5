//! A seller, and a buyer who answers its challenges.

use compute_mpp::{
    Amount, BodyDigest, Challenge, ChallengeTerms, ChargeRequest, Credential, CredentialField,
    Method, Opaque, Realm, Secret, Secrets,
};
use serde_json::{Map, Value, json};

pub(crate) const NOW_S: u64 = 1_796_126_400;
pub(crate) const BODY: &[u8] = br#"{"plan":"vc2-1c-1gb"}"#;
pub(crate) const OPERATION: &str = "provision";

pub(crate) fn secrets() -> Secrets {
    Secrets::new(Secret::new(b"fixture-secret-key-of-forty-characters-0001").unwrap())
}

pub(crate) fn realm() -> Realm {
    Realm::parse("compute.example").unwrap()
}

pub(crate) fn request() -> ChargeRequest {
    ChargeRequest {
        recipient: Some("0x00000000000000000000000000000000000000aa".to_owned()),
        method_details: members(json!({ "chainId": 4217 })),
        ..ChargeRequest::new(
            Amount::new(1_250_000),
            "0x20C000000000000000000000b9537d11c60E8b50",
        )
    }
}

pub(crate) fn challenge_in(field: CredentialField) -> Challenge {
    Challenge::issue(
        &secrets(),
        ChallengeTerms {
            realm: &realm(),
            method: &Method::TEMPO,
            request: &request().encode().unwrap(),
            expires_s: NOW_S + 300,
            digest: BodyDigest::of(BODY).as_ref(),
            opaque: &Opaque::new(&[7; 16], OPERATION),
            description: Some("24 h of \"vc2\" für \\ 1 €\r\n"),
            field,
        },
    )
}

pub(crate) fn challenge() -> Challenge {
    challenge_in(CredentialField::Authorization)
}

pub(crate) fn credential() -> Credential {
    let payload = members(json!({ "type": "transaction", "signature": "0x76f8" }));
    Credential::new(challenge(), None, payload)
}

pub(crate) fn members(json: Value) -> Map<String, Value> {
    match json {
        Value::Object(members) => members,
        other => panic!("{other} is no object"),
    }
}
