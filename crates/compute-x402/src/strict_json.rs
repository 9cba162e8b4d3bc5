use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Deep enough for every published extension schema, far below any stack limit.
const MAX_DEPTH: u8 = 16;

/// Several times what a payment with every published extension holds. Building values is what reading
/// costs; without a limit a header of small ones would cost as much as checking a signature.
const MAX_VALUES: u16 = 512;

/// Why a text is not the one JSON object we expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonFault {
    Syntax,
    TrailingData,
    DuplicateMember,
    TooDeep,
    TooMany,
    NotAnObject,
}

/// Reads exactly one JSON object: no duplicate members, at most 16 levels and 512 values, nothing
/// after it.
///
/// Duplicates matter because two readers of one document may pick different values.
pub(crate) fn parse_object(text: &str) -> Result<Map<String, Value>, JsonFault> {
    let (fault, room) = (Cell::new(None), Cell::new(MAX_VALUES));
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Node {
        depth: 0,
        room: &room,
        fault: &fault,
    }
    .deserialize(&mut deserializer)
    .map_err(|_| fault.get().unwrap_or(JsonFault::Syntax))?;
    deserializer.end().map_err(|_| JsonFault::TrailingData)?;
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(JsonFault::NotAnObject),
    }
}

#[derive(Clone, Copy)]
struct Node<'a> {
    depth: u8,
    /// How many values may still be read.
    room: &'a Cell<u16>,
    fault: &'a Cell<Option<JsonFault>>,
}

impl Node<'_> {
    fn fail<E: serde::de::Error>(self, fault: JsonFault) -> E {
        self.fault.set(Some(fault));
        E::custom("refused")
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(self.fail(JsonFault::TooDeep));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(room) = self.room.get().checked_sub(1) else {
            return Err(self.fail(JsonFault::TooMany));
        };
        self.room.set(room);
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

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(self.fail(JsonFault::DuplicateMember));
            }
            let value = access.next_value_seed(inner)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: JsonFault) {
        assert_eq!(parse_object(text), Err(expected), "{text:.60}");
    }

    #[test]
    fn anything_but_one_clean_object_is_refused() {
        check("", JsonFault::Syntax);
        check("{", JsonFault::Syntax);
        check("\u{feff}{}", JsonFault::Syntax);
        check("{} {}", JsonFault::TrailingData);
        check("{}x", JsonFault::TrailingData);
        for text in ["null", "true", "1", "\"x\"", "[]"] {
            check(text, JsonFault::NotAnObject);
        }
    }

    #[test]
    fn duplicate_members_are_refused_at_every_depth() {
        check(r#"{"a":1,"a":1}"#, JsonFault::DuplicateMember);
        check(r#"{"a":[{"b":1,"\u0062":2}]}"#, JsonFault::DuplicateMember);
    }

    #[test]
    fn sixteen_levels_are_read_and_seventeen_are_not() {
        let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        assert!(parse_object(&nested(16)).is_ok());
        check(&nested(17), JsonFault::TooDeep);
        check(&"[".repeat(100_000), JsonFault::TooDeep);
    }

    #[test]
    fn five_hundred_and_twelve_values_are_read_and_one_more_is_not() {
        // The object and its array are values too.
        let many = |numbers: usize| format!("{{\"a\":[{}1]}}", "1,".repeat(numbers - 1));
        assert!(parse_object(&many(510)).is_ok());
        check(&many(511), JsonFault::TooMany);
        check(&many(100_000), JsonFault::TooMany);
    }

    proptest! {
        // Arbitrary text never panics, and what is read equals what a plain reader reads.
        #[test]
        fn agrees_with_a_plain_reader(text in "[\\[\\]{}\":,a0-9.e\\-\\\\ ]{0,60}") {
            if let Ok(object) = parse_object(&text) {
                prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), Value::Object(object));
            }
        }
    }
}
