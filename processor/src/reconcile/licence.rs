//! What a listing licenses: absence is evidence only where the listing was whole.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    coverage::Coverage,
    element::{Element, ElementType},
    state::State,
};

use crate::listing::Listing;

/// A parameter that widens a listing: without it, what it had brought is absent for no reason of its own.
const WIDENING_PARAMETERS: [&str; 2] = ["include_archived", "include_default"];

/// Whether and what a listing may delete.
#[derive(Debug)]
pub(super) struct Licence {
    /// Why the listing is not whole.
    pub(super) partial: Option<String>,
    /// Whether the listing says where keys belong.
    has_scopes: bool,
}

impl Licence {
    pub(super) fn of(coverage: Option<&Coverage>, listing: &Listing) -> Self {
        let has_scopes = listing
            .resources
            .values()
            .filter_map(|raw| raw.record.resource.as_ref()?.api_key.as_ref())
            .any(|api_key| api_key.scope.is_some());
        Self { partial: listing.damage.clone().or_else(|| narrower(coverage, listing)), has_scopes }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.partial.is_none()
    }

    /// Keys of the elements of the collection, withheld ones included, that may be deleted since the listing does not
    /// have them.
    pub(super) fn absent(
        &self,
        state: &State,
        collection: &str,
        desired: &BTreeMap<String, Element>,
    ) -> BTreeSet<String> {
        let absent = state.owned_by(collection).filter(|key| !desired.contains_key(*key));
        let absent = absent.filter(|key| state.known(key).is_some_and(|element| self.deletes(element)));
        absent.map(str::to_owned).collect()
    }

    /// Whether the element may be deleted because the listing does not have it.
    fn deletes(&self, element: &Element) -> bool {
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
