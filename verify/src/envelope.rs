//! What a change says of itself, held to its own images.

use std::collections::BTreeSet;

use schemas::{
    change::{Kind, Op, Reason},
    encoded::EncodedChange,
};

use super::{diff::different, verdict::Violation};

/// Whether the fields of a change agree with one another.
pub(super) fn judge(change: &EncodedChange) -> Result<(), Violation> {
    let EncodedChange { envelope, before, after } = change;
    let wrong = |expected: &str, found: &str| Err(Violation::new(&envelope.element_key, expected, found));
    let Some(image) = after.as_ref().or(before.as_ref()) else {
        return wrong("an image", "none");
    };
    if envelope.element_type != image.kind() {
        return wrong("the type of its image", &envelope.element_type);
    }
    if envelope.kind != if image.is_relationship() { Kind::Relationship } else { Kind::Entity } {
        return wrong("the kind of its image", envelope.kind.as_str());
    }
    let source = &envelope.source;
    if source.connector != "anthropic-graph" || source.version.is_empty() || source.ts_ms != envelope.ts_ms {
        return wrong("the connector, its version and the change's time as the source", "something else");
    }
    if image.organization_id() != source.organization_id {
        return wrong("an image of the organization that the source names", image.organization_id());
    }
    let changed: BTreeSet<&str> = envelope.changed.iter().map(String::as_str).collect();
    if !envelope.changed.is_sorted()
        || changed.len() != envelope.changed.len()
        || !is_changed(change, &changed)
    {
        return wrong("in `changed` the properties that differ, each once and in order", "others");
    }
    let reason = envelope.reason.as_ref();
    let is_decided = source.decision_by.is_some();
    let is_so = match envelope.op {
        Op::Update => reason.is_none() && !is_decided,
        Op::Read | Op::Create => reason.is_none_or(|it| *it == Reason::EndAppeared) && !is_decided,
        Op::Notice => reason == Some(&Reason::Held) && !is_decided,
        Op::Delete => match reason {
            Some(Reason::Absent) => !is_decided,
            Some(Reason::EndDeleted) => true,
            Some(Reason::Approved | Reason::Forgotten) => is_decided,
            Some(Reason::EndAppeared | Reason::Held | Reason::Other { .. }) | None => false,
        },
        Op::Other { .. } => false,
    };
    if !is_so || source.listing_id.is_none() != (reason == Some(&Reason::Forgotten)) {
        return wrong("a reason, and a listing or a decision, as its op has", "others");
    }
    Ok(())
}

fn is_changed(change: &EncodedChange, changed: &BTreeSet<&str>) -> bool {
    let (Some(before), Some(after)) = (&change.before, &change.after) else { return changed.is_empty() };
    if change.envelope.op == Op::Notice {
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
