//! Pages by id: `limit`, `after_id`, `before_id`.

use std::ops::Range;

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::settings::UnknownCursor;

/// Rows of a page when the request does not say (Anthropic's reference).
const DEFAULT_LIMIT: usize = 20;
/// The most rows of a page (Anthropic's reference).
const MAX_LIMIT: usize = 1000;

/// The parameters of a request, in order, decoded.
pub(super) type Query = [(String, String)];

/// The value of a parameter.
pub(super) fn parameter<'a>(query: &'a Query, name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The values of a parameter in bracket form: `ids[]=a&ids[]=b`.
pub(super) fn array<'a>(query: &'a Query, name: &str) -> Vec<&'a str> {
    let wanted = format!("{name}[]");
    query.iter().filter(|(key, _)| *key == wanted).map(|(_, value)| value.as_str()).collect()
}

/// A parameter that is `true` or `false`, `false` if absent.
pub(super) fn boolean(query: &Query, name: &str) -> Result<bool, Refusal> {
    match parameter(query, name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Refusal::invalid(&format!("{name}: Input should be a valid boolean"))),
    }
}

/// The page of these ids that the request asks for.
pub(super) fn page(
    ids: &[&str],
    query: &Query,
    unknown: UnknownCursor,
    row: impl Fn(&str) -> Value,
) -> Result<Value, Refusal> {
    let limit = limit(query)?;
    let (range, has_more) = match (parameter(query, "after_id"), parameter(query, "before_id")) {
        (Some(_), Some(_)) => {
            return Err(Refusal::invalid("only one of `after_id` and `before_id` may be given"));
        }
        (None, None) => forward(ids, 0, limit),
        (Some(cursor), None) => match find(ids, cursor, "after_id", unknown)? {
            Some(position) => forward(ids, position + 1, limit),
            None => (0..0, false),
        },
        (None, Some(cursor)) => match find(ids, cursor, "before_id", unknown)? {
            Some(position) => (position.saturating_sub(limit)..position, position > limit),
            None => (0..0, false),
        },
    };
    let shown = &ids[range];
    Ok(json!({
        "data": shown.iter().map(|id| row(id)).collect::<Vec<_>>(),
        "has_more": has_more,
        "first_id": shown.first(),
        "last_id": shown.last(),
    }))
}

fn forward(ids: &[&str], start: usize, limit: usize) -> (Range<usize>, bool) {
    let end = (start + limit).min(ids.len());
    (start..end, end < ids.len())
}

fn find(
    ids: &[&str],
    cursor: &str,
    parameter: &str,
    unknown: UnknownCursor,
) -> Result<Option<usize>, Refusal> {
    match (ids.iter().position(|id| *id == cursor), unknown) {
        (None, UnknownCursor::BadRequest) => {
            Err(Refusal::invalid(&format!("Invalid pagination cursor for '{parameter}'")))
        }
        (position, _) => Ok(position),
    }
}

fn limit(query: &Query) -> Result<usize, Refusal> {
    let Some(text) = parameter(query, "limit") else { return Ok(DEFAULT_LIMIT) };
    let number: i64 = text.parse().map_err(|_| {
        Refusal::invalid("limit: Input should be a valid integer, unable to parse string as an integer")
    })?;
    match usize::try_from(number) {
        Ok(limit @ 1..=MAX_LIMIT) => Ok(limit),
        Ok(limit) if limit > MAX_LIMIT => {
            Err(Refusal::invalid(&format!("limit: Input should be less than or equal to {MAX_LIMIT}")))
        }
        _ => Err(Refusal::invalid("limit: Input should be greater than or equal to 1")),
    }
}
