//! Bounds on the strings of a raw record that changes and state repeat. Pure.

use schemas::raw::{Decision, Manifest, Mark, RawBody, RawRecord};

/// Longest string of a raw record that changes or state repeat (bytes). The Admin API's ids have 40, a name or a reason
/// is a line. A change has at most ten of them besides its two elements, and at most 100,000 bytes of room for them
/// in a message.
pub const MAX_TEXT_BYTES: usize = 4_096;

/// A string that is too long.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong {
    pub field: &'static str,
    /// How long it is.
    pub bytes: usize,
}

/// The first string that is too long for a change, if any. Strings of the resource do not count: its elements are measured.
pub fn too_long(record: &RawRecord) -> Option<TooLong> {
    let own = [
        ("organization_id", Some(record.organization_id.as_str())),
        ("organization_name", Some(record.organization_name.as_str())),
        ("collection", Some(record.collection.as_str())),
        ("poll_id", record.poll_id.as_deref()),
        ("listing_id", record.listing_id.as_deref()),
    ];
    own.into_iter().find_map(|(field, text)| exceeding(field, text)).or_else(|| match &record.body {
        RawBody::Decision(decision) => of_decision(decision),
        RawBody::Manifest(manifest) => of_manifest(manifest),
        RawBody::Mark(mark) => of_mark(mark),
        RawBody::Resource(_) => None,
    })
}

/// `why` is repeated nowhere.
fn of_decision(decision: &Decision) -> Option<TooLong> {
    let texts = [
        ("decision.kind", Some(decision.kind.as_str())),
        ("decision.collection", decision.collection.as_deref()),
        ("decision.element_key", decision.element_key.as_deref()),
        ("decision.listing_id", decision.listing_id.as_deref()),
        ("decision.by", Some(decision.by.as_str())),
    ];
    texts.into_iter().find_map(|(field, text)| exceeding(field, text))
}

fn of_manifest(manifest: &Manifest) -> Option<TooLong> {
    let parameters = manifest.parameters.iter().map(|(name, value)| name.len() + value.len()).sum();
    measured("manifest.parameters", parameters).or_else(|| {
        exceeding("manifest.configuration.account_name", manifest.configuration.account_name.as_deref())
    })
}

fn of_mark(mark: &Mark) -> Option<TooLong> {
    let of_lines = mark.outcomes.iter().flat_map(|line| {
        [
            ("mark.outcomes.collection", Some(line.collection.as_str())),
            ("mark.outcomes.outcome", Some(line.outcome.as_str())),
            ("mark.outcomes.reason", line.reason.as_deref()),
        ]
    });
    let own = [("mark.kind", Some(mark.kind.as_str())), ("mark.reason", mark.reason.as_deref())];
    own.into_iter().chain(of_lines).find_map(|(field, text)| exceeding(field, text))
}

fn exceeding(field: &'static str, text: Option<&str>) -> Option<TooLong> {
    measured(field, text?.len())
}

fn measured(field: &'static str, bytes: usize) -> Option<TooLong> {
    (bytes > MAX_TEXT_BYTES).then_some(TooLong { field, bytes })
}
