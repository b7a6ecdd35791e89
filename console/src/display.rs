//! Values as a page shows them. Escaping is the templates' affair.

use graph::text::clean;
use jiff::Timestamp;
use serde_json::Value;
use unicode_width::UnicodeWidthChar as _;

/// Longest name on a page (columns); the whole one is in JSON.
const NAME_COLUMNS: usize = 80;
/// Longest value of a property on a page (columns).
const VALUE_COLUMNS: usize = 60;

/// A name from outside: on one line, with characters that hide or reorder text escaped, and shortened.
pub(crate) fn name(text: &str) -> String {
    fitted(text, NAME_COLUMNS)
}

/// The text in at most that many columns, cut with an ellipsis where it is longer.
pub(crate) fn fitted(text: &str, columns: usize) -> String {
    let text = clean(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    let width = |character: char| character.width().unwrap_or(0);
    if text.chars().map(width).sum::<usize>() <= columns {
        return text;
    }
    let mut taken = 1;
    let fits = |character: &char| {
        taken += width(*character);
        taken <= columns
    };
    let mut beginning: String = text.chars().take_while(fits).collect();
    beginning.push('…');
    beginning
}

/// A time as people read it, to the second, in UTC.
pub(crate) fn time(ts_ms: i64) -> String {
    let Ok(time) = Timestamp::from_second(ts_ms.div_euclid(1_000)) else { return ts_ms.to_string() };
    let text = time.to_string();
    text.replace('T', " ").replace('Z', " UTC")
}

/// A time as programs read it.
pub(crate) fn iso(ts_ms: i64) -> String {
    let time = Timestamp::from_second(ts_ms.div_euclid(1_000));
    time.map_or_else(|_| ts_ms.to_string(), |time| time.to_string())
}

/// The date of a day since 1970.
pub(crate) fn date(day: i64) -> String {
    let text = iso(day.saturating_mul(24 * 60 * 60 * 1_000));
    text.split_once('T').map_or(text.clone(), |(date, _)| date.to_owned())
}

/// How long ago, in words, by the largest unit.
pub(crate) fn ago(ts_ms: i64, now_ms: i64) -> String {
    span(now_ms.saturating_sub(ts_ms)).map_or_else(|| "just now".to_owned(), |span| format!("{span} ago"))
}

/// How long until then, in words, by the largest unit.
pub(crate) fn until(ts_ms: i64, now_ms: i64) -> String {
    span(ts_ms.saturating_sub(now_ms))
        .map_or_else(|| "in less than a minute".to_owned(), |span| format!("in {span}"))
}

/// `None`: less than a minute.
fn span(ms: i64) -> Option<String> {
    let seconds = ms / 1_000;
    let (number, unit) = match seconds {
        ..=59 => return None,
        60..=3_599 => (seconds / 60, "min"),
        3_600..=86_399 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    Some(format!("{number} {unit}"))
}

/// A role, without what every role of a workspace begins with.
pub(crate) fn role(role: Option<&str>) -> String {
    let role = role.unwrap_or("unknown");
    fitted(&role.strip_prefix("workspace_").unwrap_or(role).replace('_', " "), 40)
}

/// The end of a key's hint, which distinguishes keys.
pub(crate) fn hint(hint: Option<&str>) -> String {
    let hint = hint.unwrap_or_default();
    fitted(&hint.rsplit_once("...").map_or_else(|| hint.to_owned(), |(_, end)| format!("…{end}")), 16)
}

/// A value of a property. JupiterOne has epoch milliseconds in every property whose name ends with `On`.
pub(crate) fn value(name: &str, value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "(none)".to_owned(),
        Some(Value::Number(number)) if name.ends_with("On") => {
            number.as_i64().map_or_else(|| number.to_string(), time)
        }
        Some(Value::String(text)) => fitted(text, VALUE_COLUMNS),
        Some(other) => fitted(&other.to_string(), VALUE_COLUMNS),
    }
}

/// A number of things.
pub(crate) fn count(number: usize, thing: &str) -> String {
    format!("{} {thing}{}", count_of(number), if number == 1 { "" } else { "s" })
}

/// A number with its thousands apart, of what is counted.
pub(crate) fn count_of(number: usize) -> String {
    grouped(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ago, date, fitted, grouped, hint, role, time, value};

    #[test]
    fn a_name_is_on_one_line_and_not_too_long() {
        for (text, expected) in [
            ("Ada  Diaz\n", "Ada Diaz"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("0123456789", "0123456789"),
            ("01234567890", "012345678…"),
            ("佐藤佐藤佐藤", "佐藤佐藤…"),
            ("", ""),
        ] {
            assert_eq!(fitted(text, 10), expected, "{text:?}");
        }
    }

    #[test]
    fn values_are_shown_as_people_read_them() {
        assert_eq!(time(1_795_536_000_999), "2026-11-24 16:00:00 UTC");
        assert_eq!(time(i64::MAX), "9223372036854775807");
        assert_eq!(date(20_781), "2026-11-24");
        assert_eq!(ago(0, 59_999), "just now");
        assert_eq!(ago(0, 7_200_000), "2 h ago");
        assert_eq!(role(Some("workspace_restricted_developer")), "restricted developer");
        assert_eq!(hint(Some("sk-ant-api03-...igAA")), "…igAA");
        assert_eq!(value("expiresOn", Some(&json!(1_795_536_000_000_i64))), "2026-11-24 16:00:00 UTC");
        assert_eq!(value("status", None), "(none)");
        assert_eq!(value("email", Some(&json!(["a@b"]))), "[\"a@b\"]");
        assert_eq!([0, 999, 1_000, -1_234_567].map(grouped), ["0", "999", "1,000", "-1,234,567"]);
    }
}
