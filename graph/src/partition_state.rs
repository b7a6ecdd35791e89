//! The state of a task's partition: restored, checked, folded on. Pure.

use std::collections::BTreeMap;

use schemas::{codec::GraphValue, topics::partition};

use crate::{
    listing::Unit,
    reconcile::{Position, Reconciled, reconcile, reconcile_decision, reconcile_mark},
    state::{FoldError, GraphKey, State, States},
};

/// Why a restored partition is refused. Each needs a person.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unfit {
    /// The element count that was written with the last transaction is another than the one restored.
    #[error(
        "the graph of organization {organization_id} has {found} elements, its coverage counts {expected}: the graph \
         topic was changed by another hand; give the topics a new prefix (kafka.topic_prefix) and poll again, or begin \
         anew from what raw has with `processor reset`"
    )]
    ElementCount {
        /// Whose graph.
        organization_id: String,
        /// Restored.
        found: i64,
        /// Written with the last transaction.
        expected: i64,
    },
    /// The topics have another number of partitions than when the organization was written.
    #[error(
        "organization {organization_id} was written when the topics had {expected} partitions, they have {found}: its \
         history would be split; give the topics a new prefix (kafka.topic_prefix) and poll again"
    )]
    PartitionCount {
        /// Which.
        organization_id: String,
        /// Now.
        found: i32,
        /// Then.
        expected: i32,
    },
    /// The organization belongs elsewhere.
    #[error(
        "organization {organization_id} belongs in partition {expected}, but stands in {found}: another program wrote it"
    )]
    Partition {
        /// Which.
        organization_id: String,
        /// Where it is.
        found: i32,
        /// Where it belongs.
        expected: i32,
    },
    /// The graph topic has nothing, and the changes topic has.
    #[error(
        "partition {partition} of the graph topic has no organization, and that of the changes topic has changes: the graph topic \
         was made anew, and the log would begin again in its midst; give the topics a new prefix (kafka.topic_prefix) and \
         poll again, or begin \
         anew from what raw has with `processor reset`"
    )]
    GraphMadeAnew {
        /// Which.
        partition: i32,
    },
    /// The changes topic has not room for the changes that the graph has had.
    #[error(
        "the graph of partition {partition} has had {changes} changes, and the changes topic ends there at offset {end}: \
         the changes topic was made anew, and the log would begin in its midst; give the topics a new \
         prefix (kafka.topic_prefix) and poll again, or begin \
         anew from what raw has with `processor reset`"
    )]
    ChangesMadeAnew {
        /// Which.
        partition: i32,
        /// How many its organizations have had.
        changes: i64,
        /// Where the partition of the changes topic ends.
        end: i64,
    },
    /// The newest change of an organization is another one than the last that its graph has had.
    #[error(
        "the graph of organization {organization_id} in partition {partition} is at revision {graph}, and its newest change \
         in the changes topic has revision {log}: one of the two topics has lost records, and new changes would continue \
         the wrong one; restore the topic that is short from a backup, or rebuild both from what raw has: with \
         `processor reset`, or beside the old ones with `processor replay --from earliest --into PREFIX`"
    )]
    Revision {
        /// Whose.
        organization_id: String,
        /// Which.
        partition: i32,
        /// Of the graph.
        graph: i64,
        /// Of the newest change.
        log: i64,
    },
    /// Nobody knows any more what of raw was read, and what it has begins behind what certainly was.
    #[error(
        "the offset of partition {partition} of the raw topic is lost, the graph was written up to offset {read}, and the \
         topic begins at {beginning}: what stood between may never have been read. Polls tell everything but decisions \
         again; if that loss is acceptable, stop the processors and set their group to the beginning \
         (kafka-consumer-groups.sh --group {group} --topic {topic}:{partition} --reset-offsets --to-earliest --execute)"
    )]
    RawCut {
        /// The processors' consumer group.
        group: String,
        /// The raw topic.
        topic: String,
        /// Which.
        partition: i32,
        /// The newest offset that certainly was read.
        read: i64,
        /// Where the raw partition begins.
        beginning: i64,
    },
    /// The raw topic has another record where a listing ended.
    #[error(
        "the listing {listing_id} of organization {organization_id} ended at offset {read} of the raw topic, where there \
         is another record now: the topic was made anew, and its records would count as read; give the topics a new \
         prefix (kafka.topic_prefix) and poll again"
    )]
    RawRecord {
        /// Whose listing.
        organization_id: String,
        /// Which.
        listing_id: String,
        /// Where its manifest was read.
        read: i64,
    },
    /// The raw topic ends before what was read of it.
    #[error(
        "a listing of organization {organization_id} was read at offset {read} of the raw topic, which ends at {end}: \
         the topic was made anew, and its records would count as read; give the topics a new prefix \
         (kafka.topic_prefix) and poll again"
    )]
    RawOffset {
        /// Whose listing.
        organization_id: String,
        /// Where the newest listing or mark in its coverage was read.
        read: i64,
        /// Where the raw partition ends.
        end: i64,
    },
}

/// The states of the organizations of one partition.
#[derive(Debug)]
pub struct PartitionState {
    states: States,
    partition: i32,
    partition_count: i32,
}

impl PartitionState {
    /// Of a partition of which nothing is restored yet.
    pub fn new(partition: i32, partition_count: i32) -> Self {
        Self { states: States::default(), partition, partition_count }
    }

    /// The states.
    pub fn states(&self) -> &States {
        &self.states
    }

    /// Folds one record of the graph topic.
    pub fn restore(&mut self, key: &str, value: Option<&[u8]>) -> Result<(), FoldError> {
        self.states.fold_record(key, value)
    }

    /// Checks a restored partition.
    pub fn check(&self) -> Result<(), Unfit> {
        for (organization_id, state) in self.states.iter() {
            let organization_id = organization_id.to_owned();
            let poll = state.poll();
            let found = i64::try_from(state.graph().len()).expect("a graph is bounded by memory");
            if poll.element_count != found {
                return Err(Unfit::ElementCount { organization_id, found, expected: poll.element_count });
            }
            // Zero before the first record of coverage: then there are no elements either.
            if poll.partition_count != 0 && poll.partition_count != self.partition_count {
                let (found, expected) = (self.partition_count, poll.partition_count);
                return Err(Unfit::PartitionCount { organization_id, found, expected });
            }
            self.check_place(&organization_id)?;
        }
        Ok(())
    }

    /// Whether the graph says of no organization what was read of it: then there can be no change either.
    pub fn is_blank(&self) -> bool {
        self.states.iter().all(|(_, state)| state.coverage().is_empty())
    }

    /// Checks that the partition of the changes, which ends there, is the one that was written together with the graph.
    pub fn check_log(&self, changes_end: i64) -> Result<(), Unfit> {
        let partition = self.partition;
        // Each has its place in the log, and its offset.
        let changes = self.states.iter().map(|(_, state)| state.revision()).sum();
        if changes_end < changes {
            return Err(Unfit::ChangesMadeAnew { partition, changes, end: changes_end });
        }
        Ok(())
    }

    /// Checks that the graph has had just the changes that the log has: `newest` is the revision of the newest change of
    /// each organization that the end of the log tells of.
    pub fn check_revisions(&self, newest: &BTreeMap<String, i64>) -> Result<(), Unfit> {
        for (organization_id, log) in newest {
            let graph = self.states.get(organization_id).map_or(0, |state| state.poll().revision);
            if graph != *log {
                let (organization_id, partition) = (organization_id.clone(), self.partition);
                return Err(Unfit::Revision { organization_id, partition, graph, log: *log });
            }
        }
        Ok(())
    }

    /// Whether no organization that has had changes is missing there.
    pub fn has_no_other_change(&self, newest: &BTreeMap<String, i64>) -> bool {
        self.states.iter().all(|(id, state)| state.poll().revision == 0 || newest.contains_key(id))
    }

    /// Checks that nothing is missing between what was read of raw and its beginning, where the group has no offset any
    /// more. A transaction's marker may stand between two records ([`Self::maybe_unread`]).
    pub fn check_unread(&self, group: &str, topic: &str, beginning: i64) -> Result<(), Unfit> {
        let read = self.states.iter().filter_map(|(_, state)| state.read_offset()).max();
        match read {
            Some(read) if beginning > read + 2 => Err(Unfit::RawCut {
                group: group.to_owned(),
                topic: topic.to_owned(),
                partition: self.partition,
                read,
                beginning,
            }),
            _ => Ok(()),
        }
    }

    /// The offset between what was read of raw and its beginning, where there is one. It held a marker of the last
    /// transaction, or a decision that nobody read.
    pub fn maybe_unread(&self, beginning: i64) -> Option<i64> {
        let read = self.states.iter().filter_map(|(_, state)| state.read_offset()).max()?;
        (beginning == read + 2).then_some(read + 1)
    }

    /// Checks that the raw partition, which ends there, has all that was read of it.
    pub fn check_raw_end(&self, end: i64) -> Result<(), Unfit> {
        for (organization_id, state) in self.states.iter() {
            if let Some(read) = state.read_offset().filter(|read| *read >= end) {
                return Err(Unfit::RawOffset { organization_id: organization_id.to_owned(), read, end });
            }
        }
        Ok(())
    }

    /// Where the newest whole listing ended, its id and organization: what the raw topic has there tells whether it is
    /// the topic that was read.
    pub fn newest_whole(&self) -> Option<(i64, String, String)> {
        let whole = self.states.iter().flat_map(|(organization_id, state)| {
            let whole = state.coverage().values().filter_map(|coverage| coverage.whole.as_ref());
            whole.map(move |whole| (whole.raw_offset, whole.listing_id.clone(), organization_id.to_owned()))
        });
        whole.max()
    }

    /// Checks that an organization belongs in this partition.
    pub fn check_place(&self, organization_id: &str) -> Result<(), Unfit> {
        let expected = partition(organization_id, self.partition_count);
        if expected == self.partition {
            return Ok(());
        }
        Err(Unfit::Partition { organization_id: organization_id.to_owned(), found: self.partition, expected })
    }

    /// Reconciles with a unit. An organization of which nothing is known is not remembered for that.
    pub fn reconcile(&self, unit: &Unit) -> Reconciled {
        let unknown = State::default();
        let state = self.states.get(unit.organization_id()).unwrap_or(&unknown);
        match unit {
            Unit::Listing(listing) => reconcile(state, listing, self.partition_count),
            Unit::Mark { organization_id, organization_name, poll_id, mark, ts_ms, offset } => {
                let position = Position {
                    organization_id,
                    organization_name,
                    poll_id: poll_id.as_deref(),
                    ts_ms: *ts_ms,
                    offset: *offset,
                };
                reconcile_mark(state, mark, position, self.partition_count)
            }
            Unit::Decision { organization_id, organization_name, decision, offset } => {
                let position = Position {
                    organization_id,
                    organization_name,
                    poll_id: None,
                    ts_ms: decision.decided_ts_ms,
                    offset: *offset,
                };
                reconcile_decision(state, decision, position, self.partition_count)
            }
        }
    }

    /// Moves on by these records: if their transaction then fails, this state dies with it.
    pub fn fold(&mut self, organization_id: &str, records: Vec<(GraphKey, Option<GraphValue>)>) {
        if records.is_empty() {
            return;
        }
        let state = self.states.entry(organization_id);
        for (key, value) in records {
            state.fold(&key, value).expect("reconcile writes each kind of value under its kind of key");
        }
    }
}

#[cfg(test)]
mod tests;
