//! The raw topic, read for an audit: which listings there were, what each had, and whether it was whole.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    codec::decode,
    element::Element,
    raw::{Decision, Manifest, Mark, RawRecord, Resource},
};

use super::{
    reference_mapping::{Place, elements, entity_key, is_placeless, origin},
    usable::is_usable,
};

/// Parameters that widen a listing: one without them does not show what one with them did.
const WIDENING: [&str; 2] = ["include_archived", "include_default"];

/// What one raw record, or several together, tell.
#[derive(Debug)]
pub(super) enum Evidence {
    Listing(Box<Listing>),
    Mark(Box<PollMark>),
    Decision(Decision),
    /// It tells nothing.
    Unusable,
}

/// A poll's mark, and where it came from.
#[derive(Debug)]
pub(super) struct PollMark {
    pub(super) mark: Mark,
    pub(super) poll_id: Option<String>,
    pub(super) ts_ms: i64,
}

/// A listing with its manifest.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) organization_name: String,
    pub(super) collection: String,
    pub(super) id: String,
    pub(super) manifest: Manifest,
    /// Their digests are only what they are mapped by.
    pub(super) elements: BTreeMap<String, Element>,
    /// Keys of the API keys of which it does not say where they belong.
    pub(super) unscoped: BTreeSet<String>,
    /// Why it is not all of the collection.
    pub(super) damage: Option<String>,
    /// Whether retention may have cut its beginning off.
    pub(super) is_cut: bool,
    /// Whether retention has cut off what was before it.
    pub(super) is_past_cut: bool,
}

/// Puts the records of one raw partition together.
#[derive(Debug, Default)]
pub(super) struct Witness {
    open: Option<Open>,
    /// The first listing of a partition without its beginning was met.
    has_begun: bool,
}

/// A listing whose manifest has not come yet.
#[derive(Debug)]
struct Open {
    /// Organization, collection and listing.
    names: [String; 3],
    resources: BTreeMap<String, Resource>,
    /// Why it is not all of the collection, whatever its manifest counts.
    damage: Option<String>,
}

impl Witness {
    /// Takes the next record; what it tells about which organization. `is_cut`: the partition has lost its beginning.
    pub(super) fn take(
        &mut self,
        key: &str,
        value: Option<&[u8]>,
        offset: i64,
        is_cut: bool,
    ) -> Option<(String, Evidence)> {
        let size = value.map_or(0, <[u8]>::len);
        let record = value.and_then(|value| decode::<RawRecord>(value).ok());
        let Some(record) = record.filter(|record| is_usable(record, size)) else {
            // It damages the listing in which it stands; before its first record or at its end, the count tells.
            if let Some(open) = self.open.as_mut().filter(|open| open.has(key)) {
                open.damage
                    .get_or_insert_with(|| format!("the raw record at offset {offset} cannot be used"));
            }
            let organization_id = key.split_once('/').map_or("", |(organization_id, _)| organization_id);
            return Some((organization_id.to_owned(), Evidence::Unusable));
        };
        if let Some(mark) = record.mark {
            self.open = None;
            self.has_begun = true;
            let mark = PollMark { mark, poll_id: record.poll_id, ts_ms: record.observed_ts_ms };
            return Some((record.organization_id, Evidence::Mark(Box::new(mark))));
        }
        if let Some(decision) = record.decision {
            return Some((record.organization_id, Evidence::Decision(decision)));
        }
        let organization_name = record.organization_name;
        let names = [record.organization_id, record.collection, record.listing_id.unwrap_or_default()];
        let open = self.open.take().filter(|open| open.names == names);
        let mut open = open.unwrap_or_else(|| Open { names, resources: BTreeMap::new(), damage: None });
        if let Some(resource) = record.resource {
            if open.resources.insert(resource.id().to_owned(), resource).is_some() {
                open.damage.get_or_insert_with(|| "a resource stands in it twice".to_owned());
            }
            self.open = Some(open);
            return None;
        }
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let organization_id = open.names[0].clone();
        let listing = open.close(record.manifest?, organization_name, is_cut && is_first, is_cut);
        Some((organization_id, Evidence::Listing(Box::new(listing))))
    }
}

impl Open {
    /// Whether a record of that key belongs to its collection.
    fn has(&self, key: &str) -> bool {
        let [organization_id, collection, _] = &self.names;
        let rest = key.strip_prefix(organization_id.as_str()).and_then(|rest| rest.strip_prefix('/'));
        rest.and_then(|rest| rest.rsplit_once('/')).is_some_and(|(name, _)| name == collection)
    }

    /// `is_cut`: what damaged it may be cut off too, so that even a count that agrees says nothing.
    fn close(
        self,
        manifest: Manifest,
        organization_name: String,
        is_cut: bool,
        is_past_cut: bool,
    ) -> Listing {
        let Self { names: [organization_id, collection, id], resources, damage } = self;
        let is_short = i64::try_from(resources.len()).ok() != Some(manifest.count);
        let short = is_short.then(|| format!("it has {} of {} resources", resources.len(), manifest.count));
        let configuration = &manifest.configuration;
        let account_name = configuration.account_name.as_deref().filter(|_| configuration.tag_account_name);
        let place = Place { organization_id: &organization_id, collection: &collection, account_name };
        let mapped = resources.values().flat_map(|resource| elements(place, resource));
        let origin = origin(account_name);
        let mapped = mapped.map(|element| Element { digest: origin.clone(), ..element });
        let elements = mapped.map(|element| (element.key.clone(), element)).collect();
        let api_keys = resources.values().filter_map(|resource| resource.api_key.as_ref());
        let unscoped = api_keys.filter(|api_key| is_placeless(api_key));
        let unscoped = unscoped.map(|api_key| entity_key("anthropic_api_key", &api_key.id)).collect();
        let damage = damage.or(short);
        Listing {
            organization_name,
            collection,
            id,
            manifest,
            elements,
            unscoped,
            damage,
            is_cut,
            is_past_cut,
        }
    }
}

impl Listing {
    /// Why it shows less than the last whole listing, of which these are the parameters, if it does.
    pub(super) fn narrower(&self, before: Option<&BTreeMap<String, String>>) -> Option<String> {
        let before = before?;
        let lost =
            WIDENING.iter().find(|name| is_on(before, name) && !is_on(&self.manifest.parameters, name))?;
        Some(format!("it was made without {lost}=true, the last whole one with it"))
    }

    /// The second half of the digests of what it has.
    pub(super) fn origin(&self) -> String {
        let configuration = &self.manifest.configuration;
        origin(configuration.account_name.as_deref().filter(|_| configuration.tag_account_name))
    }

    /// Whether no listing shows more.
    pub(super) fn is_widest(&self) -> bool {
        WIDENING.iter().all(|name| is_on(&self.manifest.parameters, name))
    }

    /// Whether the listing is silent about an element of that type: the account, the default workspace where it was not
    /// asked for, and where a key belongs that is listed without a scope. `is_default`: it or an end of it is the default
    /// workspace.
    pub(super) fn is_silent_about<'a>(
        &self,
        kind: &str,
        mut ends: impl Iterator<Item = &'a str>,
        is_default: bool,
    ) -> bool {
        let asks = is_on(&self.manifest.parameters, "include_default");
        match kind {
            "anthropic_account" => true,
            "anthropic_workspace" | "anthropic_account_has_workspace" => !asks && is_default,
            "anthropic_workspace_has_api_key" => ends.any(|end| self.unscoped.contains(end)),
            _ => false,
        }
    }
}

fn is_on(parameters: &BTreeMap<String, String>, name: &str) -> bool {
    parameters.get(name).is_some_and(|value| value == "true")
}

/// Whether it is the workspace that every organization has; nothing but its name tells.
pub(super) fn is_default(element: &Element) -> bool {
    element.workspace.as_ref().is_some_and(|workspace| workspace.name == "Default" && workspace.active)
}

/// When a raw record was observed (ms since 1970), if it can be read.
pub(super) fn observed_ts_ms(value: Option<&[u8]>) -> Option<i64> {
    decode::<RawRecord>(value?).ok().map(|record| record.observed_ts_ms)
}
