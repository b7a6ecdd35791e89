//! What a partition's records lead to, and how much of it can be committed when.

#[path = "../../graph/tests/raw/mod.rs"]
mod raw;

use std::{fs, time::Duration};

use graph::partition_state::PartitionState;
use processor::pipeline::Pipeline;
use schemas::{
    codec::encode,
    raw::{Actor, ApiKey, MarkKind, RawBody, RawRecord, Resource, Scope, Workspace},
    topics::Topic,
};
use service::kafka::partition::Record;

fn user(listing_id: &str, id: &str) -> RawRecord {
    raw::record("users", Some(listing_id), RawBody::Resource(raw::user(id)))
}

fn manifest(listing_id: &str, count: i64) -> RawRecord {
    raw::record("users", Some(listing_id), RawBody::Manifest(raw::manifest(count)))
}

fn pipeline() -> Pipeline {
    Pipeline::new("raw".to_owned(), 0, PartitionState::new(0, 1))
}

fn record(offset: i64, raw: &RawRecord) -> Record {
    unusable(offset, &raw.key(), encode(raw))
}

fn unusable(offset: i64, key: &str, value: Vec<u8>) -> Record {
    let key = Some(key.as_bytes().to_vec());
    Record { offset, key, value: Some(value), headers: Vec::new() }
}

/// The next offset and the keys of a topic's records in the next transaction.
fn taken(pipeline: &mut Pipeline, topic: Topic) -> Option<(i64, Vec<String>)> {
    let batch = pipeline.take_batch()?;
    let next_offset = batch.next_offset().expect("a batch that is taken can be committed");
    let outputs = batch.outputs().filter(|output| output.topic() == topic);
    Some((next_offset, outputs.map(|output| output.key()).collect()))
}

/// Resources and manifest of a listing.
fn listing(collection: &str, resources: impl ExactSizeIterator<Item = Resource>) -> Vec<RawRecord> {
    let record = |body| raw::record(collection, Some(collection), body);
    let manifest = raw::manifest(i64::try_from(resources.len()).expect("few"));
    let resources = resources.map(|resource| record(RawBody::Resource(resource)));
    resources.chain([record(RawBody::Manifest(manifest))]).collect()
}

/// Ada's, in a workspace.
fn api_key(number: usize) -> Resource {
    let [id, user, workspace] = [format!("key-{number}"), "ada".to_owned(), "prod".to_owned()];
    let api_key = ApiKey {
        name: Some(id.clone()),
        id,
        created_at: Some("2026-05-01T10:00:00Z".to_owned()),
        created_by: Some(Actor { id: Some(user), kind: Some("user".to_owned()) }),
        scope: Some(Scope { kind: Some("workspace".to_owned()), workspace_id: Some(workspace) }),
        ..ApiKey::default()
    };
    Resource::ApiKey(api_key.into())
}

/// API keys of two listings, the one ten times as long as the other (count).
const API_KEYS: [usize; 2] = [2_000, 20_000];
/// How much longer the long one may take: ten times and the depth of some trees, not a hundred times.
const FACTOR: u32 = 40;
/// What is shorter is not measured well.
const LEAST: Duration = Duration::from_millis(50);

/// A task is silent while it takes a manifest. Liveness allows five minutes, of which a million API keys take about a
/// third; that a task stays within it is a matter of how the time grows.
#[test]
fn the_time_for_which_a_task_is_silent_grows_with_the_listing_and_no_faster() {
    let [few, many] = API_KEYS.map(silences);
    println!("new, known and changed API keys: {few:?} and {many:?}");
    for (few, many) in few.into_iter().zip(many) {
        assert!(many < few.max(LEAST) * FACTOR, "{many:?} instead of {few:?}");
    }
}

/// For how long a task is silent over API keys that are new, that it knows, and that have changed.
fn silences(api_keys: usize) -> [Duration; 3] {
    let workspace = Workspace { id: "prod".to_owned(), ..Workspace::default() };
    let workspace = Resource::Workspace(workspace.into());
    let mut pipeline = pipeline();
    let mut offset = 0;
    let mut silence = |records: Vec<RawRecord>, changes: usize| {
        let (manifest, resources) = records.split_last().expect("a listing has a manifest");
        for resource in resources {
            pipeline.take(record(offset, resource).as_message());
            offset += 1;
        }
        let (manifest, began) = (record(offset, manifest), processor_time());
        pipeline.take(manifest.as_message());
        let silence = processor_time().saturating_sub(began);
        offset += 1;
        let (_, keys) = taken(&mut pipeline, Topic::Changes).expect("a listing is whole");
        assert_eq!(keys.len(), changes);
        silence
    };
    silence(listing("users", [raw::user("ada")].into_iter()), 1);
    silence(listing("workspaces", [workspace].into_iter()), 1);
    let known = || listing("api_keys", (0..api_keys).map(api_key));
    let changed = listing("api_keys", (0..api_keys).map(|number| renamed(api_key(number))));
    [silence(known(), 3 * api_keys), silence(known(), 0), silence(changed, api_keys)]
}

/// How long this thread has run: other processes do not count.
fn processor_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux that counts it");
    let ns = text.split(' ').next().and_then(|ns| ns.parse().ok());
    Duration::from_nanos(ns.expect("nanoseconds, and what the thread waited for"))
}

fn renamed(mut resource: Resource) -> Resource {
    let Resource::ApiKey(api_key) = &mut resource else { panic!("no API key") };
    api_key.name = Some(format!("{} again", api_key.id));
    resource
}

#[test]
fn what_is_whole_before_an_open_listing_can_be_committed() {
    let mut pipeline = pipeline();
    let start = raw::record("poll", None, RawBody::Mark(raw::mark(MarkKind::Start)));
    let records = [start, user("a", "ada"), manifest("a", 1), user("b", "ada")];
    for (offset, raw) in (0..).zip(&records) {
        pipeline.take(record(offset, raw).as_message());
    }
    let (next_offset, changes) = taken(&mut pipeline, Topic::Changes).expect("a listing is whole");
    assert_eq!(
        (next_offset, changes.len()),
        (3, 1),
        "a task that begins there reads all of the open listing"
    );
    assert!(pipeline.take_batch().is_none(), "nothing more is whole");
    pipeline.take(record(4, &manifest("b", 1)).as_message());
    assert_eq!(taken(&mut pipeline, Topic::Changes), Some((5, vec![])));
}

#[test]
fn a_dead_letter_met_in_an_open_listing_waits_for_its_end() {
    let mut pipeline = pipeline();
    pipeline.take(unusable(0, "o/users/before", b"no Avro".to_vec()).as_message());
    pipeline.take(record(1, &user("a", "ada")).as_message());
    pipeline.take(unusable(2, "o/users/within", b"no Avro".to_vec()).as_message());
    let letters = |pipeline: &mut Pipeline| taken(pipeline, Topic::DeadLetters);
    assert_eq!(letters(&mut pipeline), Some((1, vec!["o/users/before".to_owned()])));
    assert_eq!(letters(&mut pipeline), None);
    pipeline.take(record(3, &manifest("a", 2)).as_message());
    assert_eq!(letters(&mut pipeline), Some((4, vec!["o/users/within".to_owned()])));
}

#[test]
fn a_transaction_is_full_by_its_bytes() {
    let mut pipeline = pipeline();
    let mut letters = 0;
    while !pipeline.batch().is_full() {
        assert!(letters < 100, "100 MB of dead letters do not fill a transaction");
        let value = vec![0; 1_000_000];
        pipeline.take(unusable(letters, "key", value).as_message());
        letters += 1;
    }
    assert!(letters > 10, "{letters} dead letters of a megabyte fill a transaction");
}
