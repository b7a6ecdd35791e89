//! What a listing licenses: absence is evidence only where the listing was whole.

use std::collections::BTreeMap;

use schemas::{
    collection::Collection,
    coverage::Coverage,
    element::{Element, ElementType},
    raw::{Configuration, outcome},
    state::State,
};

use super::primary;
use crate::listing::Listing;

/// A parameter that widens a listing: without it, what it had brought is absent for no reason of its own.
const WIDENING_PARAMETERS: [&str; 2] = ["include_archived", "include_default"];

/// Whether and what a listing may delete.
#[derive(Debug)]
pub(super) struct Licence {
    /// A value of [`outcome`].
    pub(super) outcome: &'static str,
    /// Why the listing is not whole.
    pub(super) reason: Option<String>,
    /// Whether the listing says where keys belong.
    has_scopes: bool,
}

impl Licence {
    pub(super) fn of(
        state: &State,
        coverage: Option<&Coverage>,
        listing: &Listing,
        desired: &BTreeMap<String, Element>,
    ) -> Self {
        let has_scopes = listing
            .resources
            .values()
            .filter_map(|raw| raw.record.resource.as_ref()?.api_key.as_ref())
            .any(|api_key| api_key.scope.is_some());
        let partial = listing.damage.clone().or_else(|| narrower(coverage, listing));
        if partial.is_some() {
            return Self { outcome: outcome::PARTIAL, reason: partial, has_scopes };
        }
        if let Some(reason) = guard(state, listing, desired) {
            return Self { outcome: outcome::GUARDED, reason: Some(reason), has_scopes };
        }
        Self { outcome: outcome::WHOLE, reason: None, has_scopes }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.outcome == outcome::WHOLE
    }

    /// Whether the element may be deleted because the listing does not have it.
    pub(super) fn deletes(&self, element: &Element) -> bool {
        match ElementType::parse(&element.kind) {
            // The account is what the organization is known by: only a person's decision ends it.
            Some(ElementType::Account) => false,
            Some(ElementType::WorkspaceHasApiKey) => self.is_whole() && self.has_scopes,
            _ => self.is_whole(),
        }
    }
}

/// Why the listing is narrower than the collection's last whole one.
fn narrower(coverage: Option<&Coverage>, listing: &Listing) -> Option<String> {
    let before = &coverage?.whole.as_ref()?.parameters;
    let now = &listing.manifest.parameters;
    let lost = WIDENING_PARAMETERS.into_iter().find(|parameter| {
        let is_on =
            |parameters: &BTreeMap<String, String>| parameters.get(*parameter).is_some_and(|it| it == "true");
        is_on(before) && !is_on(now)
    })?;
    Some(format!("the last whole listing was made with {lost}=true, this one without"))
}

/// Why the guard refuses the listing's deletions.
fn guard(state: &State, listing: &Listing, desired: &BTreeMap<String, Element>) -> Option<String> {
    let collection = listing.collection.to_string();
    let graph = state.graph();
    let owned = state.owned_by(&collection).filter_map(|key| graph.get(key));
    let before = primary(&listing.collection, owned);
    let deleted = before.iter().filter(|key| !desired.contains_key(*key)).count();
    let Configuration { max_deleted_fraction, max_deleted_count, .. } = listing.manifest.configuration;
    let too_many = i64::try_from(deleted).is_ok_and(|deleted| deleted > max_deleted_count);
    #[expect(clippy::cast_precision_loss, reason = "a fraction of fewer than 2^52 elements")]
    let too_large = deleted as f64 > max_deleted_fraction * before.len() as f64;
    let all_users = listing.collection == Collection::Users && deleted > 0 && deleted == before.len();
    ((too_many && too_large) || all_users).then(|| {
        format!(
            "it would delete {deleted} of {} (the guard allows {max_deleted_count}, or a fraction of \
             {max_deleted_fraction}); nothing was deleted",
            before.len()
        )
    })
}
