//! One partition's audit: its topics' records go in, one verdict for each organization comes out.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    change::Envelope,
    codec::{GraphValue, decode, digest},
    raw::decision,
    topics::partition,
};

use super::{
    books::Books,
    evidence::{Evidence, Witness},
    known::{Known, Reach},
    licence::Deletions,
    log::Log,
    proposals::Proposals,
    verdict::{Law, Verdict, Violation},
};

/// Change ids that one pass over the log compares (count): at 24 bytes each with the room of the set, about 100 MB. A log of more
/// changes is read again for each further slice of the ids.
pub(super) const IDS_A_PASS: i64 = 4_000_000;

/// What the key of a partition's barrier has in the place of an element's.
const BARRIER: &str = "barrier";

/// The audit of one partition.
#[derive(Debug)]
pub(super) struct Audit {
    partition: i32,
    partition_count: i32,
    files: BTreeMap<String, File>,
    ids: BTreeSet<u128>,
    witness: Witness,
    /// Only the organization of this name is audited.
    only: Option<String>,
    /// Ids of the others: the graph topic knows them by other names.
    others: BTreeSet<String>,
    /// Changes are there, and the graph topic knows nothing of the organization.
    unknown: BTreeMap<String, Head>,
    /// Retention has cut the beginning of the log.
    is_log_cut: bool,
    /// When the first raw record was observed, if retention has cut what was before it (ms since 1970).
    raw_since: Option<i64>,
}

/// The newest change of an organization, however far the graph had come when it was first read.
#[derive(Debug, Default)]
struct Head {
    name: String,
    revision: i64,
}

/// What is known of one organization.
#[derive(Debug)]
struct File {
    books: Books,
    log: Log,
    deletions: Deletions,
    proposals: Proposals,
    known: Known,
    verdict: Verdict,
    /// Of the newest change, and of the graph when it was read on behind the changes.
    newest: i64,
    caught_up: i64,
}

/// Which of the ids a pass over the log compares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slice {
    /// From 0.
    pub(super) number: u128,
    /// How many there are.
    pub(super) count: u128,
}

impl Audit {
    /// Of all organizations, or of the one of that name.
    /// `raw_since`: when the first raw record was observed, if what was before it is cut off (ms since 1970).
    pub(super) fn new(
        partition: i32,
        partition_count: i32,
        only: Option<&str>,
        raw_since: Option<i64>,
    ) -> Self {
        Self {
            partition,
            partition_count,
            files: BTreeMap::new(),
            ids: BTreeSet::new(),
            witness: Witness::default(),
            only: only.map(str::to_owned),
            others: BTreeSet::new(),
            unknown: BTreeMap::new(),
            is_log_cut: false,
            raw_since,
        }
    }

    /// Takes the next record of the graph topic.
    pub(super) fn take_graph(&mut self, key: &[u8], value: Option<&[u8]>, offset: i64) {
        let key = String::from_utf8_lossy(key).into_owned();
        let (organization_id, rest) = key.split_once('/').unwrap_or(("", &key));
        // The partition's writer marks with it how far it has to read; it says nothing of an organization.
        if rest == BARRIER && value.is_none() {
            return;
        }
        let file = self.file(organization_id);
        file.books.enter(rest, value, offset, &mut file.verdict);
    }

    /// The graph topic was read to its end: what follows is of what it knows.
    pub(super) fn end_graph(&mut self) {
        if let Some(name) = &self.only {
            let others = self.files.extract_if(.., |_, file| file.books.name != *name);
            self.others = others.map(|(organization_id, _)| organization_id).collect();
        }
        for file in self.files.values_mut() {
            file.proposals.ask_for_holds(&file.books);
        }
    }

    /// Whether nothing is known of any organization that is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.unknown.is_empty()
    }

    /// Begins to read the changes topic, of which `is_cut` says whether retention has cut its beginning.
    pub(super) fn begin_changes(&mut self, is_cut: bool) {
        self.ids.clear();
        self.is_log_cut = is_cut;
    }

    /// Takes the next record of the changes topic.
    pub(super) fn take_change(&mut self, key: &[u8], value: Option<&[u8]>, offset: i64, slice: Slice) {
        let key = String::from_utf8_lossy(key);
        let (organization_id, _) = key.split_once('/').unwrap_or(("", &key));
        let is_cut = self.is_log_cut;
        let Some(file) = self.files.get_mut(organization_id) else {
            return self.take_unknown(organization_id, value);
        };
        let change = match decode::<Envelope>(value.unwrap_or_default()) {
            Ok(change) if change.key() == key => change,
            Ok(change) => {
                let found = format!("that of {}", change.key());
                let violation =
                    Violation::new(&key, "the change that the key names", found).at_offset(offset);
                return file.verdict.judge(Law::Fold, Err(violation));
            }
            Err(error) => {
                let violation = Violation::new(&key, "a change", error.to_string()).at_offset(offset);
                return file.verdict.judge(Law::Fold, Err(violation));
            }
        };
        if slice.number == 0 {
            let revision = file.books.revision();
            file.newest = file.newest.max(change.revision);
            if !file.log.take(&change, offset, revision, is_cut, &mut file.verdict) {
                return;
            }
            file.deletions.note(&change, self.raw_since, &mut file.proposals);
        }
        if change.revision > file.books.revision() {
            return;
        }
        let id = number(&change.id);
        if id % slice.count == slice.number {
            let is_new = self.ids.insert(id);
            file.verdict.hold(Law::ChangeIds, is_new, || {
                let violation = Violation::new(&change.id, "an id of one change", "an earlier change has it");
                violation.at_revision(change.revision).at_offset(offset)
            });
        }
    }

    /// A change of an organization of which the graph topic knew nothing.
    fn take_unknown(&mut self, organization_id: &str, value: Option<&[u8]>) {
        if self.others.contains(organization_id) {
            return;
        }
        let Ok(change) = decode::<Envelope>(value.unwrap_or_default()) else { return };
        if self.only.as_ref().is_none_or(|name| *name == change.source.name) {
            let head = self.unknown.entry(organization_id.to_owned()).or_default();
            head.revision = head.revision.max(change.revision);
            head.name = change.source.name;
        }
    }

    /// Takes a record that was behind the graph topic's end when that was first read. What the changes have, it has: one
    /// transaction writes both.
    pub(super) fn take_later_graph(&mut self, key: &[u8], value: Option<&[u8]>) {
        let key = String::from_utf8_lossy(key);
        let Some(organization_id) = key.strip_suffix("/coverage/poll") else { return };
        let Some(Ok(GraphValue::Coverage(coverage))) = value.map(GraphValue::decode) else { return };
        let revision = coverage.poll.map_or(0, |poll| poll.revision);
        if let Some(file) = self.files.get_mut(organization_id) {
            file.caught_up = file.caught_up.max(revision);
        } else if self.unknown.get(organization_id).is_some_and(|head| head.revision <= revision) {
            // It has begun since.
            self.unknown.remove(organization_id);
        }
    }

    /// Takes the next record of the raw topic.
    pub(super) fn take_raw(&mut self, key: &[u8], value: Option<&[u8]>, offset: i64, is_cut: bool) {
        let key = String::from_utf8_lossy(key);
        let Some((organization_id, evidence)) = self.witness.take(&key, value, offset, is_cut) else {
            return;
        };
        let Some(file) = self.files.get_mut(&organization_id) else { return };
        let File { books, log, deletions, proposals, known, verdict, .. } = file;
        match evidence {
            Evidence::Listing(listing) => {
                deletions.begin(listing.manifest.ended_ts_ms);
                let born = deletions.take_born(&listing.id);
                let partial = known.take(&listing, offset, born, books, verdict);
                deletions.take_listing(&listing, partial.as_deref(), log.is_cut(self.is_log_cut));
                proposals.take_listing(&listing, offset, partial.as_deref());
            }
            Evidence::Mark(mark) => known.take_mark(&mark, offset, books),
            Evidence::Decision(decision) => {
                deletions.begin(decision.decided_ts_ms);
                let is_whole = decision.collection.is_none() && decision.element_key.is_none();
                // An organization is forgotten as a whole: naming a part of it decides nothing.
                if decision.kind == decision::FORGET && is_whole {
                    known.forget(offset);
                }
                deletions.take_decision(&decision, proposals, is_cut);
                proposals.take_decision(&decision, offset, books);
            }
        }
    }

    /// The verdicts, in the order of the organizations' ids.
    pub(super) fn finish(self, reach: Reach) -> Vec<Verdict> {
        let (number, count, is_log_cut) = (self.partition, self.partition_count, self.is_log_cut);
        let finish = |(organization_id, file): (String, File)| {
            let File { books, log, deletions, proposals, known, mut verdict, newest, caught_up } = file;
            verdict.organization_name.clone_from(&books.name);
            judge_place(&organization_id, number, count, &mut verdict);
            judge_head(newest, caught_up.max(books.revision()), &mut verdict);
            books.judge(count, &mut verdict);
            log.judge(&books, is_log_cut, &mut verdict);
            known.judge(&books, reach, log.is_cut(is_log_cut), &mut verdict);
            deletions.judge(reach, &mut verdict);
            proposals.judge(&books, reach, &mut verdict);
            (organization_id, verdict)
        };
        let unknown = self.unknown.into_iter().map(|(organization_id, head)| {
            let mut verdict = Verdict::new(&organization_id);
            verdict.organization_name = head.name;
            judge_place(&organization_id, number, count, &mut verdict);
            judge_head(head.revision, 0, &mut verdict);
            (organization_id, verdict)
        });
        let verdicts: BTreeMap<String, Verdict> = self.files.into_iter().map(finish).chain(unknown).collect();
        verdicts.into_values().collect()
    }

    fn file(&mut self, organization_id: &str) -> &mut File {
        self.files.entry(organization_id.to_owned()).or_insert_with(|| File {
            books: Books::default(),
            log: Log::default(),
            deletions: Deletions::default(),
            proposals: Proposals::default(),
            known: Known::default(),
            verdict: Verdict::new(organization_id),
            newest: 0,
            caught_up: 0,
        })
    }
}

fn judge_place(organization_id: &str, number: i32, count: i32, verdict: &mut Verdict) {
    let place = partition(organization_id, count);
    verdict.hold(Law::Coverage, place == number, || {
        Violation::new(organization_id, format!("partition {place}"), format!("partition {number}"))
    });
}

/// The graph, read on behind the changes, has come as far as they had.
fn judge_head(newest: i64, graph: i64, verdict: &mut Verdict) {
    verdict.hold(Law::Fold, graph >= newest, || {
        let expected = format!("revision {newest} of the graph, as the log has");
        Violation::new("poll", expected, format!("revision {graph}")).at_revision(newest)
    });
}

/// An id as a number; one that is no hexadecimal number is digested first.
fn number(id: &str) -> u128 {
    u128::from_str_radix(id, 16).unwrap_or_else(|_| {
        u128::from_str_radix(&digest([id.as_bytes()]), 16).expect("a digest is hexadecimal")
    })
}
