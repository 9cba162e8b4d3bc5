//! The description of the API in OpenAPI 3.1: what the handlers and wire types say of themselves, put
//! in order, with what only this shop knows filled in.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ComponentsBuilder, Contact, InfoBuilder, License, OpenApi, OpenApiBuilder};
use utoipa::{PartialSchema, ToSchema};

use super::answers;
use super::facts::Facts;
use super::offers::{payment_info, service_info};
use crate::render::challenge::ChallengeBody;
use crate::render::order::UnseenOrder;
use crate::render::problem::Problem;
use crate::routes;

const DESCRIPTION: &str = "Cloud machines for software agents, paid by x402, by the HTTP \
     authentication scheme `Payment` (MPP), or from credits. Ask without a payment, get a 402 with the \
     price, pay, and send the same request again. One payment buys one thing, however often it is sent.";

/// How an agent uses the API, in one paragraph.
const GUIDANCE: &str = "GET /compute/plans, /compute/regions and /compute/os to choose. POST \
     /compute/provision without a payment for the price, then the same request with the payment and an \
     Idempotency-Key. Follow status_url until the order is active. POST .../password once, or log in with \
     your SSH key. Extend before expires_at; DELETE when done. When an answer is lost, send the same \
     request with the same payment and key again; never make a new payment while one is unknown.";

const TAGS: [(&str, &str); 8] = [
    ("Catalogue", "What is for sale. For everybody."),
    ("Buying", "What is paid for."),
    ("Machines", "The caller's machines."),
    ("Status", "What became of what was bought."),
    ("Credits", "Dollars paid ahead."),
    ("Events", "What happened, read or sent."),
    ("API keys", "For programs that cannot sign."),
    ("Health", "For supervisors."),
];

/// The headers that make up a wallet's signature; they come together.
pub(super) const SIGNATURE: [(&str, &str); 5] = [
    (
        "X-Auth-Address",
        "The wallet: `0x…` in lower case, or base58.",
    ),
    ("X-Auth-Chain", "`base`, `megaeth` or `solana`."),
    (
        "X-Auth-Signature",
        "Over the nine lines: hex, or Base64 for Solana.",
    ),
    ("X-Auth-Timestamp", "Unix time in milliseconds."),
    ("X-Auth-Nonce", "8 to 128 of `A-Za-z0-9_-`, used once."),
];

/// The part of the document that is the same everywhere.
static COMMON: LazyLock<Value> = LazyLock::new(common);

/// The document of a shop.
pub(super) fn document(facts: &Facts) -> Value {
    let mut document = COMMON.clone();
    document["servers"] = json!([{ "url": facts.url }]);
    document["info"]["x-guidance"] = json!(GUIDANCE);
    document["info"]["contact"] = json!({ "url": facts.at("/docs") });
    document["security"] = usual_security();
    document["externalDocs"] = json!({ "url": facts.at("/docs") });
    document["x-service-info"] = service_info(facts);
    document["x-discovery"] = json!({ "llmsTxtUrl": facts.at("/llms.txt") });
    name_networks(&mut document, facts);
    let (least, most) = (facts.topup.0.micros(), facts.topup.1.micros());
    let amount = &mut document["components"]["schemas"]["TopupRequest"]["properties"]["amount"];
    amount["minimum"] = dollars_in(least, true);
    amount["maximum"] = dollars_in(most, false);
    for (path, name) in [
        ("/compute/provision", "provision"),
        ("/compute/instances/{id}/extend", "extend"),
        ("/compute/credits/topup", "topup"),
    ] {
        let operation = &mut document["paths"][path]["post"];
        operation["x-payment-info"] = payment_info(name, facts);
        if let Some(example) = example(name, facts) {
            let summary = format!(
                "{} works as it stands",
                if name == "topup" {
                    "This"
                } else {
                    "24 hours; it"
                }
            );
            operation["requestBody"]["content"]["application/json"]["examples"] =
                json!({ "day": { "summary": summary, "value": example } });
        }
    }
    document
}

/// Whole dollars within the bounds.
fn dollars_in(micros: i64, up: bool) -> Value {
    let whole = micros / compute_domain::money::MICROS_PER_USD;
    let is_exact = micros % compute_domain::money::MICROS_PER_USD == 0;
    Value::from(if is_exact || !up { whole } else { whole + 1 })
}

/// A body that buys as it stands.
pub(super) fn example(name: &str, facts: &Facts) -> Option<Value> {
    match name {
        "provision" => facts.purchase.clone(),
        "extend" => Some(json!({ "extend_hours": 24, "network": facts.default_network })),
        _ => Some(json!({
            "amount": dollars_in(facts.topup.0.micros(), true), "network": facts.default_network,
        })),
    }
}

/// The networks that requests may name; a member of ours stays out of what was never offered.
fn name_networks(document: &mut Value, facts: &Facts) {
    let words: Vec<Value> = facts.networks.iter().map(|it| json!(it.label)).collect();
    for name in ["ProvisionRequest", "ExtendRequest", "TopupRequest"] {
        let network = &mut document["components"]["schemas"][name]["properties"]["network"];
        let mut known = words.clone();
        known.push(Value::Null);
        network["enum"] = Value::Array(known);
        network["default"] = json!(facts.default_network);
    }
}

fn common() -> Value {
    let described = routes::described().into_openapi();
    let whole = scaffold().merge_from(described);
    // Texts, numbers and maps: this cannot fail, and a document without paths is found by every test.
    let mut document = serde_json::to_value(&whole).unwrap_or_default();
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        let all = schemas.clone();
        for (name, schema) in schemas.iter_mut() {
            flatten(schema, &all);
            if !name.ends_with("Request") {
                forbid_null(schema);
                shorten(schema);
            }
        }
    }
    drop_unused(&mut document);
    document["components"]["securitySchemes"] = schemes();
    for item in document["paths"].as_object_mut().into_iter().flatten() {
        for operation in item.1.as_object_mut().into_iter().flatten() {
            secure(operation.1);
            forbid_nothing(operation.1);
        }
    }
    document
}

/// Everything but the operations and what they name.
fn scaffold() -> OpenApi {
    let mut schemas = Vec::new();
    Problem::schemas(&mut schemas);
    ChallengeBody::schemas(&mut schemas);
    UnseenOrder::schemas(&mut schemas);
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .schema(Problem::name(), Problem::schema())
        .schema(ChallengeBody::name(), ChallengeBody::schema())
        .schema(UnseenOrder::name(), UnseenOrder::schema())
        .responses_from_iter(answers::components());
    let info = InfoBuilder::new()
        .title("x402Compute")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .contact(Some(Contact::new()))
        .license(Some({
            let mut license = License::new("MIT OR Apache-2.0");
            license.identifier = Some("MIT OR Apache-2.0".to_owned());
            license
        }));
    let tags = TAGS.map(|(name, meaning)| {
        TagBuilder::new()
            .name(name)
            .description(Some(meaning))
            .build()
    });
    OpenApiBuilder::new()
        .info(info.build())
        .components(Some(components.build()))
        .tags(Some(tags))
        .build()
}

fn schemes() -> Value {
    let header = |name: &str, meaning: &str| json!({ "type": "apiKey", "in": "header", "name": name, "description": meaning });
    json!({
        "apiKey": header("X-API-Key", "An API key, `x402c_…`."),
        "payment": {
            "type": "http", "scheme": "Payment",
            "description": "A credential for one of the challenges in `WWW-Authenticate` of a 402 (MPP). \
                            It pays, and says nothing of who calls. Or pay by x402.",
        },
        // No type of OpenAPI has several headers; this is the challenge of our 401.
        "walletSignature": {
            "type": "http", "scheme": "X402-Compute-Auth",
            "description": "A wallet's signature, in five headers instead of `Authorization`: \
                            `X-Auth-Address`, `X-Auth-Chain`, `X-Auth-Signature`, `X-Auth-Timestamp`, \
                            `X-Auth-Nonce`. See the page for people.",
        },
        "x402": header(
            "X-PAYMENT",
            "A payment of x402, Base64 of JSON; in version 2 the header is `PAYMENT-SIGNATURE`.",
        ),
    })
}

/// One object instead of several that all hold: the wire has one, too.
fn flatten(schema: &mut Value, all: &Map<String, Value>) {
    let Some(Value::Array(parts)) = schema.get("allOf").cloned() else {
        return;
    };
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for part in parts {
        let mut part = resolve(part, all);
        flatten(&mut part, all);
        if let Some(Value::Object(members)) = part.get("properties") {
            properties.extend(members.clone());
        }
        if let Some(Value::Array(names)) = part.get("required") {
            required.extend(names.clone());
        }
    }
    let mut whole = json!({ "type": "object", "properties": properties, "required": required });
    if let Some(description) = schema.get("description") {
        whole["description"] = description.clone();
    }
    *schema = whole;
}

fn resolve(part: Value, all: &Map<String, Value>) -> Value {
    let name = part.get("$ref").and_then(Value::as_str);
    let name = name.and_then(|place| place.strip_prefix("#/components/schemas/"));
    name.and_then(|name| all.get(name)).cloned().unwrap_or(part)
}

/// A member of an answer that has no value is left out; `null` stands only where a member must be.
fn forbid_null(schema: &mut Value) {
    let required: BTreeSet<String> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    for (name, member) in schema["properties"].as_object_mut().into_iter().flatten() {
        if required.contains(name) {
            continue;
        }
        without_null(member);
    }
    if let Some(members) = schema.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
}

/// Schemas that only were parts of others.
fn drop_unused(document: &mut Value) {
    loop {
        let mut named = BTreeSet::new();
        collect_references(document, &mut named);
        let Some(schemas) = document["components"]["schemas"].as_object_mut() else {
            return;
        };
        let before = schemas.len();
        schemas.retain(|name, _| named.contains(name));
        if schemas.len() == before {
            return;
        }
    }
}

fn collect_references(value: &Value, named: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(place)) = members.get("$ref")
                && let Some(name) = place.strip_prefix("#/components/schemas/")
            {
                named.insert(name.to_owned());
            }
            members
                .values()
                .for_each(|it| collect_references(it, named));
        }
        Value::Array(items) => items.iter().for_each(|it| collect_references(it, named)),
        _ => {}
    }
}

/// The document has a size to keep to: what an answer is stands with its operation, and how many bits a
/// number has is nobody's business.
fn shorten(schema: &mut Value) {
    if let Some(members) = schema.as_object_mut()
        && members.contains_key("properties")
    {
        members.remove("description");
    }
    for (_, member) in schema["properties"].as_object_mut().into_iter().flatten() {
        if member["type"] == "integer"
            && let Some(rules) = member.as_object_mut()
        {
            rules.remove("format");
        }
    }
    if let Some(members) = schema.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
}

/// What may be left out is an `Option` in Rust; on the wire neither a parameter nor a body is `null`.
fn forbid_nothing(operation: &mut Value) {
    let parameters = operation
        .get_mut("parameters")
        .and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        if let Some(schema) = parameter.get_mut("schema") {
            without_null(schema);
        }
    }
    if let Some(body) = operation.pointer_mut("/requestBody/content/application~1json/schema") {
        without_null(body);
    }
}

/// The schema of a value that is there.
fn without_null(schema: &mut Value) {
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            schema["type"] = only;
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("oneOf") {
        choices.retain(|choice| choice["type"] != "null");
        if let [only] = choices.as_slice() {
            *schema = only.clone();
        }
    }
}

/// How callers are known where nothing else is said.
fn usual_security() -> Value {
    json!([{ "apiKey": [] }, { "walletSignature": [] }])
}

/// Says that nobody needs to be known where nothing is said.
fn secure(operation: &mut Value) {
    let Some(members) = operation.as_object_mut() else {
        return;
    };
    let security = members.entry("security").or_insert_with(|| json!([]));
    if *security == usual_security() {
        members.remove("security");
    }
}
