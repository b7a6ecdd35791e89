//! A partition's task as the processor's, with topics in memory and crashes wherever one can happen.

use std::{borrow::Cow, collections::BTreeSet};

use graph::{
    change::Change,
    listing::{Assembler, Unit},
    partition_state::PartitionState,
};
use processor::{
    batch::{Batch, Origin, Output, Refusal},
    pipeline::Pipeline,
};
use rdkafka::message::Headers as _;
use schemas::{change::Envelope, topics::Topic};
use service::traces::Span;

use crate::{
    laws,
    script::{Entry, Happening, Script},
};

/// What happens to a task in addition to the records that it reads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// It takes so many records.
    Take(u8),
    /// It commits what is whole: within an open listing, what was whole before it.
    Commit,
    /// It is killed: nothing uncommitted is left. Its successor finds a graph topic that was compacted by this seed.
    Crash(u32),
    /// It is killed, and what was committed of raw is read once more, from so many records before on: its group's
    /// offsets were lost, or set back by hand.
    Rewind(u32, u8),
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Topics {
    pub(crate) changes: Vec<(String, Vec<u8>)>,
    pub(crate) graph: Vec<(String, Option<Vec<u8>>)>,
    /// Keys of the raw records in the dead letters, and their offsets.
    pub(crate) dead_letters: Vec<(String, String)>,
    next_offset: i64,
}

impl Topics {
    /// What the processor writes that nothing ever happens to.
    pub(crate) fn of_the_processor(script: &Script) -> Self {
        let mut topics = Self::default();
        let mut pipeline = Pipeline::new("raw".to_owned(), 0, PartitionState::new(0, 1));
        for entry in &script.entries {
            pipeline.take(entry.as_record().as_message());
            topics.take(&mut pipeline);
        }
        pipeline.drop_open(script.end());
        topics.take(&mut pipeline);
        topics
    }

    fn take(&mut self, pipeline: &mut Pipeline) {
        if let Some(batch) = pipeline.take_batch() {
            let next_offset = batch.next_offset().expect("a batch that is taken can be committed");
            self.write(&batch, next_offset);
        }
    }

    fn write(&mut self, batch: &Batch, next_offset: i64) {
        for output in batch.outputs() {
            let value = output.value().map(Cow::into_owned);
            match output.topic() {
                Topic::Changes => self.changes.push((output.key(), value.expect("a change has a value"))),
                Topic::Graph => self.graph.push((output.key(), value)),
                _ => self.dead_letters.push((output.key(), offset_of(output))),
            }
        }
        self.next_offset = next_offset;
    }
}

/// The offset that the headers of a dead letter name.
fn offset_of(letter: Output<'_>) -> String {
    let headers = letter.headers();
    let offset = headers.iter().find(|header| header.key == "__anthropic_graph.errors.offset");
    let value = offset.and_then(|header| header.value).expect("a dead letter names its record");
    String::from_utf8(value.to_vec()).expect("an offset is a number")
}

/// One task, and its successors.
pub(crate) struct Task<'a> {
    script: &'a Script,
    /// Whether it decodes resources that have not changed.
    decodes_all: bool,
    pub(crate) topics: Topics,
    /// The committed changes, with what led to them.
    pub(crate) changes: Vec<(&'a Happening, Vec<Envelope>)>,
    state: PartitionState,
    assembler: Assembler,
    batch: Batch,
    /// What the batch has of each.
    uncommitted: Vec<(&'a Happening, Vec<Envelope>)>,
    /// Place of the next record.
    position: usize,
    /// Everything before this offset was committed once.
    reached: i64,
}

impl<'a> Task<'a> {
    pub(crate) fn new(script: &'a Script, decodes_all: bool) -> Self {
        Self {
            script,
            decodes_all,
            topics: Topics::default(),
            changes: Vec::new(),
            state: PartitionState::new(0, 1),
            assembler: Assembler::default(),
            batch: Batch::default(),
            uncommitted: Vec::new(),
            position: 0,
            reached: 0,
        }
    }

    /// Does all this and then goes on to the end.
    pub(crate) fn run(script: &'a Script, acts: &[Act], decodes_all: bool) -> Self {
        let mut task = Self::new(script, decodes_all);
        for act in acts {
            match act {
                Act::Take(count) => (0..*count).for_each(|_| task.take()),
                Act::Commit => task.commit(),
                Act::Crash(seed) => task.crash(*seed),
                Act::Rewind(seed, records) => {
                    task.crash(*seed);
                    task.position = task.position.saturating_sub(usize::from(*records));
                }
            }
        }
        task.run_to_the_end();
        task
    }

    fn run_to_the_end(&mut self) {
        while self.position < self.script.entries.len() {
            self.take();
            self.commit();
        }
        self.assembler.drop_open();
        self.batch.advance(self.offset());
        self.commit();
    }

    /// The offset of the next record.
    fn offset(&self) -> i64 {
        match self.script.entries.get(self.position) {
            Some(entry) => entry.offset,
            None => self.script.end(),
        }
    }

    fn take(&mut self) {
        let Some(entry) = self.script.entries.get(self.position) else { return };
        self.position += 1;
        match self.assemble(entry) {
            Ok(Some(unit)) => self.reconcile(&unit, entry.offset),
            Ok(None) => {}
            Err(refusal) => self.refuse(entry, &refusal),
        }
        if self.assembler.is_at_rest() {
            self.batch.advance(entry.offset + 1);
        }
    }

    fn assemble(&mut self, entry: &Entry) -> Result<Option<Unit>, Refusal> {
        let refusal = |stage, message: String| Refusal { stage, message };
        let raw = entry.raw.as_ref().map_err(|_| refusal("decode", "no raw record".to_owned()))?;
        if !self.decodes_all && self.assembler.take_unchanged(&entry.value(), self.state.states()) {
            return Ok(None);
        }
        let place = self.state.check_place(&raw.organization_id);
        place.map_err(|error| refusal("assemble", error.to_string()))?;
        self.assembler.take(raw.clone(), entry.offset).map_err(|error| refusal("assemble", error.to_string()))
    }

    fn refuse(&mut self, entry: &Entry, refusal: &Refusal) {
        let (organization_id, rest) = entry.key.split_once('/').expect("the script's keys have parts");
        let (collection, _) = rest.rsplit_once('/').expect("the script's keys have parts");
        self.assembler.spoil(
            organization_id,
            collection,
            format!("the raw record at offset {} cannot be used", entry.offset),
        );
        // One that is read twice is a dead letter twice, which is nothing to compare.
        if entry.offset < self.reached {
            return;
        }
        self.batch.add_dead_letter("raw", 0, entry.as_record(), refusal);
    }

    fn reconcile(&mut self, unit: &Unit, offset: i64) {
        if offset < self.reached {
            let again = self.state.reconcile(unit);
            assert!(
                again.records().next().is_none() && again.changes.is_empty(),
                "read once more, {unit:?} does something"
            );
            return;
        }
        let happenings = &self.script.happenings;
        let place = happenings.binary_search_by_key(&offset, |happening| happening.offset);
        let happening = &happenings[place.expect("the script says what each unit should lead to")];
        let mut reconciled = self.state.reconcile(unit);
        let changes: Vec<Envelope> = reconciled.changes.iter().map(Change::envelope).collect();
        self.state.fold(unit.organization_id(), &mut reconciled);
        let origin = Origin::new(unit.organization_id(), Span::default(), None);
        self.batch.add(origin, reconciled);
        laws::check_step(happening, &changes, self.state.states().get(unit.organization_id()));
        self.uncommitted.push((happening, changes));
    }

    fn commit(&mut self) {
        let Some(batch) = self.batch.take_settled() else { return };
        let next_offset = batch.next_offset().expect("a batch that is taken can be committed");
        self.topics.write(&batch, next_offset);
        self.reached = self.reached.max(next_offset);
        let settled = self.uncommitted.iter().take_while(|(happening, _)| happening.offset < next_offset);
        let settled = settled.count();
        self.changes.extend(self.uncommitted.drain(..settled));
    }

    /// What is not committed is lost, and the next task begins as the processor's tasks do.
    fn crash(&mut self, seed: u32) {
        let committed = self.topics.next_offset;
        let is_unread = |entry: &Entry| entry.offset >= committed;
        let entries = &self.script.entries;
        self.position = entries.iter().position(is_unread).unwrap_or(entries.len());
        let restored = self.restored(seed);
        let lost = std::mem::replace(&mut self.state, restored);
        if self.uncommitted.is_empty() {
            laws::check_same(&lost, &self.state);
        }
        laws::check_all(&self.script.expected_at(self.reached), &self.state);
        (self.assembler, self.batch) = (Assembler::default(), Batch::default());
        self.uncommitted.clear();
    }

    /// The state as it is restored from the graph topic.
    fn restored(&self, seed: u32) -> PartitionState {
        let mut state = PartitionState::new(0, 1);
        for (key, value) in compacted(&self.topics.graph, seed) {
            state.restore(key, value.as_deref()).expect("what was written can be restored");
        }
        state.check().expect("what was written is fit");
        state.check_raw_end(self.reached).expect("what was read is there");
        state
    }

    /// The state as it is after all, from a topic compacted by this seed.
    pub(crate) fn check_end(&self, seed: u32) {
        laws::check_same(&self.state, &self.restored(seed));
        laws::check_all(&self.script.expected_at(i64::MAX), &self.state);
        laws::check_log(&self.changes, &self.state);
    }
}

/// What a broker may have left of a compacted topic: any record that is older than the newest of its key may be gone, and
/// a tombstone once nothing before it is left. The end is not compacted yet.
fn compacted(topic: &[(String, Option<Vec<u8>>)], seed: u32) -> Vec<&(String, Option<Vec<u8>>)> {
    let mut random = seed;
    let mut draw = |bound: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as usize % bound
    };
    let (clean, dirty) = topic.split_at(draw(topic.len() + 1));
    let mut newer: BTreeSet<&str> = BTreeSet::new();
    let mut kept: Vec<&(String, Option<Vec<u8>>)> = dirty.iter().rev().collect();
    for record in clean.iter().rev() {
        if newer.insert(&record.0) || draw(2) == 0 {
            kept.push(record);
        }
    }
    kept.reverse();
    let mut older: BTreeSet<&str> = BTreeSet::new();
    kept.retain(|(key, value)| {
        let is_first = older.insert(key);
        value.is_some() || !is_first || draw(2) == 0
    });
    kept
}
