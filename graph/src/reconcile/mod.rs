//! Current state and listing to changes and new state. Pure: the same inputs give the same outputs, byte for byte.

mod decision;
mod envelope;
mod guard;
mod license;
mod mark;
mod targets;

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    change::{Envelope, reason},
    codec::GraphValue,
    collection::{Collection, POLL},
    coverage::{Coverage, Hold, Latest, Poll, WholeListing},
    element::{Element, ElementType},
    raw::outcome,
};

use crate::{
    elements::Change,
    listing::Listing,
    mapping::{self, Context},
    state::{GraphKey, State},
};
use envelope::Origin;
use guard::Guarded;
use license::License;
use targets::Targets;

pub use decision::reconcile_decision;
pub use mark::reconcile_mark;

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

/// Whose a listing, a mark or a decision is, and where it stands.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "as in the raw record")]
pub struct Position<'a> {
    pub organization_id: &'a str,
    pub organization_name: &'a str,
    pub poll_id: Option<&'a str>,
    pub ts_ms: i64,
    pub offset: i64,
}

impl<'a> Position<'a> {
    fn of(listing: &'a Listing) -> Self {
        Self {
            organization_id: &listing.organization_id,
            organization_name: &listing.organization_name,
            poll_id: listing.poll_id.as_deref(),
            ts_ms: listing.manifest.ended_ts_ms,
            offset: listing.offset,
        }
    }
}

/// What a listing, a mark or a decision leads to. All of it is written in one transaction and then folded into the state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reconciled {
    /// Changes in the order in which they are written.
    pub changes: Vec<(Envelope, Cause)>,
    /// Records of the graph topic in the order in which they are written.
    pub records: Vec<(GraphKey, Option<GraphValue>)>,
    /// How the listing ended: a value of [`schemas::raw::outcome`], or `void`, or `applied` for one that is in the state
    /// already. Of a decision its kind, `void` or `applied`.
    pub outcome: &'static str,
    /// Why the listing is not simply whole, or the decision void.
    pub reason: Option<String>,
    /// How many holds the listing leaves to a person in its collection, or the decision has decided.
    pub holds: usize,
}

impl Reconciled {
    fn applied() -> Self {
        Self { outcome: APPLIED, ..Self::default() }
    }
}

/// `Reconciled::outcome` of a members listing whose workspace is not in the graph, and of a decision about nothing.
pub const VOID: &str = "void";
/// `Reconciled::outcome` of what is in the state already.
pub const APPLIED: &str = "applied";

/// Reconciles a state with a listing of one of its collections.
pub fn reconcile(state: &State, listing: &Listing, partition_count: i32) -> Reconciled {
    let collection = listing.collection.to_string();
    let coverage = state.coverage().get(&collection);
    if is_applied(state, listing.offset) {
        return Reconciled::applied();
    }
    if let Collection::Members(workspace_id) = &listing.collection
        && !state.graph().contains(&ElementType::Workspace.entity_key(workspace_id))
    {
        let reason = Some(format!("workspace {workspace_id} is not in the graph"));
        return Reconciled { outcome: VOID, reason, ..Reconciled::default() };
    }
    let desired = desired(listing);
    let license = License::of(state, coverage, listing);
    let absent = license.absent(state, &collection, &desired);
    let guarded = Guarded::of(state, listing, &desired, absent);
    let told = guard::told(state, listing, &desired, &guarded.proposed);
    let targets = Targets::of(state, desired, guarded.deleted.clone());
    let holds = targets.proposed_left(&collection) + guarded.proposed.len();
    let (outcome, reason) = match license.partial {
        Some(reason) => (outcome::PARTIAL, Some(reason)),
        None if holds > 0 => (outcome::GUARDED, guarded.reason(holds)),
        None => (outcome::WHOLE, None),
    };
    let reconciliation = Reconciliation { state, listing, collection: &collection, coverage };
    let mut reconciled = reconciliation.write(targets, guarded.proposed, &told);
    (reconciled.outcome, reconciled.reason, reconciled.holds) = (outcome, reason, holds);
    reconciliation.begin_members(&mut reconciled);
    reconciliation.write_coverage(&mut reconciled);
    write_poll(state, &mut reconciled, Position::of(listing), partition_count);
    reconciled
}

/// Records of an organization are read in the order of their offsets: what is not behind the newest that the state
/// tells of has been reconciled before.
fn is_applied(state: &State, offset: i64) -> bool {
    state.read_offset().is_some_and(|read| offset <= read)
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
    fn write(&self, targets: Targets, proposed: Vec<Hold>, told: &BTreeSet<String>) -> Reconciled {
        let origin = self.origin();
        let mut reconciled = written(self.state, targets, |targets, change, revision| {
            let cause = match (&change.before, &change.after) {
                (Some(before), Some(after)) if mapping::is_configured(before, after) => Cause::Config,
                _ => Cause::Live,
            };
            let key = change.key();
            let reason = match (&change.before, &change.after) {
                (Some(_), None) if targets.is_deleted(key) => Some(reason::ABSENT),
                (Some(_), None) => Some(reason::END_DELETED),
                (None, _) if self.state.withheld().contains_key(key) => Some(reason::END_APPEARED),
                _ => None,
            };
            (origin.envelope(change, reason, revision), cause)
        });
        let revision = reconciled.changes.last().map_or(self.state.revision(), |(it, _)| it.revision);
        for hold in proposed {
            if told.contains(&hold.element_key) {
                let element = self.state.graph().get(&hold.element_key).expect("only what is shown is held");
                reconciled.changes.push((origin.notice(element, revision), Cause::Live));
            }
            let key = GraphKey::Hold(hold.element_key.clone());
            reconciled.records.push((key, Some(GraphValue::Hold(Box::new(hold)))));
        }
        reconciled
    }

    fn origin(&self) -> Origin<'_> {
        let (listing, manifest) = (self.listing, &self.listing.manifest);
        let whole_before = self.coverage.and_then(|coverage| coverage.whole.as_ref());
        Origin {
            id: &listing.listing_id,
            organization_id: &listing.organization_id,
            organization_name: &listing.organization_name,
            collection: self.collection,
            listing_id: Some(&listing.listing_id),
            decision_by: None,
            is_first: whole_before.is_none(),
            ts_ms: manifest.ended_ts_ms,
            not_before_ts_ms: whole_before.map(|whole| whole.started_ts_ms),
            not_after_ts_ms: Some(manifest.ended_ts_ms),
        }
    }

    /// The members of a workspace that is new since the last whole listing of the workspaces are known from the start:
    /// by that listing there were none. So whoever is listed first is created within a known time, and the graph topic
    /// still says so after a restore. Of a workspace that came with the first listing nothing is known.
    fn begin_members(&self, reconciled: &mut Reconciled) {
        let Some(whole) = self.coverage.and_then(|coverage| coverage.whole.as_ref()) else { return };
        let created = reconciled.changes.iter().filter(|(change, _)| change.before.is_none());
        let workspaces = created.filter_map(|(change, _)| change.after.as_ref()?.workspace.as_ref());
        let begun = workspaces.map(|workspace| Coverage {
            organization_id: self.listing.organization_id.clone(),
            organization_name: self.listing.organization_name.clone(),
            collection: Collection::Members(workspace.id.clone()).to_string(),
            whole: Some(WholeListing { count: 0, parameters: BTreeMap::new(), ..whole.clone() }),
            latest: None,
            not_whole_since_ts_ms: None,
            poll: None,
        });
        let records: Vec<_> = begun.map(coverage_record).collect();
        reconciled.records.extend(records);
    }

    /// A guarded listing was seen whole: what it lacks is known to be absent, deleted or held.
    fn write_coverage(&self, reconciled: &mut Reconciled) {
        let (listing, manifest) = (self.listing, &self.listing.manifest);
        let whole = (reconciled.outcome != outcome::PARTIAL).then(|| WholeListing {
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
                outcome: reconciled.outcome.to_owned(),
                reason: reconciled.reason.clone(),
                poll_id: listing.poll_id.clone(),
                raw_offset: listing.offset,
                ended_ts_ms: manifest.ended_ts_ms,
            }),
            poll: None,
        };
        reconciled.records.push(coverage_record(coverage));
    }
}

/// The changes of the targets with the records of the graph topic: elements, withheld relationships, holds and
/// collections that end.
fn written(
    state: &State,
    mut targets: Targets,
    envelope: impl Fn(&Targets, Change, i64) -> (Envelope, Cause),
) -> Reconciled {
    let mut reconciled = Reconciled::default();
    let ended_holds: Vec<_> = targets.ended_holds().map(|key| (GraphKey::Hold(key.clone()), None)).collect();
    let withheld: Vec<_> = targets.withheld().collect();
    let mut changes = targets.take_changes();
    changes.sort_by(|a, b| a.rank().cmp(&b.rank()).then_with(|| a.key().cmp(b.key())));
    let mut revision = state.revision();
    for change in changes {
        revision += 1;
        let value = change.after.clone().map(|after| GraphValue::Element(Box::new(after)));
        reconciled.records.push((GraphKey::Element(change.key().to_owned()), value));
        reconciled.changes.push(envelope(&targets, change, revision));
    }
    for (key, withheld) in withheld {
        let value = withheld.map(|withheld| GraphValue::Withheld(Box::new(withheld)));
        reconciled.records.push((GraphKey::Withheld(key), value));
    }
    reconciled.records.extend(ended_holds);
    for collection in targets.ended_collections() {
        reconciled.records.push((GraphKey::Coverage(collection.clone()), None));
    }
    reconciled
}

/// The coverage of the polls carries revision and element count, so it follows the elements it counts.
fn write_poll(state: &State, reconciled: &mut Reconciled, position: Position<'_>, partition_count: i32) {
    let created = reconciled.changes.iter().filter(|(change, _)| change.before.is_none()).count();
    let deleted = reconciled.changes.iter().filter(|(change, _)| change.after.is_none()).count();
    let revision = reconciled.changes.last().map_or(state.revision(), |(change, _)| change.revision);
    let element_count = count(state.graph().len() + created - deleted);
    // Compared before it is cloned: a poll may name thousands of collections that were not whole.
    let is_same = |poll: &Poll| {
        (poll.revision, poll.element_count, poll.partition_count)
            == (revision, element_count, partition_count)
    };
    if !state.newest_poll().is_some_and(is_same) {
        let poll = Poll { revision, element_count, partition_count, ..state.poll() };
        reconciled.records.push(poll_record(position, poll));
    }
}

fn poll_record(position: Position<'_>, poll: Poll) -> (GraphKey, Option<GraphValue>) {
    let poll = Poll { raw_offset: Some(position.offset), ..poll };
    coverage_record(Coverage {
        organization_id: position.organization_id.to_owned(),
        organization_name: position.organization_name.to_owned(),
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
