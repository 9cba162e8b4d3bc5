//! What is printed: one JSON document, or text for people. Progress goes to the other stream.

use std::io::{self, IsTerminal as _};

use compute_client::{PurchaseError, ShopError};
use serde_json::{Value, json};

use crate::end::End;

/// Prints the one document of `--json`.
pub(crate) fn document(document: &Value) {
    println!("{document:#}");
}

/// Says something to whoever waits.
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

/// Says how far it is to somebody who waits at a terminal; a script and a log are told the end alone.
pub(crate) fn waiting(is_json: bool, text: &str) {
    if !is_json && io::stderr().is_terminal() {
        progress(text);
    }
}

/// Says what went wrong.
pub(crate) fn failure(error: &anyhow::Error, end: End, is_json: bool) {
    if is_json {
        let mut told = json!({ "result": end.word(), "error": format!("{error:#}") });
        if let (Some(problem), Some(members)) = (problem_of(error), told.as_object_mut()) {
            members.insert("code".to_owned(), problem.code.into());
            members.insert("request_id".to_owned(), problem.request_id.into());
        }
        document(&told);
    } else {
        eprintln!("compute: {error:#}");
    }
}

fn problem_of(error: &anyhow::Error) -> Option<compute_client::Problem> {
    let shop = match error.downcast_ref::<PurchaseError>() {
        Some(PurchaseError::Shop(shop)) => Some(shop),
        Some(_) => None,
        None => error.downcast_ref::<ShopError>(),
    };
    match shop {
        Some(ShopError::Refused(problem)) => Some(problem.clone()),
        _ => None,
    }
}

/// Rows in columns, the first row their titles.
pub(crate) fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        println!("{}", line.join("  ").trim_end());
    }
}

/// The text of a member, or of a number in it.
pub(crate) fn cell(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}
