//! The position of a byte in a response, and the structure of a response that is not JSON. Pure.

use std::fmt;
use std::ops::Range;

/// The position of a byte in a response, for people who look for a string that must be corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Bytes before it (count).
    pub byte: usize,
    /// The row of `data` that contains it, counted from 1.
    pub row: Option<usize>,
}

impl Position {
    /// Of the byte at that offset.
    pub(crate) fn of(bytes: &[u8], byte: usize) -> Self {
        Self { byte, row: row(bytes, byte) }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "byte {}", self.byte)?;
        self.row.map_or(Ok(()), |row| write!(formatter, " (row {row})"))
    }
}

/// What JSON is made of, as far as its structure goes.
enum Part {
    /// A string, without its quotes.
    Text(Range<usize>),
    Byte(u8),
}

/// The tokens of JSON with their offsets. If the response is not JSON, as many as can be recognized.
fn parts(bytes: &[u8]) -> impl Iterator<Item = (usize, Part)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let byte = *bytes.get(start)?;
        at += 1;
        if byte != b'"' {
            return Some((start, Part::Byte(byte)));
        }
        while let Some(inner) = bytes.get(at).filter(|inner| **inner != b'"') {
            at += if *inner == b'\\' { 2 } else { 1 };
        }
        let text = start + 1..at.min(bytes.len());
        at += 1;
        Some((start, Part::Text(text)))
    })
}

/// How many values JSON has at most (count): each but the first follows a comma or opens an array or an object.
pub(crate) fn values(bytes: &[u8]) -> usize {
    1 + parts(bytes).filter(|(_, part)| matches!(part, Part::Byte(b',' | b'[' | b'{'))).count()
}

fn row(bytes: &[u8], byte: usize) -> Option<usize> {
    let (mut depth, mut row, mut name) = (0_usize, None, 0..0);
    for (_, part) in parts(bytes).take_while(|(at, _)| *at < byte) {
        match part {
            Part::Text(text) if depth == 1 => name = text,
            Part::Byte(opening @ (b'{' | b'[')) => {
                depth += 1;
                if depth == 2 && opening == b'[' && bytes.get(name.clone()) == Some(b"data") {
                    row = Some(1);
                }
            }
            Part::Byte(b'}' | b']') => {
                depth = depth.saturating_sub(1);
                if depth == 1 {
                    row = None;
                }
            }
            Part::Byte(b',') if depth == 2 => row = row.map(|row| row + 1),
            Part::Text(_) | Part::Byte(_) => {}
        }
    }
    row
}

/// The first escape in JSON that is one half of a character without the other: `\ud83d` alone.
pub(crate) fn half_character(bytes: &[u8]) -> Option<usize> {
    let is_first = |unit: u16| (0xD800..0xDC00).contains(&unit);
    let is_second = |unit: u16| (0xDC00..0xE000).contains(&unit);
    let mut at = 0;
    while at < bytes.len() {
        at += match escape(&bytes[at..]) {
            Some(unit) if is_first(unit) => match bytes.get(at + 6..).and_then(escape) {
                Some(next) if is_second(next) => 12,
                _ => return Some(at),
            },
            Some(unit) if is_second(unit) => return Some(at),
            Some(_) => 6,
            None if bytes[at] == b'\\' => 2,
            None => 1,
        };
    }
    None
}

/// The UTF-16 unit of the escape at the beginning.
fn escape(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{Position, half_character, values};

    #[test]
    fn a_byte_is_found_in_its_row() {
        let body = r#"{"x":[[1],2],"data":[{"id":"a,\"]"},{"id":"b"}],"last_id":"b"}"#;
        let row = |text: &str| Position::of(body.as_bytes(), body.find(text).expect("it is there")).row;
        assert_eq!(row("a,"), Some(1));
        assert_eq!(row(r#""b"}]"#), Some(2));
        assert_eq!((row("[1]"), row("last_id")), (None, None));
        assert_eq!(Position::of(body.as_bytes(), 3).to_string(), "byte 3");
        let second = body.find(r#"{"id":"b"#).expect("it is there");
        assert_eq!(Position::of(body.as_bytes(), second).to_string(), "byte 36 (row 2)");
    }

    #[test]
    fn half_a_character_is_found() {
        for (text, expected) in [
            (r#""\ud83d\ude00""#, None),
            (r#""a\ud83d""#, Some(2)),
            (r#""a\ude00""#, Some(2)),
            (r#""\ud83d\u0041""#, Some(1)),
            (r#""\\ud83d""#, None),
            (r#""\\\ud83d""#, Some(3)),
            (r#""\u00e9\ud83d\ud83d\ude00""#, Some(7)),
            (r#""\u"#, None),
        ] {
            assert_eq!(half_character(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn there_are_no_more_values_than_are_counted() {
        for (text, expected) in [("1", 1), ("[]", 2), ("[1,2]", 3), (r#"{"a":{"b,[":[1,2]}}"#, 5), ("\"", 1)]
        {
            assert_eq!(values(text.as_bytes()), expected, "{text}");
        }
    }
}
