//! JSON as it was sent: numbers are not rounded, and duplicate names are refused. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserializer;
use serde::de::{Deserialize, MapAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::json_position::{Position, half_character, values};

/// Deepest nesting of arrays and objects (count): a page has six levels, and each takes stack space.
const MAX_DEPTH: usize = 64;
/// Most values of a response (count): a page of 1,000 rows has about 30,000, and each takes at least 32 bytes.
const MAX_VALUES: usize = 1_000_000;
/// What some programs write before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// As it was written: it may be larger or more precise than any Rust number.
    Number(String),
    /// Without its escapes.
    Text(String),
    /// `[…]`
    Array(Vec<Json>),
    /// `{…}`, sorted by name.
    Object(BTreeMap<String, Json>),
}

/// Why bytes are not JSON that can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JsonError {
    /// Nothing, or a proxy's page.
    #[error(
        "the response is not JSON; check that base_url is the Admin API, and that no proxy responds instead"
    )]
    Foreign,
    /// It begins like JSON but is invalid.
    #[error("the response is not valid JSON at {0}")]
    Syntax(Position),
    /// Its end is missing.
    #[error("the response is cut off after {0} bytes, before its JSON ends")]
    Cut(usize),
    /// It is more than one value.
    #[error("the response continues after its JSON at {0}")]
    Trailing(Position),
    /// A string that no other program can keep either.
    #[error(
        "a string in the response has half of a character (a lone \\u surrogate) at {0}; if a name \
         has it, enter that name again"
    )]
    HalfCharacter(Position),
    /// A string that is not Unicode.
    #[error(
        "the answer has an invalid byte, which is not UTF-8, at {0}; if a name has it, enter that name again"
    )]
    InvalidByte(Position),
    /// JSON must not begin with one (RFC 8259, section 8.1).
    #[error(
        "the response begins with a byte order mark, which JSON must not have; find the proxy or gateway that adds it"
    )]
    ByteOrderMark,
    /// One object has a name twice, and nothing says which of the two is meant.
    #[error("an object in the response has two fields with the same name")]
    Twice,
    #[error("the response is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// Each value takes memory, however short it is.
    #[error("the response has more than {MAX_VALUES} values")]
    TooMany,
}

impl Json {
    /// Parses bytes as one value.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        if values(bytes) > MAX_VALUES {
            return Err(JsonError::TooMany);
        }
        read(bytes).and_then(|raw| Self::of(raw, 0)).map_err(|refusal| match refusal {
            Refusal::Unread => diagnosis(bytes),
            Refusal::Named(reason) => reason,
        })
    }

    /// Whether it is a string.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// The string with that name in an object.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self {
            Self::Object(fields) => match fields.get(name)? {
                Self::Text(text) => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// JSON text with sorted names and without white space: each value has exactly one text.
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn of(raw: &RawValue, depth: usize) -> Result<Self, Refusal> {
        let text = raw.get();
        if depth > MAX_DEPTH {
            return Err(Refusal::Named(JsonError::TooDeep));
        }
        match text.as_bytes().first() {
            Some(b'{') => {
                let Fields(fields) = read(text.as_bytes())?;
                let mut object = BTreeMap::new();
                for (name, raw) in fields {
                    if object.insert(name, Self::of(raw, depth + 1)?).is_some() {
                        return Err(Refusal::Named(JsonError::Twice));
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

/// Why a part of a response was refused.
enum Refusal {
    /// The parser refused it; [`diagnosis`] finds out why.
    Unread,
    Named(JsonError),
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|_| Refusal::Unread)
}

/// Why the parser refuses a response.
fn diagnosis(bytes: &[u8]) -> JsonError {
    if bytes.starts_with(BYTE_ORDER_MARK) {
        return JsonError::ByteOrderMark;
    }
    if !matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'[' | b'"')) {
        return JsonError::Foreign;
    }
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => return JsonError::Cut(bytes.len()),
        Err(error) => return JsonError::InvalidByte(Position::of(bytes, error.valid_up_to())),
        Ok(_) => {}
    }
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<&RawValue>();
    match values.next() {
        Some(Err(error)) if error.is_eof() => JsonError::Cut(bytes.len()),
        Some(Err(error)) => JsonError::Syntax(Position::of(bytes, offset(bytes, &error))),
        Some(Ok(_)) | None => {
            let end = values.byte_offset();
            let rest = bytes.get(end..).unwrap_or_default().trim_ascii_start();
            if !rest.is_empty() {
                return JsonError::Trailing(Position::of(bytes, bytes.len() - rest.len()));
            }
            let half = half_character(bytes).map(|at| JsonError::HalfCharacter(Position::of(bytes, at)));
            half.unwrap_or(JsonError::Syntax(Position::of(bytes, 0)))
        }
    }
}

/// Where the parser stopped. It counts lines and their bytes from 1.
fn offset(bytes: &[u8], error: &serde_json::Error) -> usize {
    let before = bytes.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
    before.map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1)
}

/// The fields of an object in order, each as it was written.
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
    use super::{Json, JsonError, MAX_DEPTH, MAX_VALUES};
    use crate::json_position::Position;

    fn canonical(text: &str) -> Result<String, JsonError> {
        Json::parse(text.as_bytes()).map(|value| value.canonical())
    }

    #[test]
    fn each_value_has_exactly_one_text() {
        let text = r#" { "b": [1, 2.5, null, true, "\u00e9\n"], "a": { "z": {}, "y": [] } } "#;
        assert_eq!(canonical(text).expect("JSON"), r#"{"a":{"y":[],"z":{}},"b":[1,2.5,null,true,"é\n"]}"#);
    }

    #[test]
    fn a_number_of_any_size_is_kept_as_it_was_written() {
        let text = "[18446744073709551616,-9223372036854775809,0.1234567890123456789,1e400,1.10]";
        assert_eq!(canonical(text).expect("JSON"), text);
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_the_reason() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for (text, expected) in [
            ("", JsonError::Foreign),
            ("<html>502</html>", JsonError::Foreign),
            ("upstream error", JsonError::Foreign),
            ("{} {}", JsonError::Trailing(Position { byte: 3, row: None })),
            ("{}]", JsonError::Trailing(Position { byte: 2, row: None })),
            (r#"{"a":1,}"#, JsonError::Syntax(Position { byte: 7, row: None })),
            ("{\n\"a\":x}", JsonError::Syntax(Position { byte: 6, row: None })),
            (r#"{"a":"#, JsonError::Cut(5)),
            (r#"{"a":"b"#, JsonError::Cut(7)),
            (r#""\ud83d""#, JsonError::HalfCharacter(Position { byte: 1, row: None })),
            (
                r#"{"data":[{"id":"a"},{"id":"b","name":"\ud83d"}]}"#,
                JsonError::HalfCharacter(Position { byte: 38, row: Some(2) }),
            ),
            ("\u{feff}{}", JsonError::ByteOrderMark),
            (r#"{"a":1,"b":{"c":1,"\u0063":1}}"#, JsonError::Twice),
            (&deep(MAX_DEPTH + 2), JsonError::TooDeep),
            (&deep(200_000), JsonError::TooDeep),
        ] {
            assert_eq!(canonical(text), Err(expected), "{}", &text[..text.len().min(40)]);
        }
        assert_eq!(canonical(&deep(MAX_DEPTH)).expect("JSON"), deep(MAX_DEPTH));
        let invalid = |byte, row| Err(JsonError::InvalidByte(Position { byte, row }));
        assert_eq!(Json::parse(b"\"\xff\""), invalid(1, None));
        assert_eq!(Json::parse(b"{\"data\":[1,\"\xff\"]}"), invalid(12, Some(2)));
        assert_eq!(Json::parse(b"\"\xc3"), Err(JsonError::Cut(2)));
        assert_eq!(canonical(&format!("[{}1]", "[],".repeat(MAX_VALUES))), Err(JsonError::TooMany));
    }

    #[test]
    fn serde_s_private_names_are_ordinary_names() {
        let text = r#"{"$serde_json::private::Number":"1","$serde_json::private::RawValue":"[]"}"#;
        assert_eq!(canonical(text).expect("JSON"), text);
    }
}
