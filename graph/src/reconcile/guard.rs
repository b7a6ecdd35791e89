//! The guard: which deletions of a listing go through, and which are held until a person decides.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    collection::Collection,
    coverage::{Hold, HoldState},
    encoded::EncodedElement,
    raw::Configuration,
};

use super::Desired;
use crate::{listing::Listing, state::State};

/// What becomes of the elements that a whole listing does not have.
#[derive(Debug, Default)]
pub(super) struct Guarded {
    /// Keys of those that go.
    pub(super) deleted: BTreeSet<String>,
    /// Holds of those that stay and were not held before.
    pub(super) proposed: Vec<Hold>,
    /// The limit that the listing is over.
    over: Option<String>,
}

impl Guarded {
    /// Judges the deletion of these elements, the keys of all that the listing, with what it has, may delete.
    pub(super) fn of(state: &State, listing: &Listing, desired: &Desired, absent: BTreeSet<String>) -> Self {
        let over = over(state, listing, desired, &absent);
        // A withheld element is not visible: its collection drops it without a hold.
        let (shown, withheld): (BTreeSet<_>, BTreeSet<_>) =
            absent.into_iter().partition(|key| state.graph().contains(key));
        let undecided = shown.into_iter().filter(|key| !state.holds().contains_key(key));
        let mut guarded = Self { deleted: withheld, proposed: Vec::new(), over };
        if guarded.over.is_some() {
            guarded.proposed = undecided.map(|key| proposed(listing, key)).collect();
        } else {
            guarded.deleted.extend(undecided);
        }
        guarded
    }

    /// Why the listing is not simply whole, where it leaves that many deletions to a person.
    pub(super) fn reason(&self, held: usize) -> Option<String> {
        let why =
            self.over.as_ref().map_or_else(String::new, |over| format!(", because the listing would {over}"));
        let are = if held == 1 { "deletion is" } else { "deletions are" };
        (held > 0).then(|| format!("{held} {are} held{why}; `anthropic-graph holds list` lists them"))
    }
}

/// Keys of those among these elements, newly held, that have a notice: each but the relationships that are held together
/// with an entity of the same collection, whose notice stands for all of them.
pub(super) fn with_notice<'a>(
    state: &'a State,
    listing: &'a Listing,
    desired: &'a Desired,
    proposed: &'a [Hold],
) -> BTreeSet<String> {
    let new: BTreeSet<&str> = proposed.iter().map(|hold| hold.element_key.as_str()).collect();
    let collection = listing.collection.to_string();
    let is_held = |key: &str| {
        let held_before = || state.holds().get(key).is_some_and(|hold| hold.collection == collection);
        new.contains(key) || !desired.contains(state.nodes(), key) && held_before()
    };
    let has_notice = |key: &&&str| state.known(key).is_some_and(|element| !element.ends().any(is_held));
    new.iter().filter(has_notice).map(|key| (*key).to_owned()).collect()
}

/// Whether the element is one of those that a person counts: an entity, or of members the relationship.
fn is_primary(collection: &Collection, element: &EncodedElement) -> bool {
    element.is_relationship() == matches!(collection, Collection::Members(_))
}

fn proposed(listing: &Listing, element_key: String) -> Hold {
    Hold {
        organization_id: listing.organization_id.clone(),
        element_key,
        collection: listing.collection.to_string(),
        listing_id: listing.listing_id.clone(),
        raw_offset: listing.offset,
        proposed_ts_ms: listing.manifest.ended_ts_ms,
        state: HoldState::Proposed,
        agreeing: 1,
    }
}

/// What the listing would do against the guard's limits, which each type of the collection's elements is held to: an API
/// that lists its relationships in another way would end all of them while it lists every entity. Elements that are held
/// already count. Those that a person keeps count neither as deleted nor among all, unless the listing has them again:
/// their deletion needs no decision, and they do not count as elements that remain.
fn over(state: &State, listing: &Listing, desired: &Desired, absent: &BTreeSet<String>) -> Option<String> {
    if absent.is_empty() {
        return None;
    }
    let is_kept = |key: &str| {
        !desired.contains(state.nodes(), key)
            && state.holds().get(key).is_some_and(|hold| hold.state == HoldState::Rejected)
    };
    let counted = |key: &str| state.graph().get(key).filter(|_| !is_kept(key));
    // What a person counts comes first.
    let by_type =
        |element: &EncodedElement| (!is_primary(&listing.collection, element), element.kind().to_owned());
    let mut counts: BTreeMap<(bool, String), Count> = BTreeMap::new();
    for element in state.owned_by(&listing.collection.to_string()).filter_map(counted) {
        counts.entry(by_type(element)).or_default().all += 1;
    }
    for element in absent.iter().filter_map(|key| counted(key)) {
        counts.entry(by_type(element)).or_default().deleted += 1;
    }
    counts.iter().find_map(|((is_secondary, kind), count)| {
        let Count { deleted, all } = *count;
        if listing.collection == Collection::Users && !is_secondary && deleted > 0 && deleted == all {
            return Some(format!("delete every user ({all})"));
        }
        let of_type = if *is_secondary { format!(" {kind}") } else { String::new() };
        let Configuration { max_deleted_fraction, max_deleted_count, .. } = listing.manifest.configuration;
        count.is_over(max_deleted_count, max_deleted_fraction).then(|| {
            format!(
                "delete {deleted} of {all}{of_type} (the guard allows {max_deleted_count}, or a fraction of \
                 {max_deleted_fraction})"
            )
        })
    })
}

/// Elements of one type.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    all: i64,
    deleted: i64,
}

impl Count {
    fn is_over(self, max_count: i64, max_fraction: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a fraction of fewer than 2^52 elements")]
        let is_large = self.deleted as f64 > max_fraction * self.all as f64;
        self.deleted > max_count && is_large
    }
}
