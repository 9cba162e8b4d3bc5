//! The description as it is sent: what the page for people says in full is said here as short as
//! programs need it, because registries read at most 64 KiB (mpp.md 16).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::answers;

/// Errors that are part of how a purchase goes on, and stand by themselves. All others are told apart by
/// their `code`, and stand together by their class.
const APART: [u16; 2] = [402, 409];

/// Classes of errors: their ranges, and the names of their components.
const CLASSES: [(u16, &str, &str); 2] = [(4, "4XX", "ClientError"), (5, "5XX", "ServerError")];

/// Makes a description smaller without making it wrong.
pub(super) fn slim(mut document: Value) -> Value {
    group_errors(&mut document);
    share_parameters(&mut document);
    let schemas = document["components"]["schemas"].as_object_mut();
    for (name, schema) in schemas.into_iter().flatten() {
        // What may be sent is explained; what comes back is named well.
        if !name.ends_with("Request") {
            strip(schema);
        }
    }
    document
}

fn operations(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    let items = paths.filter_map(|(_, item)| item.as_object_mut());
    items.flatten().map(|(_, operation)| operation)
}

fn group_errors(document: &mut Value) {
    let mut named = BTreeSet::new();
    for operation in operations(document) {
        let Some(responses) = operation["responses"].as_object_mut() else {
            continue;
        };
        for answer in responses.values_mut() {
            let headers = answer.get_mut("headers").and_then(Value::as_object_mut);
            for (_, header) in headers.into_iter().flatten() {
                if let Some(rules) = header.as_object_mut() {
                    rules.remove("description");
                }
            }
        }
        for (class, range, name) in CLASSES {
            let before = responses.len();
            responses.retain(|status, _| {
                let status: u16 = status.parse().unwrap_or_default();
                status / 100 != class || APART.contains(&status)
            });
            if responses.len() < before {
                let place = format!("#/components/responses/{name}");
                responses.insert(range.to_owned(), json!({ "$ref": place }));
            }
        }
        let places = responses.values().filter_map(|it| it["$ref"].as_str());
        let names = places.filter_map(|place| place.strip_prefix("#/components/responses/"));
        named.extend(names.map(str::to_owned));
    }
    if let Some(components) = document["components"]["responses"].as_object_mut() {
        for (class, _, name) in CLASSES {
            let whole = answers::together(class, &APART);
            // Texts and maps: this cannot fail, and every reference is followed by a test.
            let whole = serde_json::to_value(whole).unwrap_or_default();
            components.insert(name.to_owned(), whole);
        }
        components.retain(|name, _| named.contains(name));
    }
}

/// What several operations take stands once.
fn share_parameters(document: &mut Value) {
    let mut seen: BTreeMap<String, (Value, u32)> = BTreeMap::new();
    for operation in operations(document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let entry = seen.entry(parameter.to_string());
            let (_, count) = entry.or_insert_with(|| (parameter.clone(), 0));
            *count = count.saturating_add(1);
        }
    }
    seen.retain(|_, (_, count)| *count > 1);
    let (mut shared, mut places) = (Map::new(), BTreeMap::new());
    for (number, (text, (parameter, _))) in seen.into_iter().enumerate() {
        let name = parameter["name"].as_str().unwrap_or_default();
        let name = format!("{name}{number}");
        let place = format!("#/components/parameters/{name}");
        places.insert(text, json!({ "$ref": place }));
        shared.insert(name, parameter);
    }
    for operation in operations(document) {
        let parameters = operation
            .get_mut("parameters")
            .and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            if let Some(place) = places.get(&parameter.to_string()) {
                *parameter = place.clone();
            }
        }
    }
    document["components"]["parameters"] = Value::Object(shared);
}

/// Takes the words from the members of an answer, and bounds that say no more than the kind.
fn strip(schema: &mut Value) {
    match schema {
        Value::Object(rules) => {
            let members = rules.get_mut("properties").and_then(Value::as_object_mut);
            for (_, member) in members.into_iter().flatten() {
                if let Some(rules) = member.as_object_mut() {
                    rules.remove("description");
                    rules.retain(|name, value| name != "minimum" || *value != json!(0));
                }
            }
            rules.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
