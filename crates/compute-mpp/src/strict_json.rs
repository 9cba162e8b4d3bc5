//! One JSON object from a stranger: read once, at a bounded price, and never in two ways.
//!
//! A first pass over the bytes looks at nothing but size and nesting. It steps over texts at the
//! speed of memory and pays for everything else, so that the reader proper, which builds values and
//! notices members that occur twice, only ever sees documents about as large as a credential.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// Far more than any credential needs, far below any stack limit.
const MAX_DEPTH: u8 = 16;

/// What the parts of a document cost, in about the time that it takes to step over a blank. The sum
/// is a credential of every known method in indented JSON, several times over.
const MAX_COST: usize = 6_144;
const PIECE: usize = 16;
const ESCAPE: usize = 4;
const LITERAL: usize = 4;
const BLANK: usize = 1;

/// The most bytes outside ASCII: checking UTF-8 is slow, and credentials hardly have any.
const MAX_OUTSIDE_ASCII: usize = 4 * 1024;

/// Why a text is not the one JSON object that is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonFault {
    Syntax,
    DuplicateMember,
    TooDeep,
    TooMuch,
    NotAnObject,
}

/// Reads exactly one JSON object in UTF-8: no duplicate members, at most 16 levels, a bounded number
/// of names and values, nothing after it.
///
/// Duplicates matter because two readers of one document may pick different values.
pub(crate) fn parse_object(text: &[u8]) -> Result<Map<String, Value>, JsonFault> {
    check_bounds(text)?;
    let has_duplicate = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Node(&has_duplicate)
        .deserialize(&mut deserializer)
        .map_err(|_| {
            if has_duplicate.get() {
                JsonFault::DuplicateMember
            } else {
                JsonFault::Syntax
            }
        })?;
    deserializer.end().map_err(|_| JsonFault::Syntax)?;
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(JsonFault::NotAnObject),
    }
}

fn check_bounds(text: &[u8]) -> Result<(), JsonFault> {
    if text.len() > MAX_OUTSIDE_ASCII && count_outside_ascii(text) > MAX_OUTSIDE_ASCII {
        return Err(JsonFault::TooMuch);
    }
    let (mut left, mut depth, mut rest) = (MAX_COST, 0_u8, text);
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let cost = match byte {
            b'"' => {
                rest = after_text(tail, &mut left)?;
                PIECE
            }
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                PIECE
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                BLANK
            }
            b',' | b':' => PIECE,
            b' ' | b'\t' | b'\r' | b'\n' => BLANK,
            _ => LITERAL,
        };
        if depth > MAX_DEPTH {
            return Err(JsonFault::TooDeep);
        }
        left = left.checked_sub(cost).ok_or(JsonFault::TooMuch)?;
    }
    Ok(())
}

/// In portions whose counts fit a byte: compilers turn that into a few instructions each.
fn count_outside_ascii(text: &[u8]) -> usize {
    let count = |portion: &[u8]| -> u8 { portion.iter().map(|byte| byte >> 7).sum() };
    text.chunks(128).map(|it| usize::from(count(it))).sum()
}

/// What follows the text whose opening quote was just read.
fn after_text<'a>(mut rest: &'a [u8], left: &mut usize) -> Result<&'a [u8], JsonFault> {
    loop {
        let at = memchr::memchr2(b'"', b'\\', rest).ok_or(JsonFault::Syntax)?;
        let (_, found) = rest.split_at(at);
        match found {
            [b'"', tail @ ..] => return Ok(tail),
            [_, _, tail @ ..] => rest = tail,
            _ => return Err(JsonFault::Syntax),
        }
        *left = left.checked_sub(ESCAPE).ok_or(JsonFault::TooMuch)?;
    }
}

/// A value that is built.
#[derive(Clone, Copy)]
struct Node<'a>(&'a Cell<bool>);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let Entry::Vacant(member) = members.entry(name) else {
                self.0.set(true);
                return Err(serde::de::Error::custom("a member occurs twice"));
            };
            member.insert(access.next_value_seed(self)?);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: JsonFault) {
        let read = parse_object(text.as_bytes());
        assert_eq!(read, Err(expected), "{text:.60}");
    }

    #[test]
    fn anything_but_one_clean_object_is_refused() {
        for text in [
            "",
            "{",
            "\u{feff}{}",
            "{} {}",
            "{}x",
            "{\"a",
            "{\"a\\",
            "{\"a\":01}",
        ] {
            check(text, JsonFault::Syntax);
        }
        for text in ["null", "true", "1", "\"x\"", "[]"] {
            check(text, JsonFault::NotAnObject);
        }
        assert_eq!(parse_object(b"{\"a\":\"\xff\"}"), Err(JsonFault::Syntax));
    }

    #[test]
    fn duplicate_members_are_refused_at_every_depth() {
        check(r#"{"a":1,"a":1}"#, JsonFault::DuplicateMember);
        check(r#"{"a":[{"b":1,"\u0062":2}]}"#, JsonFault::DuplicateMember);
    }

    #[test]
    fn sixteen_levels_are_read_and_seventeen_are_not() {
        let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        assert!(parse_object(nested(16).as_bytes()).is_ok());
        check(&nested(17), JsonFault::TooDeep);
        check(&"[".repeat(40_000), JsonFault::TooDeep);
    }

    #[test]
    fn long_texts_are_read_and_crowds_are_not() {
        let with = |inner: &str| format!("{{\"a\":{inner}}}");
        let long = with(&format!("\"{}\"", "0123456789abcdef".repeat(2_500)));
        assert!(parse_object(long.as_bytes()).is_ok());
        let many = |element: &str, count: usize| with(&format!("[{}1]", element.repeat(count)));
        assert!(parse_object(many("1,", 200).as_bytes()).is_ok());
        let foreign = with(&format!("\"{}\"", "€".repeat(1_000)));
        assert!(parse_object(foreign.as_bytes()).is_ok());
        for text in [
            many("1,", 400),
            many("\"\",", 400),
            many("{},", 400),
            with(&" ".repeat(8_000)),
            with(&format!("\"{}\"", "\\n".repeat(2_000))),
            with(&"1".repeat(2_000)),
            with(&format!("\"{}\"", "€".repeat(2_000))),
        ] {
            check(&text, JsonFault::TooMuch);
        }
    }

    proptest! {
        // What is read equals what a plain reader reads, and arbitrary bytes never panic.
        #[test]
        fn agrees_with_a_plain_reader(text in "[\\[\\]{}\":,a0-9.e\\-\\\\ ]{0,60}", bytes: Vec<u8>) {
            if let Ok(object) = parse_object(text.as_bytes()) {
                prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), Value::Object(object));
            }
            let _ = parse_object(&bytes);
        }
    }
}
