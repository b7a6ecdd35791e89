//! How long the texts of a raw record may be that changes and state repeat. Pure.

use schemas::raw::{Decision, Manifest, Mark, RawRecord};

/// Longest text of a raw record that changes or state repeat (bytes). The Admin API's ids have 40, a name or a reason
/// is a line. A change has at most ten of them beside its two elements, and no more than 100,000 bytes of room for them
/// in a message.
pub const MAX_TEXT_BYTES: usize = 4_096;

/// A text that is too long.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Where it is.
    pub field: &'static str,
    /// How long it is.
    pub bytes: usize,
}

/// The first text that no change could carry, if there is one. Not the resource's: its elements are measured.
pub fn too_long(record: &RawRecord) -> Option<TooLong> {
    let own = [
        ("organization_id", Some(&record.organization_id)),
        ("organization_name", Some(&record.organization_name)),
        ("collection", Some(&record.collection)),
        ("poll_id", record.poll_id.as_ref()),
        ("listing_id", record.listing_id.as_ref()),
    ];
    own.into_iter()
        .find_map(|(field, text)| exceeding(field, text))
        .or_else(|| record.decision.as_ref().and_then(of_decision))
        .or_else(|| record.manifest.as_ref().and_then(of_manifest))
        .or_else(|| record.mark.as_ref().and_then(of_mark))
}

/// `why` is repeated nowhere.
fn of_decision(decision: &Decision) -> Option<TooLong> {
    let texts = [
        ("decision.kind", Some(&decision.kind)),
        ("decision.collection", decision.collection.as_ref()),
        ("decision.element_key", decision.element_key.as_ref()),
        ("decision.listing_id", decision.listing_id.as_ref()),
        ("decision.by", Some(&decision.by)),
    ];
    texts.into_iter().find_map(|(field, text)| exceeding(field, text))
}

fn of_manifest(manifest: &Manifest) -> Option<TooLong> {
    let parameters = manifest.parameters.iter().map(|(name, value)| name.len() + value.len()).sum();
    measured("manifest.parameters", parameters).or_else(|| {
        exceeding("manifest.configuration.account_name", manifest.configuration.account_name.as_ref())
    })
}

fn of_mark(mark: &Mark) -> Option<TooLong> {
    let of_lines = mark.outcomes.iter().flat_map(|line| {
        [
            ("mark.outcomes.collection", Some(&line.collection)),
            ("mark.outcomes.outcome", Some(&line.outcome)),
            ("mark.outcomes.reason", line.reason.as_ref()),
        ]
    });
    let own = [("mark.kind", Some(&mark.kind)), ("mark.reason", mark.reason.as_ref())];
    own.into_iter().chain(of_lines).find_map(|(field, text)| exceeding(field, text))
}

fn exceeding(field: &'static str, text: Option<&String>) -> Option<TooLong> {
    measured(field, text?.len())
}

fn measured(field: &'static str, bytes: usize) -> Option<TooLong> {
    (bytes > MAX_TEXT_BYTES).then_some(TooLong { field, bytes })
}
