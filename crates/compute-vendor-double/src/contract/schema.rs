use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

/// Lists of words that the vendors' real answers have outgrown.
const LAGGING: [&str; 2] = ["region_slug", "distribution"];

/// The schemas of a document, ready to be compared with.
pub(super) struct Schemas {
    document: Value,
    components: Value,
    ready: Mutex<BTreeMap<String, Arc<Validator>>>,
}

impl Schemas {
    pub(super) fn new(document: &Value) -> Self {
        let mut components = document.get("components").cloned().unwrap_or_default();
        for name in LAGGING {
            let lagging = components.pointer_mut(&format!("/schemas/{name}"));
            if let Some(schema) = lagging.and_then(Value::as_object_mut) {
                schema.remove("enum");
            }
        }
        Self {
            document: document.clone(),
            components: plain(&components),
            ready: Mutex::new(BTreeMap::new()),
        }
    }

    /// What a reference within the document stands for.
    pub(super) fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let target = value.get("$ref").and_then(Value::as_str);
        let found = target.and_then(|target| self.document.pointer(target.strip_prefix('#')?));
        found.unwrap_or(value)
    }

    /// How a value differs from a schema of the document.
    pub(super) fn mismatches(&self, schema: &Value, value: &Value) -> Vec<String> {
        let validator = self.validator(schema);
        let errors = validator.iter_errors(value);
        errors
            .map(|error| format!("{} {error}", error.instance_path()))
            .collect()
    }

    fn validator(&self, schema: &Value) -> Arc<Validator> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let known = ready.entry(schema.to_string());
        Arc::clone(known.or_insert_with(|| Arc::new(self.compile(schema))))
    }

    #[expect(clippy::expect_used, reason = "the documents are part of this crate")]
    fn compile(&self, schema: &Value) -> Validator {
        let whole = json!({ "allOf": [plain(schema)], "components": self.components });
        jsonschema::options()
            .with_draft(Draft::Draft4)
            .build(&whole)
            .expect("a schema of the vendor's document")
    }
}

/// A schema of OpenAPI 3.0 as JSON Schema: `nullable` becomes a type, and what only describes goes.
fn plain(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(members) => plain_object(members),
        other => other.clone(),
    }
}

fn plain_object(members: &Map<String, Value>) -> Value {
    let is_schema_word = |name: &str| members.get(name).is_some_and(|it| !it.is_object());
    let mut kept = Map::new();
    for (name, value) in members {
        // A member of an answer may have these names too: then its value is a schema.
        let only_describes = matches!(name.as_str(), "example" | "description" | "title");
        if (only_describes && is_schema_word(name)) || name == "examples" {
            continue;
        }
        if name == "enum" || name == "required" || name == "default" {
            kept.insert(name.clone(), value.clone());
        } else if name != "nullable" {
            kept.insert(name.clone(), plain(value));
        }
    }
    if members.get("nullable") != Some(&Value::Bool(true)) {
        return Value::Object(kept);
    }
    json!({ "anyOf": [Value::Object(kept), { "type": "null" }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(schema: &Value, value: &Value) -> bool {
        let schemas = Schemas::new(&json!({
            "components": { "schemas": {
                "name": { "type": "string", "nullable": true },
                "region_slug": { "type": "string", "enum": ["nyc1"] },
            } },
        }));
        schemas.mismatches(schema, value).is_empty()
    }

    #[test]
    fn null_is_a_value_where_the_document_says_so() {
        let plain = json!({ "type": "string" });
        assert!(!accepts(&plain, &Value::Null));
        let nullable = json!({ "type": "string", "nullable": true, "enum": ["a"] });
        assert!(accepts(&nullable, &Value::Null));
        assert!(accepts(&nullable, &json!("a")));
        assert!(!accepts(&nullable, &json!("b")));
        assert!(accepts(
            &json!({ "$ref": "#/components/schemas/name" }),
            &Value::Null
        ));
    }

    #[test]
    fn lagging_lists_are_open() {
        let region = json!({ "$ref": "#/components/schemas/region_slug" });
        assert!(accepts(&region, &json!("atl1")));
        assert!(!accepts(&region, &json!(1)));
    }

    #[test]
    fn a_member_may_have_the_name_of_a_word() {
        let schema = json!({
            "type": "object",
            "properties": { "description": { "type": "string" } },
        });
        assert!(!accepts(&schema, &json!({ "description": 1 })));
    }
}
