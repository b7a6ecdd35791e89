//! The guard: which deletions of a listing go through, and which are held until a person decides.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    collection::Collection,
    coverage::{Hold, hold_state},
    element::Element,
    raw::Configuration,
    state::State,
};

use crate::listing::Listing;

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
    pub(super) fn of(
        state: &State,
        listing: &Listing,
        desired: &BTreeMap<String, Element>,
        absent: BTreeSet<String>,
    ) -> Self {
        let over = over(state, listing, desired, &absent);
        // What is withheld nobody sees: its collection drops it without a hold.
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
            self.over.as_ref().map_or_else(String::new, |over| format!(", for the listing would {over}"));
        let are = if held == 1 { "deletion is" } else { "deletions are" };
        (held > 0).then(|| format!("{held} {are} held{why}; `processor holds` lists them"))
    }
}

/// Whether the element is one of those that a person counts: an entity, or of members the relationship.
pub(super) fn is_primary(collection: &Collection, element: &Element) -> bool {
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
        state: hold_state::PROPOSED.to_owned(),
        agreeing: 1,
    }
}

/// What the listing would do against the guard's limits. Elements already held count, but not those that a person
/// keeps, neither as deleted nor among all: they are no deletion that anybody waits for, and no element that is left. One
/// that the listing has again is.
fn over(
    state: &State,
    listing: &Listing,
    desired: &BTreeMap<String, Element>,
    absent: &BTreeSet<String>,
) -> Option<String> {
    let graph = state.graph();
    let is_kept = |key: &str| {
        !desired.contains_key(key)
            && state.holds().get(key).is_some_and(|hold| hold.state == hold_state::REJECTED)
    };
    let counts =
        |key: &&str| graph.get(key).is_some_and(|it| is_primary(&listing.collection, it)) && !is_kept(key);
    let all = state.owned_by(&listing.collection.to_string()).filter(counts).count();
    let deleted = absent.iter().map(String::as_str).filter(counts).count();
    if listing.collection == Collection::Users && deleted > 0 && deleted == all {
        return Some(format!("delete every user ({all})"));
    }
    let Configuration { max_deleted_fraction, max_deleted_count, .. } = listing.manifest.configuration;
    let too_many = i64::try_from(deleted).is_ok_and(|deleted| deleted > max_deleted_count);
    #[expect(clippy::cast_precision_loss, reason = "a fraction of fewer than 2^52 elements")]
    let too_large = deleted as f64 > max_deleted_fraction * all as f64;
    (too_many && too_large).then(|| {
        format!(
            "delete {deleted} of {all} (the guard allows {max_deleted_count}, or a fraction of {max_deleted_fraction})"
        )
    })
}
