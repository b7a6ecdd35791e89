//! A change as a person wants to read it: who, what, before → after. Pure.

use schemas::{
    change::{Envelope, op},
    element::Element,
};

use crate::jupiterone::properties;
use jiff::Timestamp;
use serde_json::Value;

/// Longest value that is shown whole (characters).
const VALUE_LEN: usize = 60;

/// One line about a change, without its time.
pub fn describe(change: &Envelope) -> String {
    let verb = match change.op.as_str() {
        op::READ => "seen",
        op::CREATE => "created",
        op::UPDATE => "updated",
        op::DELETE => "deleted",
        op::NOTICE => "notice",
        other => other,
    };
    let subject = change.after.as_ref().or(change.before.as_ref()).map_or_else(
        || change.element_key.clone(),
        |element| if element.is_relationship() { relationship(element) } else { entity(element) },
    );
    let mut line = format!("{verb:<8}{subject}");
    if change.op == op::NOTICE {
        line.push_str(": its deletion waits for a decision");
    } else if let (Some(before), Some(after)) = (&change.before, &change.after) {
        line.push_str(": ");
        line.push_str(&differences(&change.changed, before, after));
    }
    if let Some(reason) = &change.reason {
        line.push_str(" (");
        line.push_str(&reason.replace('_', " "));
        line.push(')');
    }
    line
}

fn entity(element: &Element) -> String {
    let kind = words(&element.kind);
    let id = element.key.split_once(':').map_or(element.key.as_str(), |(_, id)| id);
    if element.display_name == id {
        format!("{kind} {id}")
    } else {
        format!("{kind} {} [{id}]", element.display_name)
    }
}

fn relationship(element: &Element) -> String {
    let mut ends = element.ends().map(end);
    let (from, to) = (ends.next().unwrap_or_default(), ends.next().unwrap_or_default());
    let role = element.user_assigned_workspace.as_ref().and_then(|assigned| assigned.role.as_deref());
    let role = role.map_or_else(String::new, |role| format!(" as {role}"));
    format!("{from} {} {to}{role}", element.class)
}

fn end(key: &str) -> String {
    let (kind, id) = key.split_once(':').unwrap_or(("", key));
    format!("{} {id}", words(kind))
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
    if text.chars().count() <= VALUE_LEN {
        return text;
    }
    let beginning: String = text.chars().take(VALUE_LEN).collect();
    format!("{beginning}…")
}

/// A time as people write it; JupiterOne has epoch milliseconds in every property that ends with `On`.
fn time(number: &serde_json::Number) -> String {
    let time = number.as_i64().and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok());
    time.map_or_else(|| number.to_string(), |time| time.to_string())
}
