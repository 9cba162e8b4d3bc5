//! Offers at random, the same in every run.

use compute_mpp::{
    Amount, BodyDigest, ChargeRequest, CredentialField, Method, Opaque, Realm, Secret, Secrets,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

/// The terms of an offer, and the secret that it is issued under.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) secret: String,
    pub(crate) realm: Realm,
    pub(crate) method: Method,
    pub(crate) request: ChargeRequest,
    pub(crate) expires_s: u64,
    pub(crate) body: Option<String>,
    pub(crate) opaque: Opaque,
    pub(crate) description: Option<String>,
    pub(crate) field: CredentialField,
}

/// So many cases, from a seed that never changes.
pub(crate) fn some<T: std::fmt::Debug>(
    count: usize,
    strategy: &impl Strategy<Value = T>,
) -> Vec<T> {
    let mut runner = TestRunner::deterministic();
    let mut draw = || strategy.new_tree(&mut runner).unwrap().current();
    (0..count).map(|_| draw()).collect()
}

/// Any offer that the crate makes.
pub(crate) fn any_case() -> impl Strategy<Value = Case> {
    let names = prop::sample::select(vec!["tempo", "stripe", "x-1:a_b"]);
    let fields = vec![
        CredentialField::Authorization,
        CredentialField::PaymentAuthorization,
    ];
    let body = prop::option::of(".{1,40}");
    // The libraries drop one that says nothing.
    let description = prop::option::of(".{1,40}");
    (
        ("\\PC{32,48}", realm(), names, request()),
        (expires(), body, opaque()),
        (description, prop::sample::select(fields)),
    )
        .prop_map(|(who, when, how)| Case {
            secret: who.0,
            realm: who.1,
            method: Method::parse(who.2).unwrap(),
            request: who.3,
            expires_s: when.0,
            body: when.1,
            opaque: when.2,
            description: how.0,
            field: how.1,
        })
}

/// An offer that can be paid on the chain.
pub(crate) fn payable_case() -> impl Strategy<Value = Case> {
    let address = || "0x[0-9a-f]{40}";
    let terms = (any::<u64>(), "0x20c0[0-9a-f]{36}", address());
    (any_case(), terms).prop_map(|(case, (amount, currency, recipient))| {
        // Nothing is nothing to be paid.
        let amount = Amount::new(u128::from(amount) | 1);
        let mut request = ChargeRequest::new(amount, currency);
        request.recipient = Some(recipient);
        let details = json!({"chainId": 4217, "supportedModes": ["pull"]});
        request.method_details = details.as_object().unwrap().clone();
        Case {
            method: Method::parse("tempo").unwrap(),
            request,
            // Beyond any clock that this runs by, and before the year 9999.
            expires_s: (case.expires_s & 0xffff_ffff) | 1 << 33,
            ..case
        }
    })
}

impl Case {
    pub(crate) fn secrets(&self) -> Secrets {
        Secrets::new(Secret::new(self.secret.as_bytes()).unwrap())
    }

    pub(crate) fn digest(&self) -> Option<BodyDigest> {
        BodyDigest::of(self.body.as_deref()?.as_bytes())
    }
}

fn realm() -> impl Strategy<Value = Realm> {
    let text = prop_oneof![
        "[a-z0-9]{1,20}(\\.[a-z]{2,8}){0,2}(:[0-9]{1,5})?",
        "[ -~]{1,60}"
    ];
    text.prop_filter_map("no realm", |text| Realm::parse(&text).ok())
}

/// Any second of the years 1970 to 9999.
fn expires() -> impl Strategy<Value = u64> {
    0..253_402_300_800_u64
}

fn opaque() -> impl Strategy<Value = Opaque> {
    let members = prop::collection::btree_map(".{0,8}", ".{0,16}", 0..4);
    (any::<[u8; 16]>(), ".{0,20}", members).prop_map(|(nonce, operation, members)| {
        let opaque = Opaque::new(&nonce, &operation);
        members
            .into_iter()
            .fold(opaque, |opaque, (name, value)| opaque.with(name, value))
    })
}

fn request() -> impl Strategy<Value = ChargeRequest> {
    let text = || prop::option::of(".{1,20}");
    let details = prop::collection::btree_map(".{0,6}", json(), 0..5);
    (any::<u128>(), ".{1,20}", text(), text(), text(), details).prop_map(
        |(amount, currency, recipient, external_id, description, details)| ChargeRequest {
            recipient,
            external_id,
            description,
            method_details: details.into_iter().collect::<Map<_, _>>(),
            ..ChargeRequest::new(Amount::new(amount), currency)
        },
    )
}

/// JSON that means the same everywhere: no number beyond 2⁵³.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1_i64 << 53)..=1 << 53).prop_map(Value::from),
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
