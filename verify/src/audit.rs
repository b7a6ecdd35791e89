//! One partition's audit: its topics' records go in, one verdict for each organization comes out.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{encoded::EncodedChange, graph_value::GraphValue, topics::partition};
use service::config::is_asked_for;

use super::{
    change_ids::ChangeIds,
    coverage_check::horizon,
    dead_letters::DeadLetters,
    deletions::CLOCKS,
    expected_graph::Reach,
    organization::{self, Organization, Scene},
    raw_topic::{Evidence, Witness},
    verdict::{Law, Verdict, Violation},
};

/// What the key of a partition's barrier has in the place of an element's.
const BARRIER: &str = "barrier";

/// The audit of one partition.
#[derive(Debug)]
pub(super) struct Audit {
    partition: i32,
    partition_count: i32,
    files: BTreeMap<String, Organization>,
    ids: ChangeIds,
    letters: DeadLetters,
    witness: Witness,
    /// Only the organization with this name or ID is audited.
    only: Option<String>,
    /// IDs of the others, which the graph topic knows.
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

impl Audit {
    /// Of all organizations, or of the one with that name or ID.
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
            ids: ChangeIds::default(),
            letters: DeadLetters::default(),
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
        let key = String::from_utf8_lossy(key);
        let (organization_id, rest) = key.split_once('/').unwrap_or(("", &key));
        // The partition's writer marks with it how far it has to read; it says nothing of an organization.
        if rest == BARRIER && value.is_none() {
            return;
        }
        let file = self.file(organization_id);
        file.graph_topic.enter(rest, value, offset, &mut file.verdict);
    }

    /// The graph topic was read to its end: what follows is of what it knows.
    pub(super) fn end_graph(&mut self) {
        let only = self.only.as_deref();
        let is_other =
            |id: &String, file: &mut Organization| !is_asked_for(only, &file.graph_topic.name, Some(id));
        self.others =
            self.files.extract_if(.., is_other).map(|(organization_id, _)| organization_id).collect();
        for file in self.files.values_mut() {
            file.proposals.ask_for_holds(&file.graph_topic);
        }
    }

    /// Whether nothing is known of any organization that is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.unknown.is_empty()
    }

    /// Begins to read the changes topic, of which `is_cut` says whether retention has cut its beginning.
    pub(super) fn begin_changes(&mut self, is_cut: bool) {
        self.is_log_cut = is_cut;
    }

    /// Takes the next record of the changes topic.
    pub(super) fn take_change(&mut self, key: &[u8], value: Option<&[u8]>, offset: i64) {
        let key = String::from_utf8_lossy(key);
        let (organization_id, _) = key.split_once('/').unwrap_or(("", &key));
        let Some(file) = self.files.get_mut(organization_id) else {
            return self.take_unknown(organization_id, value);
        };
        let change = match EncodedChange::read(value.unwrap_or_default()).map(EncodedChange::into_owned) {
            Ok(change) if change.envelope.key() == key => change,
            Ok(change) => {
                let found = format!("that of {}", change.envelope.key());
                let violation =
                    Violation::new(&key, "the change that the key names", found).at_offset(offset);
                return file.verdict.judge(Law::Fold, Err(violation));
            }
            Err(error) => {
                let violation = Violation::new(&key, "a change", error.to_string()).at_offset(offset);
                return file.verdict.judge(Law::Fold, Err(violation));
            }
        };
        // The raw topic no longer has what is so old.
        let is_lost =
            self.raw_since.is_some_and(|since| change.envelope.ts_ms < since.saturating_sub(CLOCKS));
        let id = ChangeIds::number(&change.envelope.id);
        if file.take_change(change, offset, self.is_log_cut, is_lost) {
            self.ids.take(id);
            file.verdict.judge(Law::ChangeIds, Ok(()));
        }
    }

    /// The changes topic was read; whether its ids have to be read once more. `is_raw_cut`: retention has cut the
    /// beginning of raw.
    pub(super) fn end_changes(&mut self, is_raw_cut: bool) -> bool {
        let is_log_cut = self.is_log_cut;
        for file in self.files.values_mut() {
            let is_whole = !is_raw_cut && !file.log.is_cut(is_log_cut);
            file.history.begin(is_whole);
        }
        self.ids.are_suspect()
    }

    /// Takes the next record of the changes topic again.
    pub(super) fn take_id(&mut self, key: &[u8], value: Option<&[u8]>, offset: i64) {
        let key = String::from_utf8_lossy(key);
        let (organization_id, _) = key.split_once('/').unwrap_or(("", &key));
        let Some(file) = self.files.get_mut(organization_id) else { return };
        let Ok(EncodedChange { envelope: change, .. }) = EncodedChange::read(value.unwrap_or_default())
        else {
            return;
        };
        if change.key() == key
            && change.revision <= file.graph_topic.revision()
            && self.ids.is_repeated(ChangeIds::number(&change.id))
        {
            let violation = Violation::new(&change.id, "an id of one change", "an earlier change has it");
            let violation = violation.at_revision(change.revision).at_offset(offset);
            file.verdict.judge(Law::ChangeIds, Err(violation));
        }
    }

    /// Begins to read the dead letters, of which `is_cut` says whether retention has cut their beginning.
    pub(super) fn begin_letters(&mut self, is_cut: bool) {
        self.letters.begin(is_cut);
    }

    /// Takes the headers of the next dead letter.
    pub(super) fn take_letter(&mut self, headers: &[(String, Option<Vec<u8>>)]) {
        self.letters.take(headers, self.partition);
    }

    /// A change of an organization of which the graph topic knew nothing.
    fn take_unknown(&mut self, organization_id: &str, value: Option<&[u8]>) {
        if self.others.contains(organization_id) {
            return;
        }
        let Ok(EncodedChange { envelope: change, .. }) = EncodedChange::read(value.unwrap_or_default())
        else {
            return;
        };
        if is_asked_for(self.only.as_deref(), &change.source.name, Some(organization_id)) {
            let head = self.unknown.entry(organization_id.to_owned()).or_default();
            head.revision = head.revision.max(change.revision);
            head.name = change.source.name.into_owned();
        }
    }

    /// Takes a record that was after the graph topic's end when that was first read. What the changes have, it has:
    /// one transaction writes both.
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
        let graph = |id: &str| self.files.get(id).map(|file| &file.graph_topic.elements);
        let Some((organization_id, evidence)) = self.witness.take(&key, value, offset, is_cut, graph) else {
            return;
        };
        if matches!(evidence, Evidence::Unusable) {
            return self.letters.ask(&key, offset);
        }
        if let Some(file) = self.files.get_mut(&organization_id) {
            file.take_evidence(evidence, Scene { offset, is_cut, is_log_cut: self.is_log_cut });
        }
    }

    /// The verdicts, in the order of the organizations' ids.
    pub(super) fn finish(mut self, reach: Reach) -> Vec<Verdict> {
        let (number, count, is_log_cut) = (self.partition, self.partition_count, self.is_log_cut);
        // Of the partition: an unreadable record may be of any organization.
        let read = self.files.values().map(|file| horizon(&file.graph_topic)).max().unwrap_or(-1);
        if let Some(file) = self.files.values_mut().next() {
            self.letters.judge(read, &mut file.verdict);
        }
        let finish = |(organization_id, file): (String, Organization)| {
            let mut verdict = file.finish(count, is_log_cut, reach);
            judge_place(&organization_id, number, count, &mut verdict);
            (organization_id, verdict)
        };
        let unknown = self.unknown.into_iter().map(|(organization_id, head)| {
            let mut verdict = Verdict::new(&organization_id);
            verdict.organization_name = head.name;
            judge_place(&organization_id, number, count, &mut verdict);
            organization::judge_head(head.revision, 0, &mut verdict);
            (organization_id, verdict)
        });
        let verdicts: BTreeMap<String, Verdict> = self.files.into_iter().map(finish).chain(unknown).collect();
        verdicts.into_values().collect()
    }

    fn file(&mut self, organization_id: &str) -> &mut Organization {
        if !self.files.contains_key(organization_id) {
            self.files.insert(organization_id.to_owned(), Organization::new(organization_id));
        }
        self.files.get_mut(organization_id).expect("it was inserted")
    }
}

fn judge_place(organization_id: &str, number: i32, count: i32, verdict: &mut Verdict) {
    let place = partition(organization_id, count);
    verdict.hold(Law::Coverage, place == number, || {
        Violation::new(organization_id, format!("partition {place}"), format!("partition {number}"))
    });
}
