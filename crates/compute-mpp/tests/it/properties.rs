use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use compute_mpp::{
    AcceptPayment, Amount, Challenge, ChargeRequest, Credential, Opaque, Receipt, Source,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::shop::{NOW_S, challenge, credential, realm, secrets};

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    let members = prop::collection::btree_map(".{0,6}", json(), 0..4);
    members.prop_map(|members| members.into_iter().collect())
}

proptest! {
    // No bytes at all make a parser panic.
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text in ".{0,80}", ascii in "[ -~]{0,120}") {
        for value in [bytes.as_slice(), text.as_bytes(), ascii.as_bytes()] {
            let _ = Credential::from_fields([value], [value]);
            let _ = Credential::decode(value);
            let _ = Challenge::parse_www_authenticate([value, value]);
            let token = URL_SAFE_NO_PAD.encode(value);
            let _ = Credential::decode(token.as_bytes());
            let _ = Receipt::decode(&token);
            let _ = ChargeRequest::decode(&token);
            let _ = Opaque::decode(&token);
        }
        for value in [&text, &ascii] {
            let _ = Receipt::decode(value);
            let _ = ChargeRequest::decode(value);
            let _ = AcceptPayment::parse(value);
            let _ = Source::parse(value);
        }
    }

    // Whatever stands in the members of a credential, there is an answer.
    #[test]
    fn arbitrary_members_never_panic(name in prop::sample::select(vec![
        "/challenge", "/challenge/id", "/challenge/request", "/challenge/expires", "/challenge/opaque",
        "/challenge/digest", "/payload",
    ]), value in json()) {
        let mut json = credential().to_json();
        let original = std::mem::replace(json.pointer_mut(name).unwrap(), value.clone());
        if let Ok(read) = Credential::from_json(json) {
            let result = read.authenticate(&secrets(), &realm(), NOW_S);
            prop_assert_eq!(result.is_ok(), name == "/payload" || value == original);
            let _ = (read.challenge().charge(), read.challenge().opaque_members(), read.source());
        }
    }

    // What is stored or sent is read again as it was, unknown members included.
    #[test]
    fn credentials_round_trip(payload in object(), extra in object(), echoed in object()) {
        let mut json = credential().to_json();
        for (name, value) in extra {
            json.as_object_mut().unwrap().entry(format!("x{name}")).or_insert(value);
        }
        for (name, value) in echoed {
            json["challenge"].as_object_mut().unwrap().entry(format!("x{name}")).or_insert(value);
        }
        json["payload"] = payload.into();
        let read = Credential::from_json(json.clone()).unwrap();
        prop_assert_eq!(read.to_json(), json);
        let sent = read.encode();
        prop_assert_eq!(Credential::from_fields([sent.as_bytes()], []), Ok(Some(read)));
    }

    #[test]
    fn requests_round_trip(amount: u128, currency in ".{1,20}", texts in prop::array::uniform3(prop::option::of(".{0,20}")), chain_id in 0_u64..=1 << 53) {
        let [recipient, external_id, description] = texts;
        let mut request = ChargeRequest { recipient, external_id, description, ..ChargeRequest::new(Amount::new(amount), currency) };
        request.method_details.insert("chainId".to_owned(), json!(chain_id));
        let encoded = request.encode().unwrap();
        prop_assert_eq!(ChargeRequest::decode(encoded.as_str()), Ok(request));
    }

    #[test]
    fn opaque_members_round_trip(members in prop::collection::btree_map(".{0,8}", ".{0,16}", 0..5)) {
        let opaque = members.iter().fold(Opaque::default(), |opaque, (name, value)| opaque.with(name, value));
        prop_assert_eq!(Opaque::decode(&opaque.encode()), Some(opaque));
    }

    // One altered character of a bound member, wherever it is, and the id binds no more.
    #[test]
    fn one_altered_character_is_noticed(name in prop::sample::select(vec![
        "id", "realm", "method", "intent", "request", "expires", "digest", "opaque",
    ]), at: prop::sample::Index, other in "[A-Za-z0-9_|=-]") {
        let mut json = credential().to_json();
        let text = json["challenge"][name].as_str().unwrap().to_owned();
        let at = at.index(text.len());
        let altered = format!("{}{other}{}", &text[..at], &text[at + 1..]);
        json["challenge"][name] = altered.clone().into();
        if let Ok(read) = Credential::from_json(json) {
            let is_same = altered == text;
            prop_assert_eq!(read.authenticate(&secrets(), &realm(), NOW_S).is_ok(), is_same);
        }
    }

    // Where the text is cut does not matter: bound texts are never taken apart in another way.
    #[test]
    fn slots_are_never_shifted(cuts in prop::array::uniform6(0_usize..400)) {
        let challenge = challenge();
        let names = ["realm", "method", "intent", "request", "expires", "digest", "opaque"];
        let mut json = credential().to_json();
        let texts = names.map(|name| json["challenge"][name].as_str().unwrap().to_owned());
        let input = texts.join("|");
        let mut cuts = cuts.map(|cut| cut % input.len());
        cuts.sort_unstable();
        let mut begin = 0;
        let mut parts = Vec::new();
        for cut in cuts.into_iter().chain([input.len()]) {
            let end = cut.max(begin);
            parts.push(input[begin..end].to_owned());
            // The bar itself is what the hash puts between two parts.
            begin = if input[end..].starts_with('|') { end + 1 } else { end };
        }
        for (name, part) in names.into_iter().zip(&parts) {
            json["challenge"][name] = part.clone().into();
        }
        if let Ok(read) = Credential::from_json(json) {
            let is_same = read.challenge() == &challenge;
            prop_assert_eq!(read.challenge().is_issued_by(&secrets()), is_same);
        }
    }
}
