//! Extension `bazaar`: how a paid route is called, for catalogues of such routes.

use serde_json::{Value, json};

/// The name of the extension.
pub const BAZAAR: &str = "bazaar";

/// The extension of a route that takes a JSON body by `POST` and answers JSON: an example of both,
/// and the JSON schema of the body (x402 extension bazaar).
#[must_use]
pub fn bazaar_extension(body: &Value, body_schema: &Value, answer: &Value) -> Value {
    json!({
        "info": {
            "input": { "type": "http", "method": "POST", "bodyType": "json", "body": body },
            "output": { "type": "json", "example": answer },
        },
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "input": {
                    "type": "object",
                    "properties": {
                        "type": { "type": "string", "const": "http" },
                        "method": { "type": "string", "enum": ["POST"] },
                        "bodyType": { "type": "string", "enum": ["json"] },
                        "body": body_schema,
                    },
                    "required": ["type", "method", "bodyType", "body"],
                    "additionalProperties": false,
                },
                "output": {
                    "type": "object",
                    "properties": {
                        "type": { "type": "string" },
                        "example": { "type": "object" },
                    },
                    "required": ["type"],
                },
            },
            "required": ["input"],
        },
    })
}
