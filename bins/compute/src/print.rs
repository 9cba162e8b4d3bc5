//! What is printed: one JSON document, or text for people. Progress goes to the other stream.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use compute_client::{PurchaseError, ShopError};
use serde_json::{Value, json};

use crate::end::End;

/// Why the standard output takes nothing more, once it does not.
static LOST: OnceLock<io::ErrorKind> = OnceLock::new();

/// Prints a line of what was asked for.
macro_rules! say {
    ($($text:tt)+) => { $crate::print::line(format_args!($($text)+)) };
}
pub(crate) use say;

/// Says a line to whoever waits.
macro_rules! tell {
    ($($text:tt)+) => { $crate::print::aside(format_args!($($text)+)) };
}
pub(crate) use tell;

/// Prints a line. When nobody reads any more, what is being done goes on, because it may be a purchase.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    note(writeln!(io::stdout().lock(), "{text}"));
}

/// Prints what has its lines already.
pub(crate) fn raw(text: &[u8]) {
    let mut stdout = io::stdout().lock();
    note(stdout.write_all(text).and_then(|()| stdout.flush()));
}

fn note(written: io::Result<()>) {
    if let Err(error) = written {
        LOST.get_or_init(|| error.kind());
    }
}

/// How the command ends, when it would end so if everything had been read.
pub(crate) fn end(end: End) -> End {
    match LOST.get() {
        Some(_) if end != End::Done => end,
        Some(io::ErrorKind::BrokenPipe) => End::Unread,
        Some(kind) => {
            tell!("compute: the output could not be written: {kind}");
            End::Failed
        }
        None => end,
    }
}

/// Says a line beside the output. Whoever does not listen misses it.
pub(crate) fn aside(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Asks whoever sits there for a line.
///
/// # Errors
/// When nobody is asked, or nothing can be read.
pub(crate) fn question(text: fmt::Arguments<'_>) -> Result<String> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{text} [y/N] ").context("ask")?;
    stderr.flush().context("ask")?;
    let mut line = String::new();
    io::stdin()
        .read_line(&mut line)
        .context("read the answer")?;
    Ok(line.trim().to_owned())
}

/// Prints the one document of `--json`.
pub(crate) fn document(document: &Value) {
    say!("{document:#}");
}

/// Says something to whoever waits.
pub(crate) fn progress(text: &str) {
    tell!("{text}");
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
        tell!("compute: {error:#}");
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
        say!("{}", line.join("  ").trim_end());
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
