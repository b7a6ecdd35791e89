//! Each kind of corruption is found, and named by its law.

use std::sync::LazyLock;

use schemas::{
    change::{Envelope, op, reason},
    codec::{GraphValue, decode, encode},
    coverage::{Coverage, Withheld},
    element::Element,
    raw::RawRecord,
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
static HISTORY: LazyLock<History> = LazyLock::new(History::lived);

/// The records of the three topics that an audit reads, without the offsets that no record has.
#[derive(Clone)]
struct History {
    bootstrap_servers: String,
    organization_id: String,
    raw: Vec<Record>,
    changes: Vec<Record>,
    graph: Vec<Record>,
}

impl History {
    fn lived() -> Self {
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
    fn verified(&self) -> Findings {
        let prefix = prefix();
        let topics = [
            (Topic::Raw, &self.raw, vec![("cleanup.policy", "delete")]),
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
            match topic {
                Topic::Raw => kafka::write_all(&self.bootstrap_servers, &name, &in_place(records)),
                _ => kafka::write_all(&self.bootstrap_servers, &name, records),
            }
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
        let finished = Service::run("processor", ["--config", &config, "verify", "--json"], &[]);
        let findings = Findings::of(&finished);
        finished.expect(i32::from(!findings.violations.is_empty()));
        findings
    }

    /// The newest record of the graph topic that a value of the kind has, and the value.
    fn newest<T>(&mut self, of: impl Fn(GraphValue) -> Option<T>) -> (&mut Record, T) {
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

    fn changes_mut(&mut self) -> impl Iterator<Item = (&mut Record, Envelope)> {
        self.changes.iter_mut().map(|record| {
            let change = decode(record.value.as_deref().expect("a value")).expect("a change");
            (record, change)
        })
    }

    /// Appends a change, and the graph record that would come with it: the last word is the element's.
    fn delete(&mut self, key: &str, reason: &str, by: Option<&str>, listing_id: Option<&str>) {
        let last: Envelope = decode(self.changes.last().and_then(|it| it.value.as_deref()).expect("a value"))
            .expect("a change");
        let element = self.element(key);
        let mut change = Envelope {
            id: format!("{:032x}", 7),
            op: op::DELETE.to_owned(),
            revision: last.revision + 1,
            kind: if element.is_relationship() { "relationship" } else { "entity" }.to_owned(),
            element_key: key.to_owned(),
            element_type: element.kind.clone(),
            reason: Some(reason.to_owned()),
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
    fn recount(&mut self, revisions: i64, elements: i64) {
        let (record, mut coverage) = self.newest(poll);
        let poll = coverage.poll.as_mut().expect("of the polls");
        poll.revision += revisions;
        poll.element_count += elements;
        record.value = Some(encode(&coverage));
    }

    fn element(&self, key: &str) -> Element {
        let key = format!("{}/{key}", self.organization_id);
        let record =
            self.graph.iter().rev().find(|record| record.key_text() == key).expect("such an element");
        decode(record.value.as_deref().expect("a value")).expect("an element")
    }

    /// The key of an element of that type in the graph, on which no relationship rests.
    fn key(&mut self, kind: &str) -> String {
        self.newest(|value| element(value).filter(|element| element.kind == kind)).1.key
    }

    /// The id of a collection's last whole listing, and the offset of its manifest.
    fn whole(&mut self, collection: &str) -> (String, i64) {
        let of = |value| covers(value).filter(|coverage| coverage.collection == collection);
        let whole = self.newest(of).1.whole.expect("a whole listing");
        (whole.listing_id, whole.raw_offset)
    }
}

/// The records with one that tells nothing in each place without a record (a transaction's marker was there): coverage
/// names offsets.
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

fn element(value: GraphValue) -> Option<Element> {
    if let GraphValue::Element(element) = value { Some(*element) } else { None }
}

fn covers(value: GraphValue) -> Option<Coverage> {
    if let GraphValue::Coverage(coverage) = value { Some(*coverage) } else { None }
}

fn poll(value: GraphValue) -> Option<Coverage> {
    covers(value).filter(|coverage| coverage.poll.is_some())
}

/// A relationship that nothing rests on.
const HAS_USER: &str = "anthropic_account_has_user";
const ASSIGNED: &str = "anthropic_user_assigned_workspace";

/// The laws that the corruption violates.
#[track_caller]
fn finds(laws: &[&str], corrupt: impl FnOnce(&mut History)) {
    let mut history = HISTORY.clone();
    corrupt(&mut history);
    let findings = history.verified();
    let violated: Vec<&str> = findings.violated.keys().map(String::as_str).collect();
    assert_eq!(violated, laws, "{}", findings.violations.join("\n"));
}

#[test]
fn a_copy_without_a_corruption_is_good() {
    finds(&[], |_| {});
}

#[test]
fn a_changed_column() {
    finds(&["fold", "mapping"], |history| {
        let (record, mut user) = history.newest(|value| element(value).filter(|it| it.user.is_some()));
        user.user.as_mut().expect("a user").role = Some("emperor".to_owned());
        record.value = Some(encode(&user));
    });
}

#[test]
fn a_missing_element() {
    finds(&["coverage", "fold", "mapping"], |history| {
        let key = history.key(HAS_USER);
        let key = format!("{}/{key}", history.organization_id);
        history.graph.retain(|record| record.key_text() != key);
    });
}

#[test]
fn an_element_that_nothing_tells_of() {
    finds(&["coverage", "fold", "mapping"], |history| {
        let (record, mut user) = history.newest(|value| element(value).filter(|it| it.user.is_some()));
        user.key += "-and-another";
        let key = format!("{}/{}", user.organization_id, user.key);
        let record = Record { key: Some(key.into_bytes()), value: Some(encode(&user)), ..record.clone() };
        history.graph.push(record);
    });
}

#[test]
fn a_wrong_image_before() {
    finds(&["before-images"], |history| {
        let (record, mut change) =
            history.changes_mut().filter(|(_, change)| change.op == op::UPDATE).last().expect("an update");
        change.before.as_mut().expect("an image").display_name += ", once";
        record.value = Some(encode(&change));
    });
}

#[test]
fn a_gap_in_the_revisions() {
    finds(&["revisions"], |history| {
        let count = history.changes.len();
        for (record, mut change) in history.changes_mut().skip(count / 2) {
            change.revision += 1;
            record.value = Some(encode(&change));
        }
        history.recount(1, 0);
    });
}

#[test]
fn a_repeated_id() {
    finds(&["change-ids"], |history| {
        let first = history.changes_mut().next().expect("a change").1.id;
        let (record, mut change) = history.changes_mut().last().expect("a change");
        change.id = first;
        record.value = Some(encode(&change));
    });
}

#[test]
fn a_deletion_without_a_manifest() {
    finds(&["licence", "mapping"], |history| {
        let key = history.key(ASSIGNED);
        history.delete(&key, reason::ABSENT, None, Some("no-such-listing"));
    });
}

#[test]
fn a_deletion_by_a_listing_that_has_the_element() {
    finds(&["licence", "mapping"], |history| {
        let key = history.key(HAS_USER);
        let (listing_id, _) = history.whole("users");
        history.delete(&key, reason::ABSENT, None, Some(&listing_id));
    });
}

#[test]
fn a_deletion_under_a_partial_listing() {
    finds(&["coverage", "licence", "mapping"], |history| {
        let deletion = history
            .changes_mut()
            .map(|(_, change)| change)
            .filter(|change| change.op == op::DELETE && change.reason.as_deref() == Some(reason::ABSENT));
        let listing_id = deletion.last().expect("a deletion").source.listing_id.expect("a listing");
        // Its manifest counts one more than there are.
        for record in &mut history.raw {
            let mut raw: RawRecord = decode(record.value.as_deref().expect("a value")).expect("a raw record");
            if raw.listing_id.as_ref() == Some(&listing_id)
                && let Some(manifest) = &mut raw.manifest
            {
                manifest.count += 1;
                record.value = Some(encode(&raw));
            }
        }
    });
}

#[test]
fn a_relationship_without_an_end() {
    finds(&["ends", "licence", "mapping"], |history| {
        let key = history.key("anthropic_user");
        let (listing_id, _) = history.whole("users");
        history.delete(&key, reason::ABSENT, None, Some(&listing_id));
    });
}

#[test]
fn a_withheld_relationship_that_has_both_ends() {
    finds(&["ends", "mapping"], |history| {
        let key = history.key(ASSIGNED);
        let mut element = history.element(&key);
        let other = element.to_key.take().expect("an end");
        element.key = format!("{}|knows|{other}", element.from_key.as_deref().expect("an end"));
        element.to_key = Some(other);
        let (organization_id, missing) = (element.organization_id.clone(), Vec::new());
        let key = format!("{organization_id}/withheld/{}", element.key);
        let value = Some(encode(&Withheld { organization_id, element, missing }));
        let record = history.graph.last().expect("a record").clone();
        history.graph.push(Record { key: Some(key.into_bytes()), value, ..record });
    });
}

#[test]
fn a_graph_without_any_record() {
    finds(&["fold"], |history| history.graph.clear());
}

#[test]
fn a_change_that_the_graph_never_got() {
    finds(&["fold"], |history| {
        let last = history.changes.last().expect("a change").clone();
        let mut change: Envelope = decode(last.value.as_deref().expect("a value")).expect("a change");
        change.revision += 1;
        change.id = format!("{:032x}", 7);
        history.changes.push(Record { value: Some(encode(&change)), ..last });
    });
}

#[test]
fn an_element_count_that_is_off() {
    finds(&["coverage"], |history| history.recount(0, 1));
}

#[test]
fn a_coverage_whose_offset_is_off() {
    finds(&["coverage"], |history| {
        let of = |value| covers(value).filter(|coverage| coverage.collection == "users");
        let (record, mut coverage) = history.newest(of);
        coverage.whole.as_mut().expect("a whole listing").raw_offset += 1;
        record.value = Some(encode(&coverage));
    });
}

#[test]
fn a_wrong_partition() {
    finds(&["coverage"], |history| {
        let all = [&mut history.raw, &mut history.changes, &mut history.graph];
        for record in all.into_iter().flatten() {
            record.partition = (record.partition + 1) % PARTITIONS;
        }
    });
}

#[test]
fn an_approved_deletion_that_nobody_approved() {
    finds(&["licence", "mapping"], |history| {
        let key = history.key(ASSIGNED);
        history.delete(&key, reason::APPROVED, Some("nobody"), None);
    });
}

#[test]
fn an_end_s_deletion_that_never_was() {
    finds(&["licence", "mapping"], |history| {
        let key = history.key(ASSIGNED);
        let (listing_id, _) = history.whole("users");
        history.delete(&key, reason::END_DELETED, None, Some(&listing_id));
    });
}
