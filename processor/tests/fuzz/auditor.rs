//! The auditor over malformed raw records: content with what the processor makes of them, and never at a
//! loss over topics of random bytes.

use std::borrow::Cow;

use std::collections::BTreeMap;

use fuzz::Corpus;
use graph::partition_state::PartitionState;
use processor::pipeline::Pipeline;
use schemas::{
    change::Envelope,
    codec::{decode, encode},
    graph_value::GraphValue,
    raw::{RawBody, RawRecord},
    topics::Topic,
};
use service::kafka::partition::Record;
use verify::{Law, Partition};

use crate::{TOKENS, raw, records, values};

/// The partition that the processor makes of raw values.
fn processed(input: &[u8]) -> Partition {
    let mut pipeline = Pipeline::new("raw".to_owned(), 0, PartitionState::new(0, 1));
    let mut partition = Partition { count: 1, ..Partition::default() };
    let mut names = Names::default();
    for (value, offset) in values(input).into_iter().zip(0..) {
        let value = names.told_apart(value);
        let raw = record(raw_key(&value), Some(value), offset);
        partition.raw.push(raw.clone());
        pipeline.take(raw.as_message());
        take(&mut pipeline, &mut partition);
    }
    pipeline.drop_open(i64::try_from(partition.raw.len()).expect("few"));
    take(&mut pipeline, &mut partition);
    partition
}

/// No two listings of a producer have one id, by which the auditor knows what a change rests on.
#[derive(Default)]
struct Names {
    newest: BTreeMap<String, String>,
    listings: usize,
}

impl Names {
    fn told_apart(&mut self, value: &[u8]) -> Vec<u8> {
        let Ok(mut raw) = decode::<RawRecord>(value) else { return value.to_vec() };
        if let Some(id) = &mut raw.listing_id {
            let own = format!("{id} {}", self.listings);
            self.newest.insert(std::mem::replace(id, own.clone()), own);
        }
        self.listings += usize::from(matches!(raw.body, RawBody::Manifest(_)));
        if let RawBody::Decision(decision) = &mut raw.body
            && let Some(id) = &mut decision.listing_id
            && let Some(own) = self.newest.get(id)
        {
            id.clone_from(own);
        }
        encode(&raw)
    }
}

fn take(pipeline: &mut Pipeline, partition: &mut Partition) {
    let batch = pipeline.take_batch();
    for output in batch.iter().flat_map(processor::batch::Batch::outputs) {
        let records = match output.topic() {
            Topic::Changes => &mut partition.changes,
            Topic::Graph => &mut partition.graph,
            _ => continue,
        };
        let offset = i64::try_from(records.len()).expect("few");
        records.push(record(output.key(), output.value().map(Cow::into_owned), offset));
    }
}

fn record(key: String, value: Option<Vec<u8>>, offset: i64) -> Record {
    Record { offset, key: Some(key.into_bytes()), value, headers: Vec::new() }
}

fn raw_key(value: &[u8]) -> String {
    decode::<RawRecord>(value).map_or_else(|_| format!("{}/users/x", raw::ORGANIZATION), |raw| raw.key())
}

fn corpus(name: &str) -> Corpus {
    Corpus::of(name, records::histories()).with_tokens(&TOKENS)
}

#[test]
fn the_auditor_is_content_with_what_the_processor_makes_of_whatever_the_raw_topic_holds() {
    fuzz::check(&corpus("auditor"), |input| {
        let verdicts = processed(input).verify();
        let tallies = verdicts.iter().flat_map(|verdict| &verdict.tallies);
        // Another program may write one decision twice, and then two changes have one id.
        let violations = tallies.filter(|(law, _)| **law != Law::ChangeIds);
        let violations: Vec<String> = violations
            .flat_map(|(law, tally)| tally.violations.iter().map(move |it| format!("{}: {it:?}", law.name())))
            .collect();
        if violations.is_empty() { Ok(()) } else { Err(violations.join("\n")) }
    });
}

/// All values of a partition, one after the other.
fn joined(partition: &Partition) -> Vec<u8> {
    let records = partition.raw.iter().chain(&partition.changes).chain(&partition.graph);
    records.filter_map(|record| record.value.clone()).flatten().collect()
}

/// Each value where its kind belongs, under the key that it would have.
fn sorted(input: &[u8]) -> Partition {
    let mut partition = Partition { count: 1, ..Partition::default() };
    let begins = (0..input.len()).filter(|at| input[*at..].starts_with(&[0xc3, 0x01]));
    let places: Vec<usize> = begins.chain([input.len()]).collect();
    for pair in places.windows(2) {
        let value = &input[pair[0]..pair[1]];
        let (key, records) = if let Ok(change) = decode::<Envelope>(value) {
            (change.key(), &mut partition.changes)
        } else if let Ok(of_graph) = GraphValue::decode(value) {
            (graph_key(&of_graph), &mut partition.graph)
        } else {
            (raw_key(value), &mut partition.raw)
        };
        let offset = i64::try_from(records.len()).expect("few");
        records.push(record(key, Some(value.to_vec()), offset));
    }
    partition
}

fn graph_key(value: &GraphValue) -> String {
    match value {
        GraphValue::Element(it) => format!("{}/{}", it.decode().organization_id, it.key()),
        GraphValue::Coverage(it) => format!("{}/coverage/{}", it.organization_id, it.collection),
        GraphValue::Hold(it) => format!("{}/hold/{}", it.organization_id, it.element_key),
        GraphValue::Withheld(it) => format!("{}/withheld/{}", it.organization_id, it.element.key),
    }
}

#[test]
fn no_topic_makes_the_auditor_panic() {
    let files = records::histories().into_iter().map(|(name, input)| (name, joined(&processed(&input))));
    let corpus = Corpus::of("auditor_topics", files.collect()).with_tokens(&TOKENS);
    fuzz::check(&corpus, |input| {
        let mut partition = sorted(input);
        partition.verify();
        (partition.raw_begins, partition.changes_begin) = (1, 1);
        partition.verify();
        Ok(())
    });
}
