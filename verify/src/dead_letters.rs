//! The dead letters: each raw record that cannot be used has one.

use std::collections::BTreeSet;

use super::verdict::{Law, Verdict, Violation};

const PARTITION: &str = "__anthropic_graph.errors.partition";
const OFFSET: &str = "__anthropic_graph.errors.offset";

/// Those of one partition.
#[derive(Debug, Default)]
pub(super) struct DeadLetters {
    /// Offsets of the raw records that have one: 8 bytes for each.
    offsets: BTreeSet<i64>,
    is_known: bool,
    /// Retention has cut their beginning.
    is_cut: bool,
    /// Offsets and keys of raw records without one.
    missing: Vec<(i64, String)>,
    /// Raw records that cannot be used (count).
    unusable: usize,
}

impl DeadLetters {
    /// Begins to read them.
    pub(super) fn begin(&mut self, is_cut: bool) {
        (self.is_known, self.is_cut) = (true, is_cut);
    }

    /// Takes the headers of the next one, of a record of that partition.
    pub(super) fn take(&mut self, headers: &[(String, Option<Vec<u8>>)], partition: i32) {
        let number = |name: &str| -> Option<i64> {
            let (_, value) = headers.iter().find(|(header, _)| header == name)?;
            std::str::from_utf8(value.as_deref()?).ok()?.parse().ok()
        };
        if number(PARTITION) == Some(partition.into()) {
            self.offsets.extend(number(OFFSET));
        }
    }

    /// Takes a raw record that cannot be used.
    pub(super) fn ask(&mut self, key: &str, offset: i64) {
        self.unusable += 1;
        if !self.offsets.contains(&offset) {
            self.missing.push((offset, key.to_owned()));
        }
    }

    /// Judges those up to which the graph has read raw.
    pub(super) fn judge(self, horizon: i64, verdict: &mut Verdict) {
        if !self.is_known {
            return;
        }
        let oldest = self.offsets.first().copied().unwrap_or(i64::MAX);
        let read = self.unusable - self.missing.len();
        (0..read).for_each(|_| verdict.judge(Law::DeadLetters, Ok(())));
        for (offset, key) in self.missing.iter().filter(|(offset, _)| *offset <= horizon) {
            if self.is_cut && *offset < oldest {
                verdict.give_up(Law::DeadLetters, 1);
                continue;
            }
            let expected = "a dead letter of a raw record that cannot be used";
            verdict.judge(Law::DeadLetters, Err(Violation::new(key, expected, "none").at_offset(*offset)));
        }
    }
}
