//! What a vendor says about its own API, as a check of requests and answers.
//!
//! The descriptions are OpenAPI 3.0, whose schemas are JSON Schema of draft 4 with a word of their
//! own for null. Lists of words that lag behind the vendor's real answers are taken as open.

mod schema;

use std::fmt;
use std::sync::LazyLock;

use serde_json::Value;

use schema::Schemas;

/// Whose API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Vultr, version 2.
    Vultr,
    /// DigitalOcean, version 2.
    DigitalOcean,
}

/// One vendor's description.
pub struct Contract {
    operations: Vec<Operation>,
    schemas: Schemas,
}

/// A request or an answer as it went over the wire.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The method of the request.
    pub method: &'a str,
    /// The path of the request, without its query.
    pub path: &'a str,
    /// The body; empty when there is none.
    pub body: &'a [u8],
}

#[derive(Debug)]
struct Operation {
    method: String,
    segments: Vec<Segment>,
    /// What may stand in the query, and whether it is an integer.
    query: Vec<(String, bool)>,
    body: Option<Value>,
    answers: Vec<(String, Option<Value>)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Word(String),
    Anything,
}

static VULTR: LazyLock<Contract> =
    LazyLock::new(|| Contract::read(include_str!("../fixtures/openapi/vultr.subset.json")));
static DIGITALOCEAN: LazyLock<Contract> =
    LazyLock::new(|| Contract::read(include_str!("../fixtures/openapi/digitalocean.subset.json")));

impl fmt::Debug for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Contract({} operations)", self.operations.len())
    }
}

impl Contract {
    /// The description of a vendor.
    #[must_use]
    pub fn of(vendor: Vendor) -> &'static Self {
        match vendor {
            Vendor::Vultr => &VULTR,
            Vendor::DigitalOcean => &DIGITALOCEAN,
        }
    }

    #[expect(clippy::unwrap_used, reason = "the documents are part of this crate")]
    fn read(text: &str) -> Self {
        let document: Value = serde_json::from_str(text).unwrap();
        let schemas = Schemas::new(&document);
        let paths = document.get("paths").and_then(Value::as_object).unwrap();
        let mut operations = Vec::new();
        for (path, item) in paths {
            let methods = item.as_object().unwrap().iter();
            for (method, operation) in methods.filter(|(method, _)| *method != "parameters") {
                operations.push(Operation::read(path, method, operation, &schemas));
            }
        }
        Self {
            operations,
            schemas,
        }
    }

    /// What is wrong with a request; nothing when it may be sent.
    #[must_use]
    pub fn check_request(&self, message: &Message<'_>, query: &[(String, String)]) -> Vec<String> {
        let Some(operation) = self.operation(message) else {
            return vec![format!("{message}: not described")];
        };
        let mut problems = Vec::new();
        for (name, value) in query {
            match operation.query.iter().find(|(known, _)| known == name) {
                None => problems.push(format!("{message}: no parameter {name}")),
                Some((_, true)) if value.parse::<u64>().is_err() => {
                    problems.push(format!("{message}: {name} is no number: {value}"));
                }
                Some(_) => {}
            }
        }
        match (&operation.body, message.body.is_empty()) {
            (None, true) => {}
            (None, false) => problems.push(format!("{message}: takes no body")),
            (Some(schema), _) => problems.extend(self.mismatches(message, schema)),
        }
        problems
    }

    /// What is wrong with an answer; nothing when the vendor may give it.
    #[must_use]
    pub fn check_answer(&self, message: &Message<'_>, status: u16) -> Vec<String> {
        let Some(operation) = self.operation(message) else {
            // Told by the request already.
            return Vec::new();
        };
        let named = |wanted: &str| operation.answers.iter().find(|(name, _)| name == wanted);
        let answer = named(&status.to_string()).or_else(|| named("default"));
        match answer {
            None => vec![format!("{message}: no answer {status}")],
            Some((_, None)) if message.body.is_empty() => Vec::new(),
            Some((_, None)) => vec![format!("{message}: {status} has no body")],
            Some((_, Some(schema))) => self.mismatches(message, schema),
        }
    }

    fn operation(&self, message: &Message<'_>) -> Option<&Operation> {
        let parts: Vec<&str> = message.path.split('/').skip(1).collect();
        let candidates = self.operations.iter().filter(|operation| {
            operation.method.eq_ignore_ascii_case(message.method) && operation.fits(&parts)
        });
        // A path that names a word goes before one that takes anything there.
        candidates.min_by_key(|operation| operation.wildcards())
    }

    fn mismatches(&self, message: &Message<'_>, schema: &Value) -> Vec<String> {
        let Ok(body) = serde_json::from_slice::<Value>(message.body) else {
            return vec![format!("{message}: the body is not JSON")];
        };
        let problems = self.schemas.mismatches(schema, &body);
        let told = problems.into_iter();
        told.map(|problem| format!("{message}: {problem}"))
            .collect()
    }
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Operation {
    fn read(path: &str, method: &str, operation: &Value, schemas: &Schemas) -> Self {
        let segments = path.split('/').skip(1).map(|segment| {
            if segment.starts_with('{') {
                Segment::Anything
            } else {
                Segment::Word(segment.to_owned())
            }
        });
        let parameters = operation.get("parameters").and_then(Value::as_array);
        let query = parameters.into_iter().flatten().filter_map(|parameter| {
            let parameter = schemas.resolve(parameter);
            let is_query = parameter.get("in")? == "query";
            let name = parameter.get("name")?.as_str()?.to_owned();
            let kind = parameter.pointer("/schema/type");
            is_query.then(|| (name, kind.is_some_and(|kind| kind == "integer")))
        });
        let answers = operation.get("responses").and_then(Value::as_object);
        let answers = answers.into_iter().flatten().map(|(status, answer)| {
            let schema = schema_of(schemas.resolve(answer)).cloned();
            (status.clone(), schema)
        });
        let body = operation.get("requestBody").map(|it| schemas.resolve(it));
        Self {
            method: method.to_owned(),
            segments: segments.collect(),
            query: query.collect(),
            body: body.and_then(schema_of).cloned(),
            answers: answers.collect(),
        }
    }

    fn fits(&self, parts: &[&str]) -> bool {
        let fits = |(segment, part): (&Segment, &&str)| match segment {
            Segment::Word(word) => word == part,
            Segment::Anything => !part.is_empty(),
        };
        self.segments.len() == parts.len() && self.segments.iter().zip(parts).all(fits)
    }

    fn wildcards(&self) -> usize {
        let anything = self.segments.iter();
        anything
            .filter(|segment| **segment == Segment::Anything)
            .count()
    }
}

fn schema_of(message: &Value) -> Option<&Value> {
    message
        .get("content")?
        .get("application/json")?
        .get("schema")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str, query: &[(&str, &str)], body: &str) -> Vec<String> {
        let message = Message {
            method,
            path,
            body: body.as_bytes(),
        };
        let query: Vec<_> = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Contract::of(Vendor::DigitalOcean).check_request(&message, &query)
    }

    #[test]
    fn what_is_described_passes() {
        assert_eq!(
            request(
                "GET",
                "/v2/droplets",
                &[("page", "2"), ("tag_name", "a:b")],
                ""
            ),
            Vec::<String>::new()
        );
        let body = r#"{"name":"web.one","size":"s-1vcpu-1gb","image":"debian-12-x64"}"#;
        assert_eq!(
            request("POST", "/v2/droplets", &[], body),
            Vec::<String>::new()
        );
    }

    #[test]
    fn what_is_not_described_is_told() {
        for (method, path, query, body) in [
            ("GET", "/v2/dropplets", &[][..], ""),
            ("PUT", "/v2/droplets", &[], ""),
            ("GET", "/v2/droplets", &[("tag", "a")], ""),
            ("GET", "/v2/droplets", &[("page", "first")], ""),
            ("GET", "/v2/droplets", &[], "{}"),
            ("POST", "/v2/droplets", &[], ""),
            (
                "POST",
                "/v2/droplets",
                &[],
                r#"{"size":"s-1vcpu-1gb","image":1}"#,
            ),
            (
                "POST",
                "/v2/droplets",
                &[],
                r#"{"name":"under_score","size":"s","image":1}"#,
            ),
        ] {
            let problems = request(method, path, query, body);
            assert!(!problems.is_empty(), "{method} {path} {query:?} {body}");
        }
    }

    #[test]
    fn answers_are_compared_with_their_status() {
        let contract = Contract::of(Vendor::Vultr);
        let check = |status, body: &str| {
            let message = Message {
                method: "DELETE",
                path: "/v2/instances/4f0f",
                body: body.as_bytes(),
            };
            contract.check_answer(&message, status).is_empty()
        };
        assert!(check(204, ""));
        assert!(!check(204, "{}"));
        assert!(check(404, r#"{"error":"instance not found","status":404}"#));
        assert!(!check(404, r#"{"message":"not found"}"#));
        assert!(!check(404, "<html>"));
        assert!(!check(418, ""));
    }

    #[test]
    fn a_word_goes_before_anything() {
        let contract = Contract::of(Vendor::Vultr);
        let message = Message {
            method: "POST",
            path: "/v2/instances/halt",
            body: b"",
        };
        assert_eq!(contract.operation(&message).unwrap().wildcards(), 0);
    }
}
