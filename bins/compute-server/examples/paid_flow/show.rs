//! Prints exchanges so that they can be read: the headers that matter, long texts cut, secrets cut.

use serde_json::Value;

use crate::http::Answer;

/// Headers of an answer that say something about the payment or the request.
const TELLING: [&str; 8] = [
    "payment-required",
    "www-authenticate",
    "payment-receipt",
    "payment-response",
    "x-payment-response",
    "idempotent-replayed",
    "retry-after",
    "x-compute-mode",
];

const MAX_TEXT: usize = 72;
const MAX_ITEMS: usize = 2;

/// Prints what comes next.
pub(crate) fn step(title: &str) {
    println!("\n== {title}");
}

/// Prints a request and its answer.
pub(crate) fn exchange(
    method: &str,
    path: &str,
    headers: &[(&str, String)],
    body: &Value,
    answer: &Answer,
) {
    println!("> {method} {path}");
    for (name, value) in headers {
        println!("> {name}: {}", cut(value));
    }
    if !body.is_null() {
        println!("> {body}");
    }
    let status = axum::http::StatusCode::from_u16(answer.status).ok();
    let reason = status
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    println!("< {} {reason}", answer.status);
    for name in TELLING {
        if let Some(value) = answer.header(name) {
            println!("< {name}: {}", cut(value));
        }
    }
    let readable = serde_json::from_slice(&answer.body).map_or_else(
        |_| cut(&String::from_utf8_lossy(&answer.body)),
        |value: Value| format!("{:#}", shorten(value)),
    );
    for line in readable.lines() {
        println!("< {line}");
    }
}

/// Cuts long texts and lists, and all but the beginning of a password.
fn shorten(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(cut(&text)),
        Value::Array(items) => {
            let more = items.len().saturating_sub(MAX_ITEMS);
            let mut kept: Vec<Value> = items.into_iter().take(MAX_ITEMS).map(shorten).collect();
            if more > 0 {
                kept.push(Value::String(format!("… {more} more")));
            }
            Value::Array(kept)
        }
        Value::Object(members) => {
            // Answers have it under both names.
            let order = members.get("order").cloned();
            members
                .into_iter()
                .map(|(name, value)| {
                    let value = match value {
                        same if name == "instance" && Some(&same) == order.as_ref() => {
                            Value::String("… as order".to_owned())
                        }
                        Value::String(secret)
                            if name == "password" || name.ends_with("api_key") =>
                        {
                            let start: String = secret.chars().take(4).collect();
                            Value::String(format!(
                                "{start}… ({} characters)",
                                secret.chars().count()
                            ))
                        }
                        other => shorten(other),
                    };
                    (name, value)
                })
                .collect()
        }
        other => other,
    }
}

fn cut(text: &str) -> String {
    let count = text.chars().count();
    if count <= MAX_TEXT {
        return text.to_owned();
    }
    let start: String = text.chars().take(MAX_TEXT).collect();
    format!("{start}… ({count} characters)")
}
