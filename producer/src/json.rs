//! JSON as it was sent: no number is rounded, no field is lost to another of its name. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserializer;
use serde::de::{Deserialize, MapAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

/// Most levels of arrays and objects within each other (count): a page has six, and each costs a part of the stack.
const MAX_DEPTH: usize = 64;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// As it was written: it may be larger or finer than any number here.
    Number(String),
    /// Without its escapes.
    Text(String),
    /// `[…]`
    Array(Vec<Json>),
    /// `{…}`, sorted by name.
    Object(BTreeMap<String, Json>),
}

/// Why bytes are no JSON that can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoJson {
    /// Not JSON, or with half a character in a text.
    #[error("the answer is no JSON; is base_url the Admin API, and no proxy between?")]
    Syntax,
    /// A name stands twice in one object: nobody can say which of the two is meant.
    #[error("an object of the answer has two fields of one name")]
    Twice,
    /// Nested beyond reason.
    #[error("the answer is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
}

impl Json {
    /// The value that the bytes are.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoJson> {
        Self::of(read(bytes)?, 0)
    }

    /// Whether it is a text.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// The text of that name in an object.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self {
            Self::Object(fields) => match fields.get(name)? {
                Self::Text(text) => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// JSON text with sorted names and no white space: one value has one text.
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn of(raw: &RawValue, depth: usize) -> Result<Self, NoJson> {
        let text = raw.get();
        if depth > MAX_DEPTH {
            return Err(NoJson::TooDeep);
        }
        match text.as_bytes().first() {
            Some(b'{') => {
                let Fields(fields) = read(text.as_bytes())?;
                let mut object = BTreeMap::new();
                for (name, raw) in fields {
                    if object.insert(name, Self::of(raw, depth + 1)?).is_some() {
                        return Err(NoJson::Twice);
                    }
                }
                Ok(Self::Object(object))
            }
            Some(b'[') => {
                let values: Vec<&RawValue> = read(text.as_bytes())?;
                values
                    .into_iter()
                    .map(|raw| Self::of(raw, depth + 1))
                    .collect::<Result<_, _>>()
                    .map(Self::Array)
            }
            Some(b'"') => read(text.as_bytes()).map(Self::Text),
            Some(b'n') => Ok(Self::Null),
            Some(b't') => Ok(Self::Bool(true)),
            Some(b'f') => Ok(Self::Bool(false)),
            _ => Ok(Self::Number(text.to_owned())),
        }
    }

    fn write(&self, text: &mut String) {
        let quoted = |name: &str| serde_json::Value::from(name).to_string();
        match self {
            Self::Null => text.push_str("null"),
            Self::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => text.push_str(number),
            Self::Text(value) => text.push_str(&quoted(value)),
            Self::Array(values) => {
                text.push('[');
                for (position, value) in values.iter().enumerate() {
                    if position > 0 {
                        text.push(',');
                    }
                    value.write(text);
                }
                text.push(']');
            }
            Self::Object(fields) => {
                text.push('{');
                for (position, (name, value)) in fields.iter().enumerate() {
                    if position > 0 {
                        text.push(',');
                    }
                    text.push_str(&quoted(name));
                    text.push(':');
                    value.write(text);
                }
                text.push('}');
            }
        }
    }
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, NoJson> {
    serde_json::from_slice(bytes).map_err(|_| NoJson::Syntax)
}

/// The fields of an object in their order, each as it was written.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::{Json, MAX_DEPTH, NoJson};

    fn canonical(text: &str) -> Result<String, NoJson> {
        Json::parse(text.as_bytes()).map(|value| value.canonical())
    }

    #[test]
    fn one_value_has_one_text() {
        let text = r#" { "b": [1, 2.5, null, true, "\u00e9\n"], "a": { "z": {}, "y": [] } } "#;
        assert_eq!(canonical(text).expect("JSON"), r#"{"a":{"y":[],"z":{}},"b":[1,2.5,null,true,"é\n"]}"#);
    }

    #[test]
    fn a_number_is_kept_as_it_was_written_however_large_or_fine() {
        let text = "[18446744073709551616,-9223372036854775809,0.1234567890123456789,1e400,1.10]";
        assert_eq!(canonical(text).expect("JSON"), text);
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_the_reason() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for (text, expected) in [
            ("", NoJson::Syntax),
            ("{} {}", NoJson::Syntax),
            (r#"{"a":1,}"#, NoJson::Syntax),
            (r#""\ud83d""#, NoJson::Syntax),
            (r#"{"a":1,"b":{"c":1,"\u0063":1}}"#, NoJson::Twice),
            (&deep(MAX_DEPTH + 2), NoJson::TooDeep),
            (&deep(200_000), NoJson::TooDeep),
        ] {
            assert_eq!(canonical(text), Err(expected), "{}", &text[..text.len().min(40)]);
        }
        assert_eq!(canonical(&deep(MAX_DEPTH)).expect("JSON"), deep(MAX_DEPTH));
        assert_eq!(Json::parse(b"\"\xff\""), Err(NoJson::Syntax));
    }

    #[test]
    fn a_name_of_serde_s_own_is_a_name_like_others() {
        let text = r#"{"$serde_json::private::Number":"1","$serde_json::private::RawValue":"[]"}"#;
        assert_eq!(canonical(text).expect("JSON"), text);
    }
}
