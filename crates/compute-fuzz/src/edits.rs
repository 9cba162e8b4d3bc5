//! Inputs that are a few edits of a good document: always JSON, so that they get past its reader.

use serde_json::{Number, Value};

/// What an input says.
pub(crate) enum Input {
    /// The header as it is.
    Header(Vec<u8>),
    /// The JSON inside the header.
    Json(Vec<u8>),
}

/// Reads an input: JSON that begins with a brace, edits that begin with `@`, or a raw header.
///
/// Edits are `@`, the number of the document, and for each edit: the number of a value inside, what to do with it,
/// the length of an operand, and the operand.
pub(crate) fn read(data: &[u8], documents: &[Value]) -> Input {
    match data {
        [b'{', ..] => Input::Json(data.to_vec()),
        [b'@', number, edits @ ..] if !documents.is_empty() => {
            let number = usize::from(*number) % documents.len();
            let document = documents.get(number).cloned().unwrap_or_default();
            Input::Json(edited(document, edits).to_string().into_bytes())
        }
        _ => Input::Header(data.to_vec()),
    }
}

impl Input {
    /// The header value.
    pub(crate) fn into_header(self) -> Vec<u8> {
        match self {
            Self::Header(raw) => raw,
            Self::Json(json) => crate::shop::to_header(&json).into_bytes(),
        }
    }
}

fn edited(mut document: Value, mut edits: &[u8]) -> Value {
    while let [place, kind, length, rest @ ..] = edits {
        let length = usize::from(*length).min(rest.len());
        let (operand, rest) = rest.split_at(length);
        let mut place = usize::from(*place) % count(&document).max(1);
        if let Some(value) = find(&mut document, &mut place) {
            edit(value, *kind, operand);
        }
        edits = rest;
    }
    document
}

/// All values of a document, itself included.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

fn find<'a>(value: &'a mut Value, place: &mut usize) -> Option<&'a mut Value> {
    if *place == 0 {
        return Some(value);
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| find(item, place)),
        Value::Object(members) => members.values_mut().find_map(|member| find(member, place)),
        _ => None,
    }
}

fn edit(value: &mut Value, kind: u8, operand: &[u8]) {
    let text = String::from_utf8_lossy(operand).into_owned();
    match kind % 10 {
        0 => *value = Value::String(text),
        1 => *value = Value::Null,
        2 => *value = number(operand).into(),
        3 => *value = Number::from_f64(f64::from_bits(number(operand))).into(),
        4 => splice(value, operand),
        5 => flip(value, operand),
        6 => change_case(value),
        7 => *value = Value::Array(vec![value.take(), Value::String(text)]),
        8 => {
            if let Value::Object(members) = value {
                members.insert(text, Value::Bool(operand.len().is_multiple_of(2)));
            }
        }
        _ => {
            if let Value::Object(members) = value {
                let name = members
                    .keys()
                    .nth(
                        operand.first().map_or(0, |byte| usize::from(*byte)) % members.len().max(1),
                    )
                    .cloned();
                members.remove(&name.unwrap_or_default());
            }
        }
    }
}

fn number(operand: &[u8]) -> u64 {
    operand
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Puts the rest of the operand into a text, at the place that its first byte names.
fn splice(value: &mut Value, operand: &[u8]) {
    let (Value::String(text), [at, more @ ..]) = (value, operand) else {
        return;
    };
    let at = text.floor_char_boundary(usize::from(*at).min(text.len()));
    text.insert_str(at, &String::from_utf8_lossy(more));
}

/// Flips bits of one byte of a text, at the place that the first byte of the operand names.
fn flip(value: &mut Value, operand: &[u8]) {
    let (Value::String(text), [at, bits, ..]) = (value, operand) else {
        return;
    };
    let mut bytes = std::mem::take(text).into_bytes();
    if let Some(byte) = bytes.get_mut(usize::from(*at)) {
        *byte ^= bits;
    }
    *text = String::from_utf8_lossy(&bytes).into_owned();
}

fn change_case(value: &mut Value) {
    if let Value::String(text) = value {
        *text = if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            text.to_ascii_lowercase()
        } else {
            text.to_ascii_uppercase()
        };
    }
}
