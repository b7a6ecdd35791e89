//! One partition's audit: its topics' records go in, one verdict for each organization comes out.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    change::Envelope,
    codec::{decode, digest},
    topics::partition,
};

use super::{
    books::Books,
    evidence::{Evidence, Witness},
    known::{Known, Reach},
    licence::Deletions,
    log::Log,
    verdict::{Law, Verdict, Violation},
};

/// Change ids that one pass over the log compares (count): at 24 bytes each with the room of the set, about 100 MB. A log of more
/// changes is read again for each further slice of the ids.
pub(super) const IDS_A_PASS: i64 = 4_000_000;

/// The audit of one partition.
#[derive(Debug)]
pub(super) struct Audit {
    partition: i32,
    partition_count: i32,
    files: BTreeMap<String, File>,
    ids: BTreeSet<u128>,
    witness: Witness,
}

/// What is known of one organization.
#[derive(Debug)]
struct File {
    books: Books,
    log: Log,
    deletions: Deletions,
    known: Known,
    verdict: Verdict,
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
    pub(super) fn new(partition: i32, partition_count: i32) -> Self {
        let (files, ids, witness) = (BTreeMap::new(), BTreeSet::new(), Witness::default());
        Self { partition, partition_count, files, ids, witness }
    }

    /// Takes the next record of the graph topic.
    pub(super) fn take_graph(&mut self, key: &[u8], value: Option<&[u8]>, offset: i64) {
        let key = String::from_utf8_lossy(key).into_owned();
        let (organization_id, rest) = key.split_once('/').unwrap_or(("", &key));
        let file = self.file(organization_id);
        file.books.enter(rest, value, offset, &mut file.verdict);
    }

    /// Forgets every organization of another name; whether any is left.
    pub(super) fn keep_only(&mut self, name: &str) -> bool {
        self.files.retain(|_, file| file.books.name == name);
        !self.files.is_empty()
    }

    /// Whether the graph topic knows of no organization.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Takes the next record of the changes topic, of which `is_cut` says whether retention has cut its beginning.
    pub(super) fn take_change(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        offset: i64,
        is_cut: bool,
        slice: Slice,
    ) {
        let key = String::from_utf8_lossy(key);
        let (organization_id, _) = key.split_once('/').unwrap_or(("", &key));
        let Some(file) = self.files.get_mut(organization_id) else { return };
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
            if !file.log.take(&change, offset, revision, is_cut, &mut file.verdict) {
                return;
            }
            file.deletions.note(&change, is_cut);
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

    /// Begins another pass over the log.
    pub(super) fn forget_ids(&mut self) {
        self.ids.clear();
    }

    /// Takes the next record of the raw topic.
    pub(super) fn take_raw(&mut self, key: &[u8], value: Option<&[u8]>, offset: i64, is_cut: bool) {
        let key = String::from_utf8_lossy(key);
        let Some((organization_id, evidence)) = self.witness.take(&key, value, offset, is_cut) else {
            return;
        };
        let Some(File { books, deletions, known, verdict, .. }) = self.files.get_mut(&organization_id) else {
            return;
        };
        match evidence {
            Evidence::Listing(listing) => {
                deletions.begin(listing.manifest.ended_ts_ms);
                let born = deletions.take_born(&listing.id);
                let partial = known.take(&listing, offset, born, books, verdict);
                deletions.take_listing(&listing, offset, partial.as_deref());
            }
            Evidence::Mark => known.take_mark(offset, books),
            Evidence::Decision(decision) => {
                deletions.begin(decision.decided_ts_ms);
                if decision.kind == "forget" {
                    known.forget(offset);
                }
                deletions.take_decision(&decision);
            }
        }
    }

    /// The verdicts, in the order of the organizations' ids.
    pub(super) fn finish(self, reach: Reach) -> Vec<Verdict> {
        let (number, count) = (self.partition, self.partition_count);
        let finish = |(organization_id, file): (String, File)| {
            let File { books, log, deletions, known, mut verdict } = file;
            verdict.organization_name.clone_from(&books.name);
            let place = partition(&organization_id, count);
            verdict.hold(Law::Coverage, place == number, || {
                Violation::new(&organization_id, format!("partition {place}"), format!("partition {number}"))
            });
            books.judge(count, &mut verdict);
            log.judge(&books, &mut verdict);
            known.judge(&books, reach, &mut verdict);
            deletions.judge(reach, &mut verdict);
            verdict
        };
        self.files.into_iter().map(finish).collect()
    }

    fn file(&mut self, organization_id: &str) -> &mut File {
        self.files.entry(organization_id.to_owned()).or_insert_with(|| File {
            books: Books::default(),
            log: Log::default(),
            deletions: Deletions::default(),
            known: Known::default(),
            verdict: Verdict::new(organization_id),
        })
    }
}

/// An id as a number; one that is no hexadecimal number is digested first.
fn number(id: &str) -> u128 {
    u128::from_str_radix(id, 16).unwrap_or_else(|_| {
        u128::from_str_radix(&digest([id.as_bytes()]), 16).expect("a digest is hexadecimal")
    })
}
