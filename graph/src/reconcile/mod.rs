//! Current state and listing to changes and new state. Pure: the same inputs give the same outputs, byte for byte.

mod decision;
mod desired;
mod envelope;
mod guard;
mod license;
mod mark;
mod targets;

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    change::Reason,
    collection::{Collection, POLL},
    coverage::{Coverage, Hold, Latest, Poll, WholeListing},
    element::{ElementType, Workspace},
    encoded::EncodedElement,
    graph_value::GraphValue,
    raw::Outcome,
};

use crate::{
    change::{Change, Images},
    listing::Listing,
    state::{GraphKey, GraphRecord, MappedResource, State},
};
use desired::Desired;
use envelope::Origin;
use guard::Guarded;
use license::License;
use targets::Targets;

pub use decision::reconcile_decision;
pub use mark::reconcile_mark;

/// `Source::connector` of every change.
pub const CONNECTOR: &str = "anthropic-graph";

/// The organization of a listing, mark or decision, and its place in the raw topic.
#[derive(Debug, Clone, Copy)]
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
    /// Changes in the order in which they are written. The graph topic has the `after` of each as its element's record.
    pub changes: Vec<Change>,
    /// The other records of the graph topic, which follow the elements, in the order in which they are written.
    pub others: Vec<GraphRecord>,
    /// How the listing, the mark or the decision ended.
    pub outcome: Ending,
    /// Why the listing is not simply whole, or the decision void.
    pub reason: Option<String>,
    /// What the listing's resources will have been mapped to, once the records are folded.
    pub mapped: Vec<MappedResource>,
    /// How many holds the listing leaves to a person in its collection, or the decision has decided.
    pub holds: usize,
}

impl Reconciled {
    fn applied() -> Self {
        Self { outcome: Ending::Applied, ..Self::default() }
    }

    /// All records of the graph topic in the order in which they are written.
    pub fn records(&self) -> impl Iterator<Item = GraphRecord> {
        let elements = self.changes.iter().filter(|change| change.is_of_graph()).map(|change| {
            let value = change.images.after.clone().map(GraphValue::Element);
            (GraphKey::Element(change.images.key().to_owned()), value)
        });
        elements.chain(self.others.iter().cloned())
    }

    /// Applies it to the state, with what resources were mapped to.
    ///
    /// # Panics
    /// If a value is of another kind than its key: reconciling writes none.
    pub fn fold_into(&mut self, state: &mut State) {
        state.fold_changes(&self.changes);
        for (key, value) in &self.others {
            state.fold(key, value.clone()).expect("each kind of value is under its kind of key");
        }
        state.remember(std::mem::take(&mut self.mapped));
    }
}

/// How a listing, a mark or a decision ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ending {
    /// A listing that was seen whole, and any mark.
    #[default]
    Whole,
    /// A listing that deletes nothing.
    Partial,
    /// A whole listing of whose collection deletions are held.
    Guarded,
    /// A members listing whose workspace is not in the graph, or a decision about nothing.
    Void,
    /// It is in the state already.
    Applied,
    /// A decision that was carried out.
    Decided,
}

impl Ending {
    /// Names it in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Partial => "partial",
            Self::Guarded => "guarded",
            Self::Void => "void",
            Self::Applied => "applied",
            Self::Decided => "decided",
        }
    }

    /// What a collection's coverage says of a listing that ended so; `None`: nothing.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Whole => Some(Outcome::Whole),
            Self::Partial => Some(Outcome::Partial),
            Self::Guarded => Some(Outcome::Guarded),
            Self::Void | Self::Applied | Self::Decided => None,
        }
    }
}

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
        return Reconciled { outcome: Ending::Void, reason, ..Reconciled::default() };
    }
    let mut desired = Desired::of(state, listing);
    let license = License::of(state, coverage, listing, &desired);
    let absent = license.absent(state, &collection, &desired);
    let mut guarded = Guarded::of(state, listing, &desired, absent);
    let with_notice = guard::with_notice(state, listing, &desired, &guarded.proposed);
    let remembered = std::mem::take(&mut desired.remembered);
    let targets = Targets::of(state, desired.elements, std::mem::take(&mut guarded.deleted));
    let holds = targets.proposed_left(&collection) + guarded.proposed.len();
    let (outcome, reason) = match license.partial {
        Some(reason) => (Ending::Partial, Some(reason)),
        None if holds > 0 => (Ending::Guarded, guarded.reason(holds)),
        None => (Ending::Whole, None),
    };
    let reconciliation = Reconciliation { state, listing, collection: &collection, coverage };
    let mut reconciled = reconciliation.write(targets, guarded.proposed, &with_notice);
    (reconciled.outcome, reconciled.reason, reconciled.holds) = (outcome, reason, holds);
    reconciled.mapped = remembered;
    reconciliation.begin_members(&mut reconciled);
    reconciliation.write_coverage(&mut reconciled);
    write_poll(state, &mut reconciled, Position::of(listing), partition_count);
    reconciled
}

/// Records of an organization are read in the order of their offsets: a record at or before the newest that the
/// state has was reconciled before.
fn is_applied(state: &State, offset: i64) -> bool {
    state.read_offset().is_some_and(|read| offset <= read)
}

struct Reconciliation<'a> {
    state: &'a State,
    listing: &'a Listing,
    collection: &'a str,
    coverage: Option<&'a Coverage>,
}

impl Reconciliation<'_> {
    fn write(&self, targets: Targets, proposed: Vec<Hold>, with_notice: &BTreeSet<String>) -> Reconciled {
        let origin = self.origin().shared();
        let mut reconciled = written(self.state, targets, |targets, images, revision| {
            let key = images.key();
            let reason = match (&images.before, &images.after) {
                (Some(_), None) if targets.is_deleted(key) => Some(Reason::Absent),
                (Some(_), None) => Some(Reason::EndDeleted),
                (None, _) if self.state.withheld().contains_key(key) => Some(Reason::EndAppeared),
                _ => None,
            };
            origin.change(images, reason, revision)
        });
        let revision = reconciled.changes.last().map_or(self.state.revision(), |it| it.revision);
        for hold in proposed {
            if with_notice.contains(&hold.element_key) {
                let element = self.state.graph().get(&hold.element_key).expect("only what is shown is held");
                reconciled.changes.push(origin.notice(element, revision));
            }
            let key = GraphKey::Hold(hold.element_key.clone());
            reconciled.others.push((key, Some(GraphValue::Hold(Box::new(hold)))));
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
    /// by that listing there were none. So the first members are created within a known time, and the graph topic
    /// still says so after a restore. Of a workspace that came with the first listing nothing is known.
    fn begin_members(&self, reconciled: &mut Reconciled) {
        let Some(whole) = self.coverage.and_then(|coverage| coverage.whole.as_ref()) else { return };
        if self.listing.collection != Collection::Workspaces {
            return;
        }
        let created = reconciled.changes.iter().filter(|change| change.images.before.is_none());
        let elements = created.filter_map(|change| change.images.after.as_ref());
        let workspaces = elements.filter_map(workspace);
        let Listing { organization_id, organization_name, .. } = self.listing;
        let begun = workspaces.map(|workspace| Coverage {
            whole: Some(WholeListing { count: 0, parameters: BTreeMap::new(), ..whole.clone() }),
            ..Coverage::new(
                organization_id,
                organization_name,
                &Collection::Members(workspace.id).to_string(),
            )
        });
        let records: Vec<_> = begun.map(coverage_record).collect();
        reconciled.others.extend(records);
    }

    /// A guarded listing was seen whole: what it lacks is known to be absent, deleted or held.
    fn write_coverage(&self, reconciled: &mut Reconciled) {
        let Some(outcome) = reconciled.outcome.outcome() else { return };
        let (listing, manifest) = (self.listing, &self.listing.manifest);
        let whole = (outcome != Outcome::Partial).then(|| WholeListing {
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
                outcome,
                reason: reconciled.reason.clone(),
                poll_id: listing.poll_id.clone(),
                raw_offset: listing.offset,
                ended_ts_ms: manifest.ended_ts_ms,
            }),
            poll: None,
        };
        reconciled.others.push(coverage_record(coverage));
    }
}

/// The changes of the targets with the records of the graph topic: elements, withheld relationships, holds and
/// collections that end.
fn written(
    state: &State,
    mut targets: Targets,
    change: impl Fn(&Targets, Images, i64) -> Change,
) -> Reconciled {
    let mut reconciled = Reconciled::default();
    let ended_holds: Vec<_> = targets.ended_holds().map(|key| (GraphKey::Hold(key.clone()), None)).collect();
    let withheld: Vec<_> = targets.withheld().collect();
    let changes = in_order(targets.take_changes());
    reconciled.changes.reserve_exact(changes.len());
    let mut revision = state.revision();
    for images in changes {
        revision += 1;
        reconciled.changes.push(change(&targets, images, revision));
    }
    for (key, withheld) in withheld {
        let value = withheld.map(|withheld| GraphValue::Withheld(Box::new(withheld)));
        reconciled.others.push((GraphKey::Withheld(key), value));
    }
    reconciled.others.extend(ended_holds);
    for collection in targets.ended_collections() {
        reconciled.others.push((GraphKey::Coverage(collection.clone()), None));
    }
    reconciled
}

/// In the order in which they are written: they are in that of their keys.
fn in_order(mut changes: Vec<Images>) -> Vec<Images> {
    changes.sort_by_cached_key(Images::rank);
    changes
}

/// The columns of a workspace; `None` for any other element, which is not decoded.
fn workspace(element: &EncodedElement) -> Option<Box<Workspace>> {
    let is_workspace = element.kind() == ElementType::Workspace.name();
    is_workspace.then(|| element.decode().content.workspace()).flatten()
}

/// The coverage of the polls carries revision and element count, so it follows the elements it counts.
fn write_poll(state: &State, reconciled: &mut Reconciled, position: Position<'_>, partition_count: i32) {
    let created = reconciled.changes.iter().filter(|change| change.images.before.is_none()).count();
    let deleted = reconciled.changes.iter().filter(|change| change.images.after.is_none()).count();
    let revision = reconciled.changes.last().map_or(state.revision(), |change| change.revision);
    let element_count = count(state.graph().len() + created - deleted);
    // Compared before it is cloned: a poll may name thousands of collections that were not whole.
    let is_same = |poll: &Poll| {
        (poll.revision, poll.element_count, poll.partition_count)
            == (revision, element_count, partition_count)
    };
    if !state.newest_poll().is_some_and(is_same) {
        let poll = Poll { revision, element_count, partition_count, ..state.poll() };
        reconciled.others.push(poll_record(position, poll));
    }
}

fn poll_record(position: Position<'_>, poll: Poll) -> (GraphKey, Option<GraphValue>) {
    let poll = Poll { raw_offset: Some(position.offset), ..poll };
    let unknown = Coverage::new(position.organization_id, position.organization_name, POLL);
    coverage_record(Coverage { poll: Some(poll), ..unknown })
}

fn coverage_record(coverage: Coverage) -> (GraphKey, Option<GraphValue>) {
    let key = GraphKey::Coverage(coverage.collection.clone());
    (key, Some(GraphValue::Coverage(Box::new(coverage))))
}

fn count(length: usize) -> i64 {
    i64::try_from(length).expect("a graph is bounded by memory")
}
