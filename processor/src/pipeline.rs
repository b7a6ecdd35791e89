//! Turns raw records, in the order of their offsets, into what the next transaction writes.

use graph::{
    change::Cause,
    fingerprint::Fingerprints,
    listing::{Assembler, Dropped, Unit, organization_and_collection},
    partition_state::PartitionState,
    text::clean,
};
use schemas::{
    codec::{DecodeError, decode},
    collection::{DECISION, POLL},
    coverage::HoldState,
    raw::{NO_REASON, Outcome, RawRecord},
};
use service::{
    kafka::{
        headers::traceparent,
        partition::{Message, Record},
    },
    traces::{self, Parent, Span, SpanKind},
    wording::count,
};
use tracing::error;
use uuid::Uuid;

use crate::{
    batch::{Batch, Origin, Refusal},
    report::Report,
};

/// What a partition has read and not yet written, with the resulting state.
pub struct Pipeline {
    topic: String,
    partition: i32,
    state: PartitionState,
    assembler: Assembler,
    batch: Batch,
    /// The report of the next transaction.
    report: Report,
    /// The report of what waits for the end of an open listing.
    waiting: Report,
    is_replay: bool,
}

impl Pipeline {
    /// For the raw topic's partition, starting with that state.
    pub fn new(topic: String, partition: i32, state: PartitionState) -> Self {
        let assembler = Assembler::new(Fingerprints::new(Uuid::new_v4().as_u128()));
        let batch = Batch::default();
        let (report, waiting) = (Report::default(), Report::default());
        Self { topic, partition, state, assembler, batch, report, waiting, is_replay: false }
    }

    /// Like [`Self::new`], with an empty state, and with changes marked as replayed.
    pub fn replay(topic: String, partition: i32, partition_count: i32) -> Self {
        let state = PartitionState::new(partition, partition_count);
        Self { is_replay: true, ..Self::new(topic, partition, state) }
    }

    /// The state, which is ahead of what was written.
    pub fn state(&self) -> &PartitionState {
        &self.state
    }

    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Takes the next record.
    pub fn take(&mut self, record: Message<'_>) {
        let offset = record.offset;
        let bytes = record.value.map_or(0, <[u8]>::len);
        match self.assemble(record) {
            Ok(Some(unit)) => self.reconcile(unit, offset, traceparent(&record.headers())),
            Ok(None) => {}
            Err(refusal) => self.refuse(record.detach(), &refusal),
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

    /// Marks everything before that offset as ready to commit.
    fn settle(&mut self, next_offset: i64) {
        self.batch.advance(next_offset);
        self.report.append(std::mem::take(&mut self.waiting));
    }

    /// Drops the listing that is open before `position`. Every transaction before an end is complete, so a listing that
    /// is open there will never get its manifest.
    pub fn drop_open(&mut self, position: i64) {
        if !self.assembler.is_at_rest() {
            self.assembler.drop_open();
            self.report_leftovers();
            self.settle(position);
        }
    }

    /// What the next transaction writes, if anything: everything before an open listing.
    pub fn take_batch(&mut self) -> Option<Batch> {
        self.batch.take_settled()
    }

    /// What to report after the commit.
    pub(crate) fn take_report(&mut self) -> Report {
        std::mem::take(&mut self.report)
    }

    /// What is incomplete, one line each: failed listings, held deletions, and dead letters.
    pub fn incomplete(&self, dead_letters: u64) -> Vec<String> {
        let mut lines = Vec::new();
        for (_, state) in self.state.states().iter() {
            for coverage in state.coverage().values() {
                let (name, collection) = (&coverage.organization_name, &coverage.collection);
                // The holds of a guarded listing are counted below: decisions may have ended some.
                let is_well = [Outcome::Whole, Outcome::Gone, Outcome::Guarded];
                let latest = coverage.latest.as_ref();
                if let Some(latest) = latest.filter(|latest| !is_well.contains(&latest.outcome)) {
                    let reason = latest.reason.as_deref().unwrap_or(NO_REASON);
                    lines.push(format!("{name}: {collection} {}: {reason}", latest.outcome));
                }
                let held = state.held(collection, &HoldState::Proposed);
                if held > 0 {
                    lines.push(format!(
                        "{name}: {collection} {}: {held} deletions are held; `anthropic-graph holds list` lists them",
                        Outcome::Guarded
                    ));
                }
            }
        }
        if dead_letters > 0 {
            let counted = count(usize::try_from(dead_letters).unwrap_or(usize::MAX), "new dead letter");
            lines.push(format!("{counted} in partition {}", self.partition));
        }
        lines
    }

    fn report_leftovers(&mut self) {
        for leftover in self.assembler.take_leftovers() {
            let reason = match leftover.why {
                Dropped::NoManifest => "it has no manifest, so another program wrote it",
                Dropped::TooLarge => {
                    "it is larger than any listing that the producer writes; the rest of it will delete nothing"
                }
            };
            error!(
                partition = self.partition,
                organization.id = leftover.organization_id,
                collection = leftover.collection,
                listing.id = leftover.listing_id,
                resources = leftover.resources,
                reason,
                "dropped an open listing of {} of organization {}: {reason}",
                clean(&leftover.collection),
                clean(&leftover.organization_id)
            );
        }
    }

    fn assemble(&mut self, record: Message<'_>) -> Result<Option<Unit>, Refusal> {
        let Some(value) = record.value else {
            let message = "the record is a tombstone, but a raw record must have a value".to_owned();
            return Err(Refusal { stage: "decode", message });
        };
        if self.assembler.take_unchanged(value, self.state.states()) {
            return Ok(None);
        }
        let raw: RawRecord = decode(value).map_err(|error| match error {
            DecodeError::Misfit(misfit) => Refusal::new("assemble", misfit),
            error => Refusal::new("decode", error),
        })?;
        self.state.check_place(&raw.organization_id).map_err(|error| Refusal::new("assemble", error))?;
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
            "the raw record at offset {} of partition {} cannot be used and goes to the dead letters",
            record.offset,
            self.partition
        );
        if let Some((organization_id, collection)) = organization_and_collection(&key) {
            let reason = format!("the raw record at offset {} cannot be used", record.offset);
            self.assembler.spoil(organization_id, collection, reason);
        }
        self.batch.add_dead_letter(&self.topic, self.partition, record, refusal);
        self.waiting.add_dead_letter();
    }

    fn reconcile(&mut self, unit: Unit, offset: i64, traceparent: Option<&str>) {
        let span = self.span(&unit, offset, traceparent);
        let mut reconciled = self.state.reconcile(&unit);
        match &unit {
            Unit::Listing(listing) => self.waiting.add(listing, &reconciled),
            Unit::Decision { decision, offset, .. } => {
                self.waiting.add_decision(unit.organization_id(), decision, *offset, &reconciled);
            }
            Unit::Mark { .. } => {}
        }
        if self.is_replay {
            reconciled.changes.iter_mut().for_each(|change| change.cause = Cause::Replay);
        }
        span.set_number("changes", reconciled.changes.len());
        let origin = Origin::new(unit.organization_id(), span, traceparent);
        let organization_id = unit.organization_id().to_owned();
        // A first listing may be large, and its changes are larger.
        drop(unit);
        let state = self.state.states().get(&organization_id);
        self.waiting.touch(&organization_id, state, &reconciled.others);
        self.state.fold(&organization_id, &mut reconciled);
        self.batch.add(origin, reconciled);
    }

    /// The span of a unit, which goes on from where its last raw record was written. A replay has none: it repeats what
    /// was traced long ago.
    fn span(&self, unit: &Unit, offset: i64, traceparent: Option<&str>) -> Span {
        if self.is_replay || !traces::is_on() {
            return Span::default();
        }
        let what = match unit {
            Unit::Listing(listing) => listing.collection.family().name(),
            Unit::Mark { .. } => POLL,
            Unit::Decision { .. } => DECISION,
        };
        let parents: Vec<Parent> = traceparent.and_then(Parent::parse).into_iter().collect();
        let span = Span::after(&parents, format!("reconcile {what}"), SpanKind::Consumer);
        span.set_messaging("reconcile", "process", &self.topic, self.partition);
        span.set_number("messaging.kafka.offset", offset);
        span.set("organization.id", unit.organization_id());
        match unit {
            Unit::Listing(listing) => {
                span.set("organization.name", &listing.organization_name);
                span.set("collection", &listing.collection.to_string());
                span.set("listing.id", &listing.listing_id);
            }
            Unit::Mark { organization_name, poll_id, mark, .. } => {
                span.set("organization.name", organization_name);
                span.set("poll.id", poll_id.as_deref().unwrap_or_default());
                span.set("poll.mark", mark.kind.as_str());
            }
            Unit::Decision { .. } => {}
        }
        span
    }
}
