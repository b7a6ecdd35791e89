//! What a listing licenses: absence is evidence only where the listing was whole.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{collection::Collection, coverage::Coverage, element::ElementType, encoded::EncodedElement};

use super::{Desired, workspace};
use crate::{listing::Listing, state::State};

/// A parameter that widens a listing: without it, what it had brought is absent for no reason of its own.
const WIDENING_PARAMETERS: [&str; 2] = ["include_archived", INCLUDE_DEFAULT];
const INCLUDE_DEFAULT: &str = "include_default";
/// The name of the workspace that every organization has. It cannot be renamed.
const DEFAULT_WORKSPACE: &str = "Default";

/// Whether and what a listing may delete.
#[derive(Debug)]
pub(super) struct License {
    /// Why the listing is not whole.
    pub(super) partial: Option<String>,
    /// Keys of entities that the listing is silent about: it says neither that they are there nor where they belong.
    silent: BTreeSet<String>,
}

impl License {
    pub(super) fn of(
        state: &State,
        coverage: Option<&Coverage>,
        listing: &Listing,
        desired: &Desired,
    ) -> Self {
        let partial = listing.damage.clone().or_else(|| narrower(coverage, listing));
        let unscoped = desired.unscoped.iter().cloned();
        Self { partial, silent: unscoped.chain(unasked_default(state, listing)).collect() }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.partial.is_none()
    }

    /// Keys of the elements of the collection, withheld ones included, that may be deleted since the listing does not
    /// have them.
    pub(super) fn absent(&self, state: &State, collection: &str, desired: &Desired) -> BTreeSet<String> {
        let absent = desired.lacks(state.nodes(), collection);
        let absent = absent.filter(|key| state.known(key).is_some_and(|element| self.deletes(&element)));
        absent.map(str::to_owned).collect()
    }

    /// Whether the element may be deleted because the listing does not have it.
    fn deletes(&self, element: &EncodedElement) -> bool {
        match ElementType::parse(element.kind()) {
            // The account is what the organization is known by: only a person's decision ends it.
            Some(ElementType::Account) => false,
            Some(ElementType::Workspace) => self.is_whole() && !self.silent.contains(element.key()),
            Some(ElementType::AccountHasWorkspace | ElementType::WorkspaceHasApiKey) => {
                self.is_whole() && !element.ends().any(|end| self.silent.contains(end))
            }
            Some(
                ElementType::User
                | ElementType::ApiKey
                | ElementType::AccountHasUser
                | ElementType::UserAssignedWorkspace
                | ElementType::UserCreatedApiKey,
            )
            | None => self.is_whole(),
        }
    }
}

/// The key of the default workspace if the listing was made without it: it may be known from one that was not whole, or
/// from before the API forgot it. Only the name shows which one it is.
fn unasked_default(state: &State, listing: &Listing) -> Vec<String> {
    if listing.collection != Collection::Workspaces || is_on(&listing.manifest.parameters, INCLUDE_DEFAULT) {
        return Vec::new();
    }
    let is_default = |element: &&EncodedElement| {
        workspace(element).is_some_and(|workspace| workspace.name == DEFAULT_WORKSPACE && workspace.active)
    };
    let collection = listing.collection.to_string();
    let known = state.owned_by(&collection).filter_map(|key| state.graph().get(key));
    known.filter(is_default).map(|element| element.key().to_owned()).collect()
}

fn is_on(parameters: &BTreeMap<String, String>, parameter: &str) -> bool {
    parameters.get(parameter).is_some_and(|value| value == "true")
}

/// Why the listing is narrower than the collection's last whole one.
fn narrower(coverage: Option<&Coverage>, listing: &Listing) -> Option<String> {
    let before = &coverage?.whole.as_ref()?.parameters;
    let now = &listing.manifest.parameters;
    let lost = WIDENING_PARAMETERS
        .into_iter()
        .find(|parameter| is_on(before, parameter) && !is_on(now, parameter))?;
    Some(format!("the last whole listing was requested with {lost}=true, and this one without it"))
}
