//! A change as a person wants to read it: who, what, before → after. Pure.

use schemas::{
    change::{Envelope, Op},
    element::{Content, Element},
};

use crate::{jupiterone::properties, text::clean};
use jiff::Timestamp;
use serde_json::Value;

/// Longest value that is shown whole (characters).
const VALUE_LEN: usize = 60;

/// Longest name of a relationship's end (characters).
const NAME_LEN: usize = 40;

/// One line about a change, without its time. A relationship has only the keys of its ends: `name` gives their names.
pub fn describe(change: &Envelope, name: impl Fn(&str) -> Option<String>) -> String {
    let verb = match &change.op {
        Op::Read => "seen",
        Op::Create => "created",
        Op::Update => "updated",
        Op::Delete => "deleted",
        Op::Notice => "notice",
        Op::Other { text, .. } => text,
    };
    let subject = change.after.as_ref().or(change.before.as_ref()).map_or_else(
        || change.element_key.clone(),
        |element| if element.is_relationship() { relationship(element, name) } else { entity(element) },
    );
    let mut line = format!("{verb:<8}{subject}");
    if change.op == Op::Notice {
        line.push_str(": its deletion waits for a decision");
    } else if let (Some(before), Some(after)) = (&change.before, &change.after) {
        line.push_str(": ");
        line.push_str(&differences(&change.changed, before, after));
    }
    if let Some(reason) = &change.reason {
        line.push_str(" (");
        line.push_str(&reason.as_str().replace('_', " "));
        line.push(')');
    }
    clean(&line)
}

fn entity(element: &Element) -> String {
    let kind = words(element.kind());
    let id = element.key.split_once(':').map_or(element.key.as_str(), |(_, id)| id);
    if element.display_name == id {
        format!("{kind} {id}")
    } else {
        format!("{kind} {} [{id}]", element.display_name)
    }
}

fn relationship(element: &Element, name: impl Fn(&str) -> Option<String>) -> String {
    let mut ends = element.ends().map(|key| end(key, name(key)));
    let (from, to) = (ends.next().unwrap_or_default(), ends.next().unwrap_or_default());
    let assigned =
        if let Content::UserAssignedWorkspace(_, columns) = &element.content { Some(columns) } else { None };
    let role = assigned.and_then(|columns| columns.role.as_deref());
    let role = role.map_or_else(String::new, |role| format!(" as {role}"));
    format!("{from} {} {to}{role}", element.content.class())
}

fn end(key: &str, name: Option<String>) -> String {
    let (kind, id) = key.split_once(':').unwrap_or(("", key));
    let name = name.map(|name| cut(&name, NAME_LEN));
    format!("{} {}", words(kind), name.as_deref().unwrap_or(id))
}

fn words(kind: &str) -> String {
    kind.strip_prefix("anthropic_").unwrap_or(kind).replace("api_key", "API key").replace('_', " ")
}

fn differences(changed: &[String], before: &Element, after: &Element) -> String {
    let (before, after) = (properties(before), properties(after));
    let differences: Vec<String> = changed
        .iter()
        .map(|name| format!("{name} {} → {}", shown(name, before.get(name)), shown(name, after.get(name))))
        .collect();
    differences.join(", ")
}

fn shown(name: &str, value: Option<&Value>) -> String {
    let text = match value {
        None => return "nothing".to_owned(),
        Some(Value::Number(number)) if name.ends_with("On") => time(number),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    cut(&text, VALUE_LEN)
}

fn cut(text: &str, len: usize) -> String {
    if text.chars().count() <= len {
        return text.to_owned();
    }
    let beginning: String = text.chars().take(len).collect();
    format!("{beginning}…")
}

/// A time as people write it; JupiterOne has epoch milliseconds in every property that ends with `On`.
fn time(number: &serde_json::Number) -> String {
    let time = number.as_i64().and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok());
    time.map_or_else(|| number.to_string(), |time| time.to_string())
}
