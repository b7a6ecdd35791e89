//! What a change says of itself, held to its own images.

use std::collections::BTreeSet;

use schemas::change::{Envelope, op, reason};

use super::{diff::different, verdict::Violation};

/// Whether the fields of a change agree with one another.
pub(super) fn judge(change: &Envelope) -> Result<(), Violation> {
    let wrong = |expected: &str, found: &str| Err(Violation::new(&change.element_key, expected, found));
    let Some(image) = change.after.as_ref().or(change.before.as_ref()) else {
        return wrong("an image", "none");
    };
    if change.element_type != image.kind {
        return wrong("the type of its image", &change.element_type);
    }
    if change.kind != if image.is_relationship() { "relationship" } else { "entity" } {
        return wrong("the kind of its image", &change.kind);
    }
    let source = &change.source;
    if source.connector != "anthropic-graph" || source.version.is_empty() || source.ts_ms != change.ts_ms {
        return wrong("the connector, its version and the change's time as the source", "something else");
    }
    if image.organization_id != source.organization_id {
        return wrong("an image of the organization that the source names", &image.organization_id);
    }
    let changed: BTreeSet<&str> = change.changed.iter().map(String::as_str).collect();
    if !change.changed.is_sorted() || changed.len() != change.changed.len() || !is_changed(change, &changed) {
        return wrong("in `changed` the properties that differ, each once and in order", "others");
    }
    let reason = change.reason.as_deref();
    let is_decided = source.decision_by.is_some();
    let is_so = match change.op.as_str() {
        op::UPDATE => reason.is_none() && !is_decided,
        op::READ | op::CREATE => reason.is_none_or(|it| it == reason::END_APPEARED) && !is_decided,
        op::NOTICE => reason == Some(reason::HELD) && !is_decided,
        op::DELETE => match reason {
            Some(reason::ABSENT) => !is_decided,
            Some(reason::END_DELETED) => true,
            Some(reason::APPROVED | reason::FORGOTTEN) => is_decided,
            _ => false,
        },
        _ => false,
    };
    if !is_so || source.listing_id.is_none() != (reason == Some(reason::FORGOTTEN)) {
        return wrong("a reason, and a listing or a decision, as its op has", "others");
    }
    Ok(())
}

fn is_changed(change: &Envelope, changed: &BTreeSet<&str>) -> bool {
    let (Some(before), Some(after)) = (&change.before, &change.after) else { return changed.is_empty() };
    if change.op == op::NOTICE {
        return changed.is_empty();
    }
    // A tag has a name of its own, and one may stand before another.
    let named: BTreeSet<String> =
        changed.iter().filter(|name| !name.starts_with("tag.")).map(|name| (*name).to_owned()).collect();
    different(before, after).iter().flat_map(|column| properties(column)).collect::<BTreeSet<_>>() == named
}

/// The properties that a column becomes, but for tags.
fn properties(column: &str) -> Vec<String> {
    let name = column.rsplit('.').next().unwrap_or(column);
    match column {
        "digest" | "account_name" => Vec::new(),
        _ if column.contains(".tags") => Vec::new(),
        "user.created_on" => vec!["createdOn".to_owned(), "addedOn".to_owned()],
        _ => vec![camel_case(name)],
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        text + &initial.to_ascii_uppercase() + rest
    })
}
