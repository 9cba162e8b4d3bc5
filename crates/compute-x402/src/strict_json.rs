use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// Deep enough for every published extension schema, far below any stack limit.
const MAX_DEPTH: u8 = 16;

/// Names and values of a document: several times what a payment with every published extension holds.
const MAX_PIECES: u16 = 1_024;

/// The same for an outline of a short text; so many more bytes cost as much as one of them. Together
/// they bound the time, however a text is made.
const OUTLINE_PIECES: u16 = 800;
const BYTES: usize = 36;

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

/// Which part of a document is built. The rest is read and thrown away.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    All,
    /// These members of an object; of a list nothing; what is neither, whole.
    Members(&'static [(&'static str, Self)]),
}

/// Reads exactly one JSON object: no duplicate members, at most 16 levels and 1024 names and values,
/// nothing after it.
///
/// Duplicates matter because two readers of one document may pick different values.
pub(crate) fn parse_object(text: &str) -> Result<Map<String, Value>, JsonFault> {
    parse(text, Part::All, MAX_PIECES)
}

/// Reads one part of such an object, many times faster than all of it, and fewer names and values of
/// a long text. Duplicates elsewhere are not noticed.
pub(crate) fn parse_outline(
    text: &str,
    members: &'static [(&'static str, Part)],
) -> Result<Map<String, Value>, JsonFault> {
    let length = u16::try_from(text.len() / BYTES).unwrap_or(u16::MAX);
    let pieces = OUTLINE_PIECES.saturating_sub(length);
    parse(text, Part::Members(members), pieces)
}

fn parse(text: &str, part: Part, pieces: u16) -> Result<Map<String, Value>, JsonFault> {
    let (left, fault) = (Cell::new(pieces), Cell::new(None));
    let limits = Limits {
        left: &left,
        depth: 0,
        fault: &fault,
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Node { part, limits }
        .deserialize(&mut deserializer)
        .map_err(|_| fault.get().unwrap_or(JsonFault::Syntax))?;
    deserializer.end().map_err(|_| JsonFault::TrailingData)?;
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(JsonFault::NotAnObject),
    }
}

/// How much may still be read, and how deep this is.
#[derive(Clone, Copy)]
struct Limits<'a> {
    left: &'a Cell<u16>,
    depth: u8,
    fault: &'a Cell<Option<JsonFault>>,
}

impl Limits<'_> {
    fn fail<E: serde::de::Error>(self, fault: JsonFault) -> E {
        self.fault.set(Some(fault));
        E::custom("refused")
    }

    fn count<E: serde::de::Error>(self) -> Result<(), E> {
        let left = self.left.get().checked_sub(1);
        self.left
            .set(left.ok_or_else(|| self.fail(JsonFault::TooMany))?);
        Ok(())
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

/// A value that is built, as far as it belongs to the part.
#[derive(Clone, Copy)]
struct Node<'a> {
    part: Part,
    limits: Limits<'a>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.limits.count()?;
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
        let limits = self.limits.deeper()?;
        let mut items = Vec::new();
        match self.part {
            Part::All => {
                while let Some(item) = access.next_element_seed(Node { limits, ..self })? {
                    items.push(item);
                }
            }
            Part::Members(_) => while access.next_element_seed(Skipped(limits))?.is_some() {},
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let limits = self.limits.deeper()?;
        let mut members = Map::new();
        let names = Name {
            part: self.part,
            limits,
        };
        while let Some(name) = access.next_key_seed(names)? {
            let Some((name, part)) = name else {
                access.next_value_seed(Skipped(limits))?;
                continue;
            };
            let Entry::Vacant(member) = members.entry(name) else {
                return Err(limits.fail(JsonFault::DuplicateMember));
            };
            member.insert(access.next_value_seed(Node { part, limits })?);
        }
        Ok(Value::Object(members))
    }
}

/// The name of a member, and the part of its value that is built, if any.
#[derive(Clone, Copy)]
struct Name<'a> {
    part: Part,
    limits: Limits<'a>,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<(String, Part)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.limits.count()?;
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name<'_> {
    type Value = Option<(String, Part)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let part = match self.part {
            Part::All => Some(Part::All),
            Part::Members(built) => {
                let member = built.iter().find(|(it, _)| *it == name);
                member.map(|(_, part)| *part)
            }
        };
        Ok(part.map(|part| (name.to_owned(), part)))
    }
}

/// A value, or the name of a member, that is read and thrown away.
#[derive(Clone, Copy)]
struct Skipped<'a>(Limits<'a>);

impl<'de> DeserializeSeed<'de> for Skipped<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skipped<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let inner = Self(self.0.deeper()?);
        while access.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let inner = Self(self.0.deeper()?);
        while access.next_key_seed(inner)?.is_some() {
            access.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

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
    fn so_many_names_and_values_are_read_and_one_more_is_not() {
        // The object, its name and its array count too.
        let many = |numbers: usize| format!("{{\"a\":[{}1]}}", "1,".repeat(numbers - 1));
        assert!(parse_object(&many(1_021)).is_ok());
        check(&many(1_022), JsonFault::TooMany);
        check(&many(100_000), JsonFault::TooMany);
    }

    fn outline(text: &str) -> Result<Value, JsonFault> {
        const SCHEME: Part = Part::Members(&[("scheme", Part::Members(&[]))]);
        parse_outline(text, &[("kept", Part::All), ("terms", SCHEME)]).map(Value::Object)
    }

    #[test]
    fn an_outline_is_what_it_names_and_nothing_else() {
        let text = r#"{"other":[{"kept":1}],"kept":[{"a":null}],
            "terms":{"scheme":"exact","amount":"1","extra":{"scheme":2}}}"#;
        let expected = json!({ "kept": [{ "a": null }], "terms": { "scheme": "exact" } });
        assert_eq!(outline(text), Ok(expected));
        assert_eq!(outline(r#"{"terms":[1]}"#), Ok(json!({ "terms": [] })));
        assert_eq!(outline(r#"{"terms":"x"}"#), Ok(json!({ "terms": "x" })));
    }

    #[test]
    fn the_rules_hold_beside_an_outline_too() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(16), "]".repeat(16));
        let crowd = format!("{{\"a\":[{}1]}}", "1,".repeat(2_000));
        let long = format!(
            "{{\"a\":\"{}\",\"b\":[{}1]}}",
            "a".repeat(10_000),
            "1,".repeat(600)
        );
        for (text, expected) in [
            (r#"{"a":[1,]}"#, JsonFault::Syntax),
            (r#"{"a":1} x"#, JsonFault::TrailingData),
            (r#"{"kept":1,"\u006bept":1}"#, JsonFault::DuplicateMember),
            (
                r#"{"terms":{"scheme":1,"scheme":1}}"#,
                JsonFault::DuplicateMember,
            ),
            ("[1]", JsonFault::NotAnObject),
            (&deep, JsonFault::TooDeep),
            (&crowd, JsonFault::TooMany),
            (&long, JsonFault::TooMany),
        ] {
            assert_eq!(outline(text), Err(expected), "{text:.60}");
        }
    }

    proptest! {
        // Arbitrary text never panics, and what is read equals what a plain reader reads.
        #[test]
        fn agrees_with_a_plain_reader(text in "[\\[\\]{}\":,a0-9.e\\-\\\\ ]{0,60}") {
            if let Ok(object) = parse_object(&text) {
                prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), Value::Object(object.clone()));
                prop_assert_eq!(parse_outline(&text, &[]), Ok(Map::new()));
                let a: Map<_, _> = object.get("a").map(|a| ("a".to_owned(), a.clone())).into_iter().collect();
                prop_assert_eq!(parse_outline(&text, &[("a", Part::All)]), Ok(a));
            }
        }
    }
}
