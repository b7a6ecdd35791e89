//! A change as a person wants to read it: who, what, before → after. Pure.

use schemas::{
    change::{Envelope, Op, Reason},
    element::{Content, Element},
};

use crate::{jupiterone::properties, text::clean};
use jiff::Timestamp;
use serde_json::Value;

/// Longest value that is shown whole (characters).
const VALUE_LEN: usize = 60;

/// Longest name of an entity or of a relationship's end (characters).
const NAME_LEN: usize = 40;

const DISPLAY_NAME: &str = "displayName";

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
        line.push_str(&explained(reason, change.source.decision_by.as_deref()));
        line.push(')');
    }
    clean(&line)
}

fn explained(reason: &Reason, decision_by: Option<&str>) -> String {
    let by = decision_by.map_or_else(String::new, |by| format!(" by {by}"));
    match reason {
        Reason::Absent => "no longer listed".to_owned(),
        Reason::EndDeleted => "the person, workspace or key is gone".to_owned(),
        Reason::EndAppeared => "the person, workspace or key is there now".to_owned(),
        Reason::Approved => format!("approved{by}"),
        Reason::Forgotten => format!("organization forgotten{by}"),
        other @ (Reason::Held | Reason::Other { .. }) => other.as_str().replace('_', " "),
    }
}

fn entity(element: &Element) -> String {
    let kind = words(element.kind());
    let id = element.key.split_once(':').map_or(element.key.as_str(), |(_, id)| id);
    if element.display_name == id {
        format!("{kind} {id}")
    } else {
        format!("{kind} {} [{id}]", cut(&element.display_name, NAME_LEN))
    }
}

fn relationship(element: &Element, name: impl Fn(&str) -> Option<String>) -> String {
    let mut ends = element.ends().map(|key| end(key, name(key)));
    let (from, to) = (ends.next().unwrap_or_default(), ends.next().unwrap_or_default());
    let assigned =
        if let Content::UserAssignedWorkspace(_, columns) = &element.content { Some(columns) } else { None };
    let role = assigned.and_then(|columns| columns.role.as_deref());
    let role = role.map_or_else(String::new, |role| format!(" as {role}"));
    let does = match element.content.class() {
        "HAS" => "has",
        "ASSIGNED" => "is assigned to",
        "CREATED" => "created",
        other => other,
    };
    format!("{from} {does} {to}{role}")
}

fn end(key: &str, name: Option<String>) -> String {
    let (kind, id) = key.split_once(':').unwrap_or(("", key));
    let name = name.map(|name| cut(&name, NAME_LEN));
    format!("{} {}", words(kind), name.as_deref().unwrap_or(id))
}

fn words(kind: &str) -> String {
    match kind.strip_prefix("anthropic_").unwrap_or(kind) {
        "account" => "organization".to_owned(),
        "user" => "person".to_owned(),
        "api_key" => "API key".to_owned(),
        other => other.replace('_', " "),
    }
}

fn differences(changed: &[String], before: &Element, after: &Element) -> String {
    let (before, after) = (properties(before), properties(after));
    let same =
        |one: &str, other: &str| before.get(one) == before.get(other) && after.get(one) == after.get(other);
    // The display name is another property's value: once is enough.
    let is_repeated =
        |name: &str| name == DISPLAY_NAME && changed.iter().any(|other| other != name && same(name, other));
    let differences: Vec<String> = changed
        .iter()
        .filter(|name| !is_repeated(name))
        .map(|name| format!("{name} {} → {}", shown(name, before.get(name)), shown(name, after.get(name))))
        .collect();
    differences.join(", ")
}

fn shown(name: &str, value: Option<&Value>) -> String {
    let text = match value {
        None => return "(none)".to_owned(),
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

#[cfg(test)]
mod tests {
    use schemas::{
        change::Reason,
        element::{Content, Element, Workspace},
    };

    use super::{differences, end, entity, explained};

    fn workspace(name: &str, archived_on: Option<i64>) -> Element {
        let workspace =
            Workspace { id: "w".to_owned(), name: name.to_owned(), archived_on, ..Workspace::default() };
        Element::new("o", "workspaces", Content::Workspace(Box::new(workspace)))
    }

    #[test]
    fn a_name_is_said_once_and_what_is_absent_is_none() {
        let changed = ["archivedOn", "displayName", "name"].map(str::to_owned);
        let after = workspace("Staging II", Some(1_795_536_000_000));
        assert_eq!(
            differences(&changed, &workspace("Staging", None), &after),
            "archivedOn (none) → 2026-11-24T16:00:00Z, name Staging → Staging II"
        );
        assert_eq!(
            differences(&changed[1..2], &workspace("Staging", None), &after),
            "displayName Staging → Staging II",
            "where nothing else says it"
        );
    }

    #[test]
    fn a_decision_names_who_decided() {
        assert_eq!(explained(&Reason::Approved, Some("root")), "approved by root");
        assert_eq!(explained(&Reason::Forgotten, None), "organization forgotten");
        assert_eq!(explained(&Reason::EndDeleted, None), "the person, workspace or key is gone");
    }

    #[test]
    fn an_end_is_named_as_people_call_it() {
        assert_eq!(end("anthropic_user:u", Some("Ada".to_owned())), "person Ada");
        assert_eq!(end("anthropic_account:o", None), "organization o");
    }

    #[test]
    fn a_long_name_is_cut() {
        assert_eq!(entity(&workspace(&"x".repeat(41), None)), format!("workspace {}… [w]", "x".repeat(40)));
        assert_eq!(entity(&workspace("Staging", None)), "workspace Staging [w]");
    }
}
