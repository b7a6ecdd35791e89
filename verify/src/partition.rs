//! One partition of the three topics in memory: for who has the records and no broker.

use service::kafka::partition::Record;

use super::{
    FIRST_RECORDS, audit::Audit, expected_graph::Reach, raw_topic::observed_ts_ms, verdict::Verdict,
};

/// What is in one partition of each topic, in order.
#[derive(Debug, Clone, Default)]
pub struct Partition {
    pub number: i32,
    /// How many there are.
    pub count: i32,
    /// Of the graph topic.
    pub graph: Vec<Record>,
    /// Of the changes topic.
    pub changes: Vec<Record>,
    /// Of the raw topic.
    pub raw: Vec<Record>,
    /// Of the dead letters; `None`: they are not judged.
    pub dead_letters: Option<Vec<Record>>,
    /// Only the organization with this name or ID is verified.
    pub only: Option<String>,
    /// The first offset of the changes topic; above 0, retention has cut what was before.
    pub changes_begin: i64,
    /// The first offset of the raw topic.
    pub raw_begins: i64,
}

impl Partition {
    /// The verdicts, in the order of the organizations' ids.
    pub fn verify(&self) -> Vec<Verdict> {
        let raw = || self.raw.iter().filter(|record| record.offset >= self.raw_begins);
        let times = raw().take(FIRST_RECORDS).filter_map(|record| observed_ts_ms(record.value.as_deref()));
        let since = times.min().filter(|_| self.raw_begins > 0);
        let mut audit = Audit::new(self.number, self.count, self.only.as_deref(), since);
        for record in &self.graph {
            audit.take_graph(key(record), record.value.as_deref(), record.offset);
        }
        audit.end_graph();
        audit.begin_changes(self.changes_begin > 0);
        let changes = || self.changes.iter().filter(|record| record.offset >= self.changes_begin);
        for record in changes() {
            audit.take_change(key(record), record.value.as_deref(), record.offset);
        }
        if audit.end_changes(self.raw_begins > 0) {
            changes().for_each(|it| audit.take_id(key(it), it.value.as_deref(), it.offset));
        }
        if let Some(letters) = &self.dead_letters {
            audit.begin_letters(false);
            for letter in letters {
                audit.take_letter(&letter.headers);
            }
        }
        for record in raw() {
            audit.take_raw(key(record), record.value.as_deref(), record.offset, self.raw_begins > 0);
        }
        let end = self.raw.last().map_or(0, |record| record.offset + 1);
        audit.finish(Reach { beginning: self.raw_begins, end })
    }
}

fn key(record: &Record) -> &[u8] {
    record.key.as_deref().unwrap_or_default()
}
