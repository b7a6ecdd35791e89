//! The state of a task's partition: restored, checked, and updated. Pure.

use std::collections::BTreeMap;

use schemas::topics::partition;

use crate::{
    listing::Unit,
    reconcile::{Position, Reconciled, reconcile, reconcile_decision, reconcile_mark},
    state::{FoldError, State, States},
};

/// Why a restored partition is refused. Each needs a person.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unfit {
    /// The element count of the last transaction differs from that of the restored graph.
    #[error(
        "the graph of organization {organization_id} has {found} elements, but its coverage counts \
         {expected}: another program changed the graph topic; set a new kafka.topic_prefix and poll again, or \
         rebuild from the raw topic with `anthropic-graph reset`"
    )]
    ElementCount {
        organization_id: String,
        found: i64,
        /// Written with the last transaction.
        expected: i64,
    },
    /// The number of partitions has changed since the organization was written.
    #[error(
        "organization {organization_id} was written when the topics had {expected} partitions, and they now \
         have {found}, which would split its history; set a new kafka.topic_prefix and poll again"
    )]
    PartitionCount { organization_id: String, found: i32, expected: i32 },
    /// The organization belongs in another partition.
    #[error(
        "organization {organization_id} belongs in partition {expected}, but is in {found}: another program wrote it"
    )]
    Partition { organization_id: String, found: i32, expected: i32 },
    /// The graph topic is empty, and the changes topic is not.
    #[error(
        "partition {partition} of the graph topic is empty, but the changes topic has changes there: the \
         graph topic was re-created, and revisions would start again from 1; set a new kafka.topic_prefix and \
         poll again, or rebuild from the raw topic with `anthropic-graph reset`"
    )]
    GraphRecreated { partition: i32 },
    /// The changes topic has fewer records than the graph has had changes.
    #[error(
        "the graph of partition {partition} has had {changes} changes, but the changes topic ends at offset \
         {end}: the changes topic was re-created, and the log would lack its beginning; set a new \
         kafka.topic_prefix and poll again, or rebuild from the raw topic with `anthropic-graph reset`"
    )]
    ChangesRecreated {
        partition: i32,
        /// How many its organizations have had.
        changes: i64,
        /// Where the partition of the changes topic ends.
        end: i64,
    },
    /// The newest change of an organization differs from the last change of its graph.
    #[error(
        "the graph of organization {organization_id} in partition {partition} is at revision {graph}, but its \
         newest change in the changes topic has revision {log}: one of the two topics has lost records; \
         restore that topic from a backup, or rebuild both from the raw topic: with `anthropic-graph reset`, \
         or next to the old ones with `anthropic-graph replay --from earliest --into PREFIX`"
    )]
    Revision {
        organization_id: String,
        partition: i32,
        graph: i64,
        /// Of the newest change.
        log: i64,
    },
    /// It is not known what was read from the raw topic, and the topic begins after what certainly was.
    #[error(
        "the offset of partition {partition} of the raw topic is lost, the graph was written up to offset \
         {read}, and the topic begins at {beginning}: records in between may never have been read. Polls \
         bring back everything except decisions; if that loss is acceptable, stop the processors and set \
         their group to the beginning (kafka-consumer-groups.sh --group {group} --topic {topic}:{partition} \
         --reset-offsets --to-earliest --execute)"
    )]
    RawCut {
        /// The processors' consumer group.
        group: String,
        topic: String,
        partition: i32,
        /// The newest offset that certainly was read.
        read: i64,
        /// Where the raw partition begins.
        beginning: i64,
    },
    /// Where a listing ended, the raw topic now has another record.
    #[error(
        "the listing {listing_id} of organization {organization_id} ended at offset {read} of the raw topic, \
         where another record is now: the topic was re-created, and its new records would be skipped; set a \
         new kafka.topic_prefix and poll again"
    )]
    RawRecord {
        organization_id: String,
        listing_id: String,
        /// Where its manifest was read.
        read: i64,
    },
    /// The raw topic ends before the offset that was read.
    #[error(
        "a listing of organization {organization_id} was read at offset {read} of the raw topic, which ends \
         at {end}: the topic was re-created, and its new records would be skipped; set a new \
         kafka.topic_prefix and poll again"
    )]
    RawOffset {
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

    /// Whether the graph has nothing about any organization: then there can be no change either.
    pub fn is_blank(&self) -> bool {
        self.states.iter().all(|(_, state)| state.coverage().is_empty())
    }

    /// Checks that the partition of the changes, which ends there, is the one that was written together with the graph.
    pub fn check_log(&self, changes_end: i64) -> Result<(), Unfit> {
        let partition = self.partition;
        // Each has its place in the log, and its offset.
        let changes = self.states.iter().map(|(_, state)| state.revision()).sum();
        if changes_end < changes {
            return Err(Unfit::ChangesRecreated { partition, changes, end: changes_end });
        }
        Ok(())
    }

    /// Checks that the graph has had just the changes that the log has: `newest` is the revision of the newest change of
    /// each organization that the end of the log mentions.
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

    /// Checks that nothing is missing between the last offset read from raw and its beginning, if the group's offset is
    /// lost. A transaction's marker may be between two records ([`Self::maybe_unread`]).
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
    /// transaction, or a decision that was never read.
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

    /// Where the newest whole listing ended, its id and organization: what the raw topic has there shows whether it is
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

    /// Applies the result of a unit. If its transaction then fails, this state is dropped.
    pub fn fold(&mut self, organization_id: &str, reconciled: &mut Reconciled) {
        if !reconciled.changes.is_empty() || !reconciled.others.is_empty() {
            reconciled.fold_into(self.states.entry(organization_id));
        }
    }
}

#[cfg(test)]
mod tests;
