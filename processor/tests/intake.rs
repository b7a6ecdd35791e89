//! What a partition's records lead to, and how much of it can be committed when.

mod raw;

use processor::{intake::Intake, partition_state::PartitionState};
use schemas::{
    codec::encode,
    raw::{RawRecord, START},
    topics::Topic,
};
use service::kafka::partition::Record;

fn user(listing_id: &str, id: &str) -> RawRecord {
    RawRecord { resource: Some(raw::user(id)), ..raw::blank("users", Some(listing_id)) }
}

fn manifest(listing_id: &str, count: i64) -> RawRecord {
    RawRecord { manifest: Some(raw::manifest(count)), ..raw::blank("users", Some(listing_id)) }
}

fn intake() -> Intake {
    Intake::new("raw".to_owned(), 0, PartitionState::new(0, 1))
}

fn record(offset: i64, raw: &RawRecord) -> Record {
    unusable(offset, &raw.key(), encode(raw))
}

fn unusable(offset: i64, key: &str, value: Vec<u8>) -> Record {
    let key = Some(key.as_bytes().to_vec());
    Record { offset, timestamp_ms: None, key, value: Some(value), headers: Vec::new() }
}

/// The next offset and the keys of a topic's records in the next transaction.
fn taken(intake: &mut Intake, topic: Topic) -> Option<(i64, Vec<String>)> {
    let batch = intake.take_batch()?;
    let next_offset = batch.next_offset().expect("a batch that is taken can be committed");
    let outputs = batch.into_outputs().filter(|output| output.topic == topic);
    Some((next_offset, outputs.map(|output| output.key).collect()))
}

#[test]
fn what_is_whole_before_an_open_listing_can_be_committed() {
    let mut intake = intake();
    let start = RawRecord { mark: Some(raw::mark(START)), ..raw::blank("poll", None) };
    let records = [start, user("a", "ada"), manifest("a", 1), user("b", "ada")];
    for (offset, raw) in (0..).zip(&records) {
        intake.take(record(offset, raw));
    }
    let (next_offset, changes) = taken(&mut intake, Topic::Changes).expect("a listing is whole");
    assert_eq!((next_offset, changes.len()), (3, 1), "whoever begins there reads all of the open listing");
    assert!(intake.take_batch().is_none(), "nothing more is whole");
    intake.take(record(4, &manifest("b", 1)));
    assert_eq!(taken(&mut intake, Topic::Changes), Some((5, vec![])));
}

#[test]
fn a_dead_letter_met_in_an_open_listing_waits_for_its_end() {
    let mut intake = intake();
    intake.take(unusable(0, "o/users/before", b"no Avro".to_vec()));
    intake.take(record(1, &user("a", "ada")));
    intake.take(unusable(2, "o/users/within", b"no Avro".to_vec()));
    let letters = |intake: &mut Intake| taken(intake, Topic::DeadLetters);
    assert_eq!(letters(&mut intake), Some((1, vec!["o/users/before".to_owned()])));
    assert_eq!(letters(&mut intake), None);
    intake.take(record(3, &manifest("a", 2)));
    assert_eq!(letters(&mut intake), Some((4, vec!["o/users/within".to_owned()])));
}
