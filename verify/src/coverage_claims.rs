//! What the coverage claims of one listing.

use schemas::{coverage::Coverage, raw::Outcome};

use super::{
    graph_topic::GraphTopic,
    raw_topic::Listing,
    reference_mapping::entity_key,
    verdict::{Law, Verdict, Violation},
};

/// Holds the coverage of members that were not listed yet to the listing that did not have their workspace: by then
/// there were none. Names the collections of which the coverage speaks of this listing.
pub(super) fn judge_missing_members(
    listing: &Listing,
    offset: i64,
    partial: Option<&str>,
    graph_topic: &GraphTopic,
    verdict: &mut Verdict,
) -> Vec<String> {
    if listing.collection != "workspaces" {
        return Vec::new();
    }
    let mut met = Vec::new();
    for (name, coverage) in graph_topic.coverage.range("members/".to_owned()..) {
        let Some(id) = name.strip_prefix("members/") else { break };
        let Some(whole) = coverage.whole.as_ref().filter(|whole| whole.raw_offset == offset) else {
            continue;
        };
        met.push(name.clone());
        if listing.is_cut {
            continue;
        }
        let manifest = &listing.manifest;
        let is_it = whole.listing_id == listing.id
            && (whole.started_ts_ms, whole.ended_ts_ms) == (manifest.started_ts_ms, manifest.ended_ts_ms)
            && (whole.count, whole.parameters.is_empty()) == (0, true);
        let is_there = listing.elements.contains_key(&entity_key("anthropic_workspace", id));
        verdict.hold(Law::Coverage, is_it && !is_there && partial.is_none(), || {
            let expected = "a whole listing of the workspaces without this one, and no members by then";
            Violation::new(name, expected, "another listing, or members").at_offset(offset)
        });
    }
    met
}

/// The collection that owns an entity, by its key.
pub(super) fn collection_of(entity_key: &str) -> &'static str {
    match entity_key.split_once(':').map_or(entity_key, |(kind, _)| kind) {
        "anthropic_account" => "organization",
        "anthropic_user" => "users",
        "anthropic_workspace" => "workspaces",
        _ => "api_keys",
    }
}

/// Holds what the coverage says of this listing to it.
pub(super) fn judge_listing(
    coverage: &Coverage,
    listing: &Listing,
    offset: i64,
    partial: Option<&str>,
    verdict: &mut Verdict,
) {
    if listing.is_cut {
        return;
    }
    let name = &listing.collection;
    if let Some(whole) = coverage.whole.as_ref().filter(|whole| whole.raw_offset == offset) {
        let manifest = &listing.manifest;
        let is_it = whole.listing_id == listing.id
            && whole.count == manifest.count
            && whole.parameters == manifest.parameters
            && (whole.started_ts_ms, whole.ended_ts_ms) == (manifest.started_ts_ms, manifest.ended_ts_ms);
        let judgement = match partial {
            _ if !is_it => Err(("what its manifest says".to_owned(), "something else".to_owned())),
            Some(partial) => Err(("a whole listing".to_owned(), format!("one that is not: {partial}"))),
            None => Ok(()),
        };
        let violation = |(expected, found)| Violation::new(name, expected, found).at_offset(offset);
        verdict.judge(Law::Coverage, judgement.map_err(violation));
    }
    if let Some(latest) = coverage.latest.as_ref().filter(|latest| latest.raw_offset == offset) {
        let is_partial = latest.outcome == Outcome::Partial;
        verdict.hold(Law::Coverage, is_partial == partial.is_some(), || {
            let expected = partial.unwrap_or("a whole or guarded listing");
            Violation::new(name, expected, latest.outcome.as_str()).at_offset(offset)
        });
    }
}
