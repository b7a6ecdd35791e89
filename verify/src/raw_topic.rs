//! The raw topic, read for an audit: which listings there were, what each had, and whether it was whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use schemas::{
    codec::{Digest, decode},
    collection::Collection,
    element::Element,
    encoded::EncodedElement,
    raw::{Decision, Manifest, Mark, RawBody, RawRecord, Resource},
    resource::{self, encoded_id, listing_head, resource_behind, resource_digest},
};

use super::{
    elements::{Elements, origin_of},
    reference_mapping::{Place, elements, entity_key, is_placeless, origin},
    usable_records::is_usable,
};

/// Parameters that widen a listing: one without them does not show what one with them did.
const WIDENING: [&str; 2] = ["include_archived", "include_default"];

/// What one raw record, or several together, show.
#[derive(Debug)]
pub(super) enum Evidence {
    Listing(Box<Listing>),
    Mark(Box<PollMark>),
    Decision(Decision),
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
    /// Their digests show only what they are mapped by, unless they are those of the graph topic.
    pub(super) elements: Rc<Elements>,
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
    /// By organization and collection, what the newest listing has.
    listed: BTreeMap<[String; 2], Listed>,
    /// What the newest listing is tagged with: the next one most likely too.
    account_name: Option<String>,
}

/// A listing whose manifest has not come yet.
#[derive(Debug)]
struct Open {
    /// Organization, collection and listing.
    names: [String; 3],
    collection: Option<Collection>,
    /// What its records begin with.
    head: Vec<u8>,
    listed: Listed,
    /// What the listing before had, and this one not yet.
    before: Resources,
    /// Why it is not all of the collection, whatever its manifest counts.
    damage: Option<String>,
}

type Resources = HashMap<Box<str>, Mapped, FixedState>;

/// What a listing has.
#[derive(Debug)]
struct Listed {
    resources: Resources,
    /// What the elements are tagged with.
    account_name: Option<String>,
    /// Of an element that is not the graph topic's: by what it is mapped.
    digest: String,
}

/// What a resource was mapped to.
#[derive(Debug)]
struct Mapped {
    /// Of the resource's bytes.
    digest: Option<Digest>,
    elements: Box<[EncodedElement]>,
    /// It is an API key of which it does not say where it belongs.
    is_placeless: bool,
}

impl Witness {
    /// Takes the next record; what it shows, and of which organization. `is_cut`: the partition has lost its beginning.
    /// `graph`: what the graph topic has of an organization.
    pub(super) fn take<'a>(
        &mut self,
        key: &str,
        value: Option<&[u8]>,
        offset: i64,
        is_cut: bool,
        graph: impl Fn(&str) -> Option<&'a Elements>,
    ) -> Option<(String, Evidence)> {
        if let (Some(open), Some(value)) = (&mut self.open, value)
            && open.take_unchanged(value).is_some()
        {
            return None;
        }
        let size = value.map_or(0, <[u8]>::len);
        let record = value.and_then(|value| decode::<RawRecord>(value).ok());
        let Some(record) = record.filter(|record| is_usable(record, size)) else {
            // It damages the listing in which it stands; before its first record or at its end, the count shows it.
            if let Some(open) = self.open.as_mut().filter(|open| open.has(key)) {
                open.damage
                    .get_or_insert_with(|| format!("the raw record at offset {offset} cannot be used"));
            }
            let organization_id = key.split_once('/').map_or("", |(organization_id, _)| organization_id);
            return Some((organization_id.to_owned(), Evidence::Unusable));
        };
        let graph = graph(&record.organization_id);
        match &record.body {
            RawBody::Mark(mark) => {
                self.open = None;
                self.has_begun = true;
                let (poll_id, ts_ms) = (record.poll_id, record.observed_ts_ms);
                let mark = PollMark { mark: mark.clone(), poll_id, ts_ms };
                Some((record.organization_id, Evidence::Mark(Box::new(mark))))
            }
            RawBody::Decision(decision) => {
                Some((record.organization_id, Evidence::Decision(decision.clone())))
            }
            RawBody::Resource(resource) => {
                let mut open = self.take_open(&record);
                open.take(resource, value.unwrap_or_default(), graph);
                self.open = Some(open);
                None
            }
            RawBody::Manifest(manifest) => {
                let listing = self.close(&record, manifest, is_cut, graph);
                Some((record.organization_id, Evidence::Listing(Box::new(listing))))
            }
        }
    }

    /// The listing of that record, which it may begin.
    fn take_open(&mut self, record: &RawRecord) -> Open {
        if let Some(open) = self.open.take().filter(|open| open.is_of(record)) {
            return open;
        }
        let RawRecord { organization_id, collection, listing_id, .. } = record;
        let before = self.listed.remove(&[organization_id.clone(), collection.clone()]);
        let (before, account_name) = match before {
            Some(Listed { resources, account_name, .. }) => (resources, account_name),
            None => (Resources::default(), self.account_name.clone()),
        };
        Open {
            names: [organization_id.clone(), collection.clone(), listing_id.clone().unwrap_or_default()],
            collection: Collection::parse(collection),
            head: listing_head(record),
            listed: Listed::tagged(account_name),
            before,
            damage: None,
        }
    }

    fn close(
        &mut self,
        record: &RawRecord,
        manifest: &Manifest,
        is_cut: bool,
        graph: Option<&Elements>,
    ) -> Listing {
        let Open { names: [organization_id, collection, id], mut listed, damage, .. } =
            self.take_open(record);
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let configuration = &manifest.configuration;
        let account_name = configuration.account_name.clone().filter(|_| configuration.tag_account_name);
        self.account_name.clone_from(&account_name);
        if account_name != listed.account_name {
            listed.tag(account_name, graph);
        }
        let (resources, mut elements) = (&listed.resources, Elements::default());
        elements.extend(resources.values().flat_map(|mapped| mapped.elements.iter().cloned()));
        let unscoped = resources.iter().filter(|(_, mapped)| mapped.is_placeless);
        let unscoped = unscoped.map(|(id, _)| entity_key("anthropic_api_key", id)).collect();
        let is_short = i64::try_from(resources.len()).ok() != Some(manifest.count);
        let short = is_short.then(|| format!("it has {} of {} resources", resources.len(), manifest.count));
        self.listed.insert([organization_id, collection.clone()], listed);
        Listing {
            organization_name: record.organization_name.clone(),
            collection,
            id,
            manifest: manifest.clone(),
            elements: Rc::new(elements),
            unscoped,
            damage: damage.or(short),
            // What damaged it may be cut off too, so that even a count that agrees says nothing.
            is_cut: is_cut && is_first,
            is_past_cut: is_cut,
        }
    }
}

impl Open {
    /// Whether a record of that key belongs to its collection.
    fn has(&self, key: &str) -> bool {
        let [organization_id, collection, _] = &self.names;
        let rest = key.strip_prefix(organization_id.as_str()).and_then(|rest| rest.strip_prefix('/'));
        rest.and_then(|rest| rest.rsplit_once('/')).is_some_and(|(name, _)| name == collection)
    }

    fn is_of(&self, record: &RawRecord) -> bool {
        let RawRecord { organization_id, collection, listing_id, .. } = record;
        let listing_id = listing_id.as_deref().unwrap_or_default();
        self.names.iter().eq([organization_id.as_str(), collection, listing_id])
    }

    /// Takes a record whose resource says what it said in the listing before. `None`: it may be another one.
    fn take_unchanged(&mut self, value: &[u8]) -> Option<()> {
        let resource = resource_behind(&self.head, value)?;
        let id = encoded_id(resource, self.collection.as_ref()?)?;
        let digest = self.before.get(id)?.digest?;
        if digest != resource_digest(resource) {
            return None;
        }
        // One that is in the listing twice is not unchanged the second time.
        let (id, mapped) = self.before.remove_entry(id)?;
        self.put(id, mapped);
        Some(())
    }

    fn take(&mut self, resource: &Resource, value: &[u8], graph: Option<&Elements>) {
        let [organization_id, collection, _] = &self.names;
        let account_name = self.listed.account_name.as_deref();
        let mapped = elements(Place { organization_id, collection, account_name }, resource).into_iter();
        let mapped = Mapped {
            digest: resource_behind(&self.head, value).map(resource_digest),
            elements: mapped.map(|element| self.listed.kept(element, graph)).collect(),
            is_placeless: matches!(resource, Resource::ApiKey(api_key) if is_placeless(api_key)),
        };
        self.put(resource.id().into(), mapped);
    }

    fn put(&mut self, id: Box<str>, mapped: Mapped) {
        if self.listed.resources.insert(id, mapped).is_some() {
            self.damage.get_or_insert_with(|| "it contains a resource twice".to_owned());
        }
    }
}

impl Listed {
    fn tagged(account_name: Option<String>) -> Self {
        let digest = format!(".{}", origin(account_name.as_deref()));
        Self { resources: Resources::default(), account_name, digest }
    }

    /// Tags what is there otherwise.
    fn tag(&mut self, account_name: Option<String>, graph: Option<&Elements>) {
        let resources = std::mem::replace(self, Self::tagged(account_name)).resources;
        let tag = |element: &EncodedElement| {
            let element = element.decode();
            let account_name = self.account_name.clone().filter(|_| !element.is_relationship());
            self.kept(Element { account_name, ..element }, graph)
        };
        let tag_all =
            |mapped: Mapped| Mapped { elements: mapped.elements.iter().map(tag).collect(), ..mapped };
        self.resources = resources.into_iter().map(|(id, mapped)| (id, tag_all(mapped))).collect();
    }

    /// The element, or what the graph topic has if that is the same, mapped in the same way.
    fn kept(&self, element: Element, graph: Option<&Elements>) -> EncodedElement {
        let element = EncodedElement::of(&Element { digest: self.digest.clone(), ..element });
        let same = graph.and_then(|graph| graph.get(element.key()));
        let same = same.filter(|it| origin_of(it) == origin_of(&element) && it.same_as(&element));
        same.cloned().unwrap_or(element)
    }
}

impl Listing {
    /// Why it shows less than the last whole listing, of which these are the parameters, if it does.
    pub(super) fn narrower(&self, before: Option<&BTreeMap<String, String>>) -> Option<String> {
        let before = before?;
        let lost =
            WIDENING.iter().find(|name| is_on(before, name) && !is_on(&self.manifest.parameters, name))?;
        Some(format!("it was requested without {lost}=true, and the last whole one with it"))
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

/// When a raw record was observed (ms since 1970), if it can be read.
pub(super) fn observed_ts_ms(value: Option<&[u8]>) -> Option<i64> {
    let value = value?;
    let of_record = || decode::<RawRecord>(value).ok().map(|record| record.observed_ts_ms);
    resource::observed_ts_ms(value).or_else(of_record)
}
