//! From raw records in the order of their offsets to what the next transaction writes.

use graph::{
    listing::{Assembler, Dropped, Unit, organization_and_collection},
    partition_state::PartitionState,
    reconcile::Cause,
};
use schemas::{
    codec::decode_raw,
    coverage::hold_state,
    raw::{NO_REASON, outcome},
};
use service::kafka::{headers::traceparent, partition::Record};
use tracing::error;

use crate::{
    batch::{Batch, Refusal},
    report::Report,
};

/// What one partition has taken in and not written yet, with the state that it leads to.
pub struct Intake {
    topic: String,
    partition: i32,
    state: PartitionState,
    assembler: Assembler,
    batch: Batch,
    /// Of the next transaction.
    report: Report,
    /// Of what waits for the end of an open listing.
    waiting: Report,
    is_replay: bool,
}

impl Intake {
    /// Of the raw topic's partition, on top of that state.
    pub fn new(topic: String, partition: i32, state: PartitionState) -> Self {
        let (assembler, batch) = (Assembler::default(), Batch::default());
        let (report, waiting) = (Report::default(), Report::default());
        Self { topic, partition, state, assembler, batch, report, waiting, is_replay: false }
    }

    /// As [`Self::new`], with nothing known yet and changes that say that they were replayed.
    pub fn replay(topic: String, partition: i32, partition_count: i32) -> Self {
        let state = PartitionState::new(partition, partition_count);
        Self { is_replay: true, ..Self::new(topic, partition, state) }
    }

    /// The state, which is ahead of what is written.
    pub fn state(&self) -> &PartitionState {
        &self.state
    }

    /// What is gathered.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Takes the next record.
    pub fn take(&mut self, record: Record) {
        let (offset, trace) = (record.offset, traceparent(&record.headers).map(str::to_owned));
        let bytes = record.value.as_ref().map_or(0, Vec::len);
        match self.assemble(&record) {
            Ok(unit) => {
                if let Some(unit) = unit {
                    self.reconcile(unit, trace.as_deref());
                }
            }
            Err(refusal) => self.refuse(record, &refusal),
        }
        self.assembler.charge(bytes);
        self.report_leftovers();
        self.batch.count_raw_record();
        if self.assembler.is_at_rest() {
            self.settle(offset + 1);
        }
    }

    /// Whether no listing is open.
    pub fn is_at_rest(&self) -> bool {
        self.assembler.is_at_rest()
    }

    /// Everything before that offset may be committed.
    fn settle(&mut self, next_offset: i64) {
        self.batch.advance(next_offset);
        self.report.append(std::mem::take(&mut self.waiting));
    }

    /// Drops the listing that is open before `position`: below an end every transaction is whole, so a listing that is
    /// open there never gets its manifest.
    pub fn drop_open(&mut self, position: i64) {
        if !self.assembler.is_at_rest() {
            self.assembler.drop_open();
            self.report_leftovers();
            self.settle(position);
        }
    }

    /// What the next transaction writes, if there is anything: of an open listing nothing, and what was whole before it.
    pub fn take_batch(&mut self) -> Option<Batch> {
        self.batch.take_settled()
    }

    /// What is to be told once it is committed.
    pub(crate) fn take_report(&mut self) -> Report {
        std::mem::take(&mut self.report)
    }

    /// What is not whole, a line each: failed listings, held deletions, and these dead letters.
    pub fn incomplete(&self, dead_letters: u64) -> Vec<String> {
        let mut lines = Vec::new();
        for (_, state) in self.state.states().iter() {
            for coverage in state.coverage().values() {
                let (name, collection) = (&coverage.organization_name, &coverage.collection);
                // Of a guarded listing the holds tell, which a decision may have ended since.
                let is_well = [outcome::WHOLE, outcome::GONE, outcome::GUARDED];
                let latest = coverage.latest.as_ref();
                if let Some(latest) = latest.filter(|latest| !is_well.contains(&latest.outcome.as_str())) {
                    let reason = latest.reason.as_deref().unwrap_or(NO_REASON);
                    lines.push(format!("{name}: {collection} {}: {reason}", latest.outcome));
                }
                let held = state.held(collection, hold_state::PROPOSED);
                if held > 0 {
                    lines.push(format!(
                        "{name}: {collection} {}: {held} deletions are held; `processor holds` lists them",
                        outcome::GUARDED
                    ));
                }
            }
        }
        if dead_letters > 0 {
            lines.push(format!("{dead_letters} new dead letters in partition {}", self.partition));
        }
        lines
    }

    fn report_leftovers(&mut self) {
        for leftover in self.assembler.take_leftovers() {
            let reason = match leftover.why {
                Dropped::NoManifest => "it has no manifest; only another program writes such a listing",
                Dropped::TooLarge => {
                    "it is larger than any listing that the producer writes; what follows of it deletes nothing"
                }
            };
            error!(
                partition = self.partition,
                organization.id = leftover.organization_id,
                collection = leftover.collection,
                listing.id = leftover.listing_id,
                resources = leftover.resources,
                reason,
                "an open listing was dropped"
            );
        }
    }

    fn assemble(&mut self, record: &Record) -> Result<Option<Unit>, Refusal> {
        let Some(value) = &record.value else {
            let message = "a raw record has a value; this one is a tombstone".to_owned();
            return Err(Refusal { stage: "decode", message });
        };
        let raw = decode_raw(value).map_err(|error| Refusal::new("decode", error))?;
        self.state
            .check_place(&raw.record.organization_id)
            .map_err(|error| Refusal::new("assemble", error))?;
        self.assembler.take(raw, record.offset).map_err(|error| Refusal::new("assemble", error))
    }

    /// A record that cannot be used goes to the dead letters, and its listing is partial.
    fn refuse(&mut self, record: Record, refusal: &Refusal) {
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        error!(
            partition = self.partition,
            offset = record.offset,
            stage = refusal.stage,
            reason = refusal.message,
            "a raw record cannot be used; it goes to the dead letters"
        );
        if let Some((organization_id, collection)) = organization_and_collection(&key) {
            let reason = format!("the raw record at offset {} cannot be used", record.offset);
            self.assembler.spoil(organization_id, collection, reason);
        }
        self.batch.add_dead_letter(&self.topic, self.partition, record, refusal);
        self.waiting.add_dead_letter();
    }

    fn reconcile(&mut self, unit: Unit, traceparent: Option<&str>) {
        let mut reconciled = self.state.reconcile(&unit);
        match &unit {
            Unit::Listing(listing) => self.waiting.add(listing, &reconciled),
            Unit::Decision { decision, offset, .. } => {
                self.waiting.add_decision(unit.organization_id(), decision, *offset, &reconciled);
            }
            Unit::Mark { .. } => {}
        }
        if self.is_replay {
            reconciled.changes.iter_mut().for_each(|(_, cause)| *cause = Cause::Replay);
        }
        let organization_id = unit.organization_id().to_owned();
        // A first listing may be large, and what it led to is larger.
        drop(unit);
        let state = self.state.states().get(&organization_id);
        self.waiting.touch(&organization_id, state, &reconciled.records);
        self.batch.add(&organization_id, &mut reconciled, traceparent);
        self.state.fold(&organization_id, reconciled.records);
    }
}
