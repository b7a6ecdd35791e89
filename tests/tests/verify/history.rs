//! A history that the services wrote, to be corrupted and verified.

use std::sync::LazyLock;

use schemas::{
    change::{Envelope, Kind, Op, Reason},
    codec::{decode, encode},
    coverage::Coverage,
    element::Element,
    graph_value::GraphValue,
    topics::Topic,
};
use simulator::anthropic::ROUND;
use tests::{
    kafka::{self, Record},
    prefix,
    services::Service,
    world::{PARTITIONS, World},
};

use crate::findings::Findings;

/// What the services wrote of an organization that lived for a while.
pub(crate) static HISTORY: LazyLock<History> = LazyLock::new(History::lived);

/// The records of the three topics that an audit reads, without the offsets that no record has.
#[derive(Clone)]
pub(crate) struct History {
    bootstrap_servers: String,
    pub(crate) organization_id: String,
    pub(crate) raw: Vec<Record>,
    pub(crate) changes: Vec<Record>,
    pub(crate) graph: Vec<Record>,
}

impl History {
    pub(crate) fn lived() -> Self {
        let world = World::start();
        world.round();
        for _ in 0..3 {
            world.anthropic[0].live(ROUND);
            world.run("producer", &["poll"]).expect(0);
            world.run("processor", &["run", "--until-end"]);
        }
        Self {
            bootstrap_servers: world.bootstrap_servers.clone(),
            organization_id: world.anthropic[0].organization_id(),
            raw: world.read(Topic::Raw),
            changes: world.read(Topic::Changes),
            graph: world.read(Topic::Graph),
        }
    }

    /// Writes it under a prefix of its own, and verifies that.
    pub(crate) fn verified(&self) -> Findings {
        let prefix = prefix();
        let raw = in_place(&self.raw);
        let letters = raw.iter().filter(|record| record.value.is_none()).map(letter).collect();
        let topics = [
            (Topic::DeadLetters, &letters, vec![("cleanup.policy", "delete")]),
            (Topic::Raw, &raw, vec![("cleanup.policy", "delete")]),
            (Topic::Changes, &self.changes, vec![("cleanup.policy", "delete"), ("retention.ms", "-1")]),
            (
                Topic::Graph,
                &self.graph,
                vec![
                    ("cleanup.policy", "compact"),
                    ("min.compaction.lag.ms", "3600000"),
                    ("delete.retention.ms", "604800000"),
                ],
            ),
        ];
        for (topic, records, settings) in topics {
            let name = topic.name(&prefix);
            kafka::create_topic(&self.bootstrap_servers, &name, PARTITIONS, &settings);
            kafka::write_all(&self.bootstrap_servers, &name, records);
        }
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("config.toml");
        let text = format!(
            "[kafka]\nbootstrap_servers = \"{}\"\ntopic_prefix = \"{prefix}\"\n[[organizations]]\nname = \
             \"organization-1\"\n",
            self.bootstrap_servers
        );
        std::fs::write(&config, text).expect("a configuration is written");
        let config = config.display().to_string();
        let finished = Service::run("anthropic-graph", ["--config", &config, "verify", "--json"], &[]);
        let findings = Findings::of(&finished);
        finished.expect(i32::from(!findings.violations.is_empty()));
        findings
    }

    /// The newest record of the graph topic that a value of the kind has, and the value.
    pub(crate) fn newest<T>(&mut self, of: impl Fn(GraphValue) -> Option<T>) -> (&mut Record, T) {
        let is_last = |index: usize, graph: &[Record]| {
            graph[index + 1..].iter().all(|later| later.key != graph[index].key)
        };
        let found = (0..self.graph.len()).rev().find_map(|index| {
            let value = GraphValue::decode(self.graph[index].value.as_deref()?).expect("a graph value");
            Some((index, of(value)?)).filter(|_| is_last(index, &self.graph))
        });
        let (index, value) = found.expect("there is such a record");
        (&mut self.graph[index], value)
    }

    pub(crate) fn changes_mut(&mut self) -> impl Iterator<Item = (&mut Record, Envelope)> {
        self.changes.iter_mut().map(|record| {
            let change = decode(record.value.as_deref().expect("a value")).expect("a change");
            (record, change)
        })
    }

    /// Appends a change, and the graph record that would come with it: the last word is the element's.
    pub(crate) fn delete(&mut self, key: &str, reason: Reason, by: Option<&str>, listing_id: Option<&str>) {
        let last: Envelope = decode(self.changes.last().and_then(|it| it.value.as_deref()).expect("a value"))
            .expect("a change");
        let element = self.element(key);
        let mut change = Envelope {
            id: format!("{:032x}", 7),
            op: Op::Delete,
            revision: last.revision + 1,
            kind: if element.is_relationship() { Kind::Relationship } else { Kind::Entity },
            element_key: key.to_owned(),
            element_type: element.kind().to_owned(),
            reason: Some(reason),
            changed: Vec::new(),
            after: None,
            ..last
        };
        change.source.collection.clone_from(&element.collection);
        change.source.decision_by = by.map(str::to_owned);
        change.source.listing_id = listing_id.map(str::to_owned);
        change.before = Some(element);
        let record = self.changes.last().expect("a change").clone();
        let value = Some(encode(&change));
        self.changes.push(Record { key: Some(change.key().into_bytes()), value, ..record });
        let tombstone = self.graph.last().expect("a record").clone();
        self.graph.push(Record { key: Some(change.key().into_bytes()), value: None, ..tombstone });
        self.recount(1, -1);
    }

    /// Moves the coverage of the polls.
    pub(crate) fn recount(&mut self, revisions: i64, elements: i64) {
        let (record, mut coverage) = self.newest(poll);
        let poll = coverage.poll.as_mut().expect("of the polls");
        poll.revision += revisions;
        poll.element_count += elements;
        record.value = Some(encode(&coverage));
    }

    pub(crate) fn element(&self, key: &str) -> Element {
        let key = format!("{}/{key}", self.organization_id);
        let record =
            self.graph.iter().rev().find(|record| record.key_text() == key).expect("such an element");
        decode(record.value.as_deref().expect("a value")).expect("an element")
    }

    /// The key of an element of that type in the graph, on which no relationship rests.
    pub(crate) fn key(&mut self, kind: &str) -> String {
        self.newest(|value| element(value).filter(|element| element.kind() == kind)).1.key
    }

    /// The id of a collection's last whole listing, and the offset of its manifest.
    pub(crate) fn whole(&mut self, collection: &str) -> (String, i64) {
        let of = |value| covers(value).filter(|coverage| coverage.collection == collection);
        let whole = self.newest(of).1.whole.expect("a whole listing");
        (whole.listing_id, whole.raw_offset)
    }
}

/// The records at their offsets, which coverage names: an empty record fills each place where a transaction's marker was.
fn in_place(records: &[Record]) -> Vec<Record> {
    let mut placed: Vec<Record> = Vec::new();
    for record in records {
        let last = placed.last().filter(|last| last.partition == record.partition);
        for offset in last.map_or(0, |last| last.offset + 1)..record.offset {
            placed.push(Record { offset, key: Some(b"nothing".to_vec()), value: None, ..record.clone() });
        }
        placed.push(record.clone());
    }
    placed
}

/// The dead letter of a raw record.
fn letter(record: &Record) -> Record {
    let header =
        |name: &str, value: String| (format!("__anthropic_graph.errors.{name}"), Some(value.into_bytes()));
    let headers =
        vec![header("partition", record.partition.to_string()), header("offset", record.offset.to_string())];
    Record { headers, ..record.clone() }
}

pub(crate) fn element(value: GraphValue) -> Option<Element> {
    if let GraphValue::Element(element) = value { Some(element.decode()) } else { None }
}

pub(crate) fn covers(value: GraphValue) -> Option<Coverage> {
    if let GraphValue::Coverage(coverage) = value { Some(*coverage) } else { None }
}

pub(crate) fn poll(value: GraphValue) -> Option<Coverage> {
    covers(value).filter(|coverage| coverage.poll.is_some())
}
