//! All that topics and JupiterOne say of a world that has come to rest, read as a stranger would.

use std::collections::{BTreeMap, BTreeSet};

use graph::state::GraphKey;
use schemas::change::Envelope;
use schemas::codec::decode;
use schemas::coverage::{Coverage, Hold, Poll, Withheld};
use schemas::element::Element;
use schemas::graph_value::GraphValue;
use schemas::raw::{MarkKind, RawBody, RawRecord};
use schemas::sync::Sync;
use schemas::topics::Topic;
use serde_json::Value;

use crate::kafka;
use crate::world::World;

/// What is known of one organization.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// The changes in the order of the log.
    pub(super) changes: Vec<Envelope>,
    /// The elements that `graph` leaves.
    pub(super) elements: BTreeMap<String, Element>,
    /// The coverage of the polls that `graph` leaves.
    pub(super) poll: Option<Poll>,
    /// The holds that `graph` leaves.
    pub(super) holds: BTreeMap<String, Hold>,
    /// The withheld relationships that `graph` leaves.
    pub(super) withheld: BTreeMap<String, Withheld>,
    /// Collection and raw offset of each listing that a coverage record answers, and how often one does.
    pub(super) answered: BTreeMap<(String, i64), u64>,
    /// What the sync topic says, in its order.
    pub(super) syncs: Vec<Sync>,
    /// Collection, raw offset and id of each manifest.
    pub(super) manifests: Vec<(String, i64, String)>,
    /// Listings whose resources are not as many as their manifest says, with both counts.
    pub(super) torn: Vec<(String, i64, i64)>,
    /// Polls that were begun.
    pub(super) polls: u64,
}

/// The evidence of each organization by its id, and how many records lie in the dead letters.
pub(super) fn gather(world: &World) -> (BTreeMap<String, Evidence>, usize) {
    let mut all: BTreeMap<String, Evidence> = BTreeMap::new();
    for record in world.read(Topic::Changes) {
        let change: Envelope = decode(&record.value.expect("a change has a value")).expect("a change");
        all.entry(change.source.organization_id.clone()).or_default().changes.push(change);
    }
    for record in world.read(Topic::Graph) {
        let (id, key) = GraphKey::parse(record.key_text()).expect("a key of the graph topic");
        let value = record.value.as_deref();
        let value = value.map(|value| GraphValue::decode(value).expect("a value of the graph topic"));
        all.entry(id.to_owned()).or_default().fold(key, value);
    }
    for record in world.read(Topic::Sync) {
        let sync: Sync = decode(&record.value.expect("it is never taken back")).expect("a sync record");
        all.entry(sync.organization_id.clone()).or_default().syncs.push(sync);
    }
    raw(world, &mut all);
    (all, world.read(Topic::DeadLetters).len())
}

/// The status of each sync job by its id.
pub(super) fn jobs(world: &World) -> BTreeMap<String, String> {
    let text = |job: &Value, name: &str| job[name].as_str().unwrap_or_default().to_owned();
    world.jupiterone.jobs().iter().map(|job| (text(job, "id"), text(job, "status"))).collect()
}

fn raw(world: &World, all: &mut BTreeMap<String, Evidence>) {
    let mut resources: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for record in kafka::read(&world.bootstrap_servers, &world.topic(Topic::Raw)) {
        let raw = decode::<RawRecord>(record.value.as_deref().expect("a raw record has a value"))
            .expect("a raw record");
        let key = record.key_text().to_owned();
        let evidence = all.entry(raw.organization_id.clone()).or_default();
        if matches!(&raw.body, RawBody::Mark(mark) if mark.kind == MarkKind::Start) {
            evidence.polls += 1;
        }
        let Some(listing_id) = raw.listing_id else { continue };
        match raw.body.manifest() {
            None => drop(resources.entry(listing_id).or_default().insert(key)),
            Some(manifest) => {
                let found = resources.remove(&listing_id).map_or(0, |found| found.len());
                let found = i64::try_from(found).expect("a count");
                if found != manifest.count {
                    evidence.torn.push((listing_id.clone(), found, manifest.count));
                }
                evidence.manifests.push((raw.collection, record.offset, listing_id));
            }
        }
    }
    // What is left has resources and no manifest: a listing that was not written in one transaction.
    for (listing_id, keys) in resources {
        let organization =
            keys.first().and_then(|key| key.split_once('/')).map_or("", |(id, _)| id).to_owned();
        let found = i64::try_from(keys.len()).expect("a count");
        all.entry(organization).or_default().torn.push((listing_id, found, -1));
    }
}

impl Evidence {
    fn fold(&mut self, key: GraphKey, value: Option<GraphValue>) {
        match (key, value) {
            (GraphKey::Element(key), Some(GraphValue::Element(element))) => {
                self.elements.insert(key, element.decode());
            }
            (GraphKey::Element(key), None) => drop(self.elements.remove(&key)),
            (GraphKey::Hold(key), Some(GraphValue::Hold(hold))) => drop(self.holds.insert(key, *hold)),
            (GraphKey::Hold(key), None) => drop(self.holds.remove(&key)),
            (GraphKey::Withheld(key), Some(GraphValue::Withheld(it))) => {
                self.withheld.insert(key, *it);
            }
            (GraphKey::Withheld(key), None) => drop(self.withheld.remove(&key)),
            (GraphKey::Coverage(collection), Some(GraphValue::Coverage(coverage))) => {
                self.cover(collection, *coverage);
            }
            (GraphKey::Coverage(_), _) => {}
            (key, value) => panic!("{key:?} has a value of another kind: {value:?}"),
        }
    }

    fn cover(&mut self, collection: String, coverage: Coverage) {
        if let Some(poll) = coverage.poll {
            self.poll = Some(poll);
        }
        if let Some(latest) = coverage.latest {
            *self.answered.entry((collection, latest.raw_offset)).or_default() += 1;
        }
    }
}
