//! Current state and listing to changes and new state. Pure: the same inputs give the same outputs, byte for byte.

mod licence;
mod mark;
mod targets;

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    change::{Envelope, Source, op, reason},
    codec::{GraphValue, digest},
    collection::{Collection, POLL},
    coverage::{Coverage, Latest, Poll, WholeListing},
    element::{Element, ElementType},
    graph::Change,
    jupiterone,
    state::{GraphKey, State},
};

use crate::{
    listing::Listing,
    mapping::{self, Context},
};
use licence::Licence;
use targets::Targets;

pub use mark::{MarkPosition, reconcile_mark};

/// `Source::connector` of every change.
pub const CONNECTOR: &str = "anthropic-graph";

/// How a change came to be (header `ce_cause`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The resource changed.
    Live,
    /// The resource is the same; the mapping or the configuration changed.
    Config,
    /// `processor replay` made it from a raw record that is read once more.
    Replay,
}

/// What a listing or a mark leads to. All of it is written in one transaction and then folded into the state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reconciled {
    /// Changes in the order in which they are written.
    pub changes: Vec<(Envelope, Cause)>,
    /// Records of the graph topic in the order in which they are written.
    pub records: Vec<(GraphKey, Option<GraphValue>)>,
    /// How the listing ended: a value of [`schemas::raw::outcome`], or `void`, or `applied` for one that is in the state already.
    pub outcome: &'static str,
    /// Why it is not whole.
    pub reason: Option<String>,
}

/// `Reconciled::outcome` of a members listing whose workspace is not in the graph.
pub const VOID: &str = "void";
/// `Reconciled::outcome` of a listing that is in the state already.
pub const APPLIED: &str = "applied";

/// Reconciles a state with a listing of one of its collections.
pub fn reconcile(state: &State, listing: &Listing, partition_count: i32) -> Reconciled {
    let collection = listing.collection.to_string();
    let coverage = state.coverage().get(&collection);
    if is_applied(coverage, listing.offset) {
        return Reconciled { outcome: APPLIED, ..Reconciled::default() };
    }
    if let Collection::Members(workspace_id) = &listing.collection
        && !state.graph().contains(&ElementType::Workspace.entity_key(workspace_id))
    {
        let reason = Some(format!("workspace {workspace_id} is not in the graph"));
        return Reconciled { outcome: VOID, reason, ..Reconciled::default() };
    }
    let desired = desired(listing);
    let licence = Licence::of(state, coverage, listing, &desired);
    let targets = Targets::of(state, &collection, desired, &licence);
    let reconciliation = Reconciliation { state, listing, collection: &collection, coverage };
    let mut reconciled = reconciliation.write(targets);
    reconciliation.write_coverage(&mut reconciled, &licence);
    reconciliation.write_poll(&mut reconciled, partition_count);
    reconciled.outcome = licence.outcome;
    reconciled.reason = licence.reason;
    reconciled
}

/// A raw record at or below the offset in its collection's coverage has been reconciled before.
fn is_applied(coverage: Option<&Coverage>, offset: i64) -> bool {
    let Some(coverage) = coverage else { return false };
    let latest = coverage.latest.as_ref().map(|latest| latest.raw_offset);
    let whole = coverage.whole.as_ref().map(|whole| whole.raw_offset);
    latest.max(whole).is_some_and(|applied| offset <= applied)
}

/// The elements that the listing's resources stand for, by key.
fn desired(listing: &Listing) -> BTreeMap<String, Element> {
    let context =
        Context::new(&listing.organization_id, &listing.collection, &listing.manifest.configuration);
    let elements = listing.resources.values().flat_map(|raw| mapping::elements(&context, raw));
    elements.map(|element| (element.key.clone(), element)).collect()
}

struct Reconciliation<'a> {
    state: &'a State,
    listing: &'a Listing,
    collection: &'a str,
    coverage: Option<&'a Coverage>,
}

impl Reconciliation<'_> {
    fn write(&self, mut targets: Targets) -> Reconciled {
        let withheld: Vec<_> = targets.withheld().collect();
        let mut changes = targets.take_changes();
        changes.sort_by(|a, b| a.rank().cmp(&b.rank()).then_with(|| a.key().cmp(b.key())));
        let mut reconciled = Reconciled::default();
        let mut revision = self.state.poll().revision;
        for change in changes {
            revision += 1;
            let value = change.after.clone().map(|after| GraphValue::Element(Box::new(after)));
            reconciled.records.push((GraphKey::Element(change.key().to_owned()), value));
            reconciled.changes.push(self.envelope(change, revision, &targets));
        }
        for (key, withheld) in withheld {
            let value = withheld.map(|withheld| GraphValue::Withheld(Box::new(withheld)));
            reconciled.records.push((GraphKey::Withheld(key), value));
        }
        for collection in targets.ended_collections() {
            reconciled.records.push((GraphKey::Coverage(collection.clone()), None));
        }
        reconciled
    }

    fn envelope(&self, change: Change, revision: i64, targets: &Targets) -> (Envelope, Cause) {
        let (listing, manifest) = (self.listing, &self.listing.manifest);
        let whole_before = self.coverage.and_then(|coverage| coverage.whole.as_ref());
        let first = whole_before.is_none();
        let key = change.key().to_owned();
        let cause = match (&change.before, &change.after) {
            (Some(before), Some(after)) if mapping::same_resource(before, after) => Cause::Config,
            _ => Cause::Live,
        };
        let op = match (&change.before, &change.after) {
            (None, _) if first => op::READ,
            (None, _) => op::CREATE,
            (Some(_), Some(_)) => op::UPDATE,
            (Some(_), None) => op::DELETE,
        };
        let changed = match (&change.before, &change.after) {
            (Some(before), Some(after)) => jupiterone::changed(before, after),
            _ => Vec::new(),
        };
        let reason = match op {
            op::DELETE if targets.is_absent(&key) => Some(reason::ABSENT),
            op::DELETE => Some(reason::END_DELETED),
            op::CREATE | op::READ if self.state.withheld().contains_key(&key) => Some(reason::END_APPEARED),
            _ => None,
        };
        let element = change.element();
        let kind = if element.is_relationship() { "relationship" } else { "entity" };
        let envelope = Envelope {
            id: digest([listing.listing_id.as_bytes(), &mapping::VERSION.to_le_bytes(), key.as_bytes()]),
            op: op.to_owned(),
            ts_ms: manifest.ended_ts_ms,
            source: Source {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                connector: CONNECTOR.to_owned(),
                name: listing.organization_name.clone(),
                ts_ms: manifest.ended_ts_ms,
                snapshot: first.to_string(),
                organization_id: listing.organization_id.clone(),
                collection: self.collection.to_owned(),
                listing_id: Some(listing.listing_id.clone()),
                decision_by: None,
            },
            revision,
            kind: kind.to_owned(),
            element_type: element.kind.clone(),
            element_key: key,
            changed,
            reason: reason.map(str::to_owned),
            not_before_ts_ms: whole_before.map(|whole| whole.started_ts_ms),
            not_after_ts_ms: Some(manifest.ended_ts_ms),
            before: change.before,
            after: change.after,
        };
        (envelope, cause)
    }

    fn write_coverage(&self, reconciled: &mut Reconciled, licence: &Licence) {
        let (listing, manifest) = (self.listing, &self.listing.manifest);
        let whole = licence.is_whole().then(|| WholeListing {
            listing_id: listing.listing_id.clone(),
            raw_offset: listing.offset,
            started_ts_ms: manifest.started_ts_ms,
            ended_ts_ms: manifest.ended_ts_ms,
            count: manifest.count,
            parameters: manifest.parameters.clone(),
        });
        let since = self.coverage.and_then(|coverage| coverage.not_whole_since_ts_ms);
        let coverage = Coverage {
            organization_id: listing.organization_id.clone(),
            organization_name: listing.organization_name.clone(),
            collection: self.collection.to_owned(),
            not_whole_since_ts_ms: whole.is_none().then(|| since.unwrap_or(manifest.ended_ts_ms)),
            whole: whole.or_else(|| self.coverage.and_then(|coverage| coverage.whole.clone())),
            latest: Some(Latest {
                outcome: licence.outcome.to_owned(),
                reason: licence.reason.clone(),
                poll_id: listing.poll_id.clone(),
                raw_offset: listing.offset,
                ended_ts_ms: manifest.ended_ts_ms,
            }),
            poll: None,
        };
        reconciled.records.push(coverage_record(coverage));
    }

    /// The coverage of the polls carries revision and element count, so it follows the elements it counts.
    fn write_poll(&self, reconciled: &mut Reconciled, partition_count: i32) {
        let before = self.state.poll();
        let created = reconciled.changes.iter().filter(|(change, _)| change.before.is_none()).count();
        let deleted = reconciled.changes.iter().filter(|(change, _)| change.after.is_none()).count();
        let revision = reconciled.changes.last().map_or(before.revision, |(change, _)| change.revision);
        let poll = Poll {
            revision,
            element_count: count(self.state.graph().len() + created - deleted),
            partition_count,
            ..before.clone()
        };
        if poll != before {
            let listing = self.listing;
            reconciled.records.push(poll_record(&listing.organization_id, &listing.organization_name, poll));
        }
    }
}

fn poll_record(organization_id: &str, organization_name: &str, poll: Poll) -> (GraphKey, Option<GraphValue>) {
    coverage_record(Coverage {
        organization_id: organization_id.to_owned(),
        organization_name: organization_name.to_owned(),
        collection: POLL.to_owned(),
        whole: None,
        latest: None,
        not_whole_since_ts_ms: None,
        poll: Some(poll),
    })
}

fn coverage_record(coverage: Coverage) -> (GraphKey, Option<GraphValue>) {
    let key = GraphKey::Coverage(coverage.collection.clone());
    (key, Some(GraphValue::Coverage(Box::new(coverage))))
}

fn count(length: usize) -> i64 {
    i64::try_from(length).expect("a graph is bounded by memory")
}

/// Keys of the primary elements of a collection: its entities, or of members its relationships.
fn primary<'a>(collection: &Collection, elements: impl Iterator<Item = &'a Element>) -> BTreeSet<String> {
    let members = matches!(collection, Collection::Members(_));
    elements
        .filter(|element| element.is_relationship() == members)
        .map(|element| element.key.clone())
        .collect()
}
