//! The document as a document: whole, consistent, and true of the router.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use http::{Method, Request};
use serde_json::Value;

use super::document;
use crate::shop::Shop;

const METHODS: [&str; 4] = ["get", "put", "post", "delete"];

/// Every operation as (method, path, operation).
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            let operations = item.as_object().unwrap().iter();
            operations.map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
        })
        .collect()
}

/// What a reference points at.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(place) => {
            let found = document.pointer(place.strip_prefix('#').unwrap());
            found.unwrap_or_else(|| panic!("{place} is nowhere"))
        }
        None => value,
    }
}

fn every_reference<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|it| every_reference(it, found));
        }
        Value::Array(items) => items.iter().for_each(|it| every_reference(it, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_operations_are_these() {
    let (_shop, document) = document().await;
    let mut lines: Vec<_> = operations(&document)
        .into_iter()
        .map(|(method, path, operation)| {
            let answers: Vec<_> = operation["responses"].as_object().unwrap().keys().collect();
            let answers: Vec<&str> = answers.into_iter().map(String::as_str).collect();
            let id = operation["operationId"].as_str().unwrap();
            format!(
                "{} {path} {id}: {}",
                method.to_uppercase(),
                answers.join(" ")
            )
        })
        .collect();
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let (_shop, document) = document().await;
    let mut references = BTreeSet::new();
    every_reference(&document, &mut references);
    assert!(references.len() > 30, "{references:?}");
    for place in references {
        let pointer = place.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{place}");
    }
}

#[tokio::test]
async fn the_rules_of_openapi_are_kept() {
    let (_shop, document) = document().await;
    for member in ["title", "version", "description"] {
        assert!(!document["info"][member].as_str().unwrap().is_empty());
    }
    assert!(document["info"]["license"]["identifier"].is_string());
    let tags: BTreeSet<_> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .map(Value::to_string)
        .collect();
    let schemes = document["components"]["securitySchemes"]
        .as_object()
        .unwrap();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let name = format!("{method} {path}");
        assert!(METHODS.contains(&method), "{name}");
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap()),
            "{name}"
        );
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{name}");
        for tag in operation["tags"].as_array().unwrap() {
            assert!(tags.contains(&tag.to_string()), "{name}");
        }
        let security = operation.get("security").unwrap_or(&document["security"]);
        for way in security.as_array().unwrap() {
            for scheme in way.as_object().unwrap().keys() {
                assert!(schemes.contains_key(scheme), "{name}: {scheme}");
            }
        }
        check_parameters(&document, &name, path, operation);
        for (status, answer) in operation["responses"].as_object().unwrap() {
            let answer = resolve(&document, answer);
            let said = answer["description"].as_str().unwrap_or_default();
            assert!(!said.is_empty(), "{name} {status}");
            let has_body = answer.get("content").is_some();
            assert_eq!(has_body, status != "304", "{name} {status}");
        }
    }
}

/// The names in braces are the path parameters, and each parameter is there once.
fn check_parameters(document: &Value, name: &str, path: &str, operation: &Value) {
    let in_braces: BTreeSet<_> = path.split(['{', '}']).skip(1).step_by(2).collect();
    let parameters = operation.get("parameters").and_then(Value::as_array);
    let mut seen = BTreeSet::new();
    let mut in_path = BTreeSet::new();
    for parameter in parameters.into_iter().flatten() {
        let parameter = resolve(document, parameter);
        let (word, place) = (&parameter["name"], parameter["in"].as_str().unwrap());
        assert!(seen.insert((word.as_str().unwrap(), place)), "{name}");
        assert!(parameter["schema"].is_object(), "{name} {word}");
        if place == "path" {
            assert_eq!(parameter["required"], true, "{name}");
            in_path.insert(word.as_str().unwrap());
        }
    }
    assert_eq!(in_braces, in_path, "{name}");
}

#[tokio::test]
async fn links_lead_to_operations_by_their_parameters() {
    let (_shop, document) = document().await;
    let known: BTreeMap<&str, &Value> = operations(&document)
        .into_iter()
        .map(|(_, _, operation)| (operation["operationId"].as_str().unwrap(), operation))
        .collect();
    let mut count = 0;
    for (_, path, operation) in operations(&document) {
        for answer in operation["responses"].as_object().unwrap().values() {
            for (name, link) in answer
                .get("links")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                let target = known[link["operationId"].as_str().unwrap()];
                for parameter in link["parameters"].as_object().unwrap().keys() {
                    let named = |it: &Value| resolve(&document, it)["name"] == parameter.as_str();
                    let is_known = target["parameters"].as_array().unwrap().iter().any(named);
                    assert!(is_known, "{path} {name} {parameter}");
                }
                count += 1;
            }
        }
    }
    assert!(count >= 10, "{count} links");
}

/// A route is in the document, or here with its reason.
const UNDESCRIBED: [&str; 9] = [
    // What Stripe sends is described by Stripe.
    "/compute/webhooks/stripe",
    // For people who wonder whether it is up.
    "/status.json",
    // The pages about the API.
    "/",
    "/openapi.json",
    "/docs",
    "/.well-known/x402",
    "/llms.txt",
    "/skill.md",
    "/robots.txt",
];

#[tokio::test]
async fn every_operation_has_its_route() {
    let (shop, document) = document().await;
    for (method, path, _) in operations(&document) {
        let target = path.replace("{id}", "8f14e45f-ceea-467f-a8dc-0d5f5b3c9f4e");
        let ask = async |method: Method| {
            let request = Request::builder().method(method).uri(&target);
            shop.send(request.body(Body::empty()).unwrap()).await
        };
        let asked = ask(Method::from_bytes(method.to_uppercase().as_bytes()).unwrap()).await;
        assert_ne!(asked.status, 405, "{method} {path}");
        // And the route answers no method that the document does not know.
        let allowed = ask(Method::TRACE).await;
        assert_eq!(allowed.status, 405, "{path}: {allowed:?}");
        let item = &document["paths"][path];
        for method in allowed.header("allow").unwrap().split(',') {
            let method = method.trim().to_lowercase();
            let known = item.get(&method).is_some() || method == "head" || method == "options";
            assert!(known, "{method} {path}");
        }
    }
}

#[test]
fn every_route_has_its_operation() {
    let source = include_str!("../../../src/routes/mod.rs");
    let (before, undescribed) = source.split_once("fn undescribed()").unwrap();
    // Whoever adds a route by its path alone is told to describe it, or to say why not.
    assert!(
        !before.contains(".route("),
        "describe the route: see README.md"
    );
    let listed: BTreeSet<_> = undescribed
        .split(".route(")
        .skip(1)
        .map(|line| line.split('"').nth(1).unwrap())
        .collect();
    assert_eq!(listed, UNDESCRIBED.into_iter().collect());
}

#[tokio::test]
async fn unknown_members_of_what_is_paid_are_refused_and_answers_may_grow() {
    let (_shop, document) = document().await;
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        // A choice of two bodies, each of which refuses what it does not know.
        if schema.get("oneOf").is_some() {
            continue;
        }
        let is_request = name.ends_with("Request");
        assert_eq!(
            schema.get("additionalProperties") == Some(&false.into()),
            is_request,
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_example_of_a_machine_that_is_sold_is_taken_as_it_stands() {
    let shop = Shop::open().await;
    let document = shop.get("/openapi.json").await.json();
    let content = &document["paths"]["/compute/provision"]["post"]["requestBody"]["content"];
    let example = &content["application/json"]["examples"]["day"]["value"];
    let asked = shop.ask(&example.to_string()).await;
    asked.expect_problem(402, "payment_required");
}
