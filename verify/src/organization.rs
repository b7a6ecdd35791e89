//! What an audit knows of one organization.

use schemas::{encoded::EncodedChange, raw::DecisionKind};

use super::{
    changes_topic::ChangesTopic,
    coverage_check::horizon,
    deletions::{Deletions, Rest},
    expected_graph::{ExpectedGraph, Reach},
    graph_topic::GraphTopic,
    history::History,
    holds::Proposals,
    polls::Polls,
    raw_topic::Evidence,
    verdict::{Law, Verdict, Violation},
};

#[derive(Debug)]
pub(super) struct Organization {
    pub(super) graph_topic: GraphTopic,
    pub(super) log: ChangesTopic,
    pub(super) proposals: Proposals,
    pub(super) history: History,
    pub(super) verdict: Verdict,
    /// Of the graph when it was read again after the changes.
    pub(super) caught_up: i64,
    deletions: Deletions,
    known: ExpectedGraph,
    polls: Polls,
    /// Of the newest change.
    newest: i64,
}

/// Where a raw record stands, and what is cut off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene {
    pub(super) offset: i64,
    /// Raw has lost its beginning.
    pub(super) is_cut: bool,
    pub(super) is_log_cut: bool,
}

impl Organization {
    pub(super) fn new(organization_id: &str) -> Self {
        Self {
            graph_topic: GraphTopic::default(),
            log: ChangesTopic::default(),
            proposals: Proposals::default(),
            history: History::default(),
            verdict: Verdict::new(organization_id),
            caught_up: 0,
            deletions: Deletions::default(),
            known: ExpectedGraph::default(),
            polls: Polls::default(),
            newest: 0,
        }
    }

    /// Takes the next change; whether it counts. `is_lost`: it is older than all raw records.
    pub(super) fn take_change(
        &mut self,
        mut change: EncodedChange,
        offset: i64,
        is_log_cut: bool,
        is_lost: bool,
    ) -> bool {
        let revision = change.envelope.revision;
        self.newest = self.newest.max(revision);
        change.after = change.after.map(|after| self.graph_topic.elements.shared(after));
        if !self.log.take(&change, offset, self.graph_topic.revision(), is_log_cut, &mut self.verdict) {
            return false;
        }
        self.deletions.note(&change, is_lost, &mut self.proposals);
        self.history.note(&change, Rest::of(&change.envelope), is_lost);
        revision <= self.graph_topic.revision()
    }

    /// Takes what one raw record, or several together, show.
    pub(super) fn take_evidence(&mut self, evidence: Evidence, scene: Scene) {
        let Self { graph_topic, log, proposals, history, verdict, deletions, known, polls, .. } = self;
        let Scene { offset, is_cut, is_log_cut } = scene;
        let is_log_cut = log.is_cut(is_log_cut);
        let is_read = offset <= horizon(graph_topic);
        match evidence {
            Evidence::Listing(listing) => {
                deletions.begin(listing.manifest.ended_ts_ms);
                let born = deletions.take_born(&listing.id);
                let partial = known.take(&listing, offset, born, graph_topic, verdict);
                deletions.take_listing(&listing, partial.as_deref(), is_log_cut);
                proposals.take_listing(&listing, offset, partial.as_deref());
                if is_read {
                    let is_taken = history.take_listing(&listing, is_log_cut, verdict);
                    polls.take_listing(&listing, partial.as_deref(), is_taken);
                } else {
                    history.pass_by(&listing, verdict);
                }
            }
            Evidence::Mark(mark) => {
                known.take_mark(&mark, offset, graph_topic);
                if is_read {
                    polls.take_mark(&mark);
                }
            }
            Evidence::Decision(decision) => {
                deletions.begin(decision.decided_ts_ms);
                // An organization is forgotten as a whole: naming a part of it decides nothing.
                let is_whole = decision.collection.is_none() && decision.element_key.is_none();
                let is_forgotten = decision.kind == DecisionKind::Forget && is_whole;
                if is_forgotten {
                    known.forget(offset);
                }
                if is_forgotten && is_read {
                    polls.forget();
                }
                history.take_decision(&decision, is_forgotten && is_read, verdict);
                deletions.take_decision(&decision, proposals, is_cut);
                proposals.take_decision(&decision, offset, graph_topic);
            }
            // A dead letter of the partition names it.
            Evidence::Unusable => {}
        }
    }

    pub(super) fn finish(self, partition_count: i32, is_log_cut: bool, reach: Reach) -> Verdict {
        let Self { graph_topic, log, proposals, history, mut verdict, deletions, known, polls, .. } = self;
        verdict.organization_name.clone_from(&graph_topic.name);
        judge_head(self.newest, self.caught_up.max(graph_topic.revision()), &mut verdict);
        graph_topic.judge(partition_count, &mut verdict);
        log.judge(&graph_topic, is_log_cut, &mut verdict);
        known.judge(&graph_topic, reach, log.is_cut(is_log_cut), &mut verdict);
        deletions.judge(reach, &mut verdict);
        proposals.judge(&graph_topic, reach, &mut verdict);
        polls.judge(&graph_topic, reach.beginning > 0, &mut verdict);
        history.judge(&graph_topic, &mut verdict);
        verdict
    }
}

/// The graph, read again after the changes, is as new as they are.
pub(super) fn judge_head(newest: i64, graph: i64, verdict: &mut Verdict) {
    verdict.hold(Law::Fold, graph >= newest, || {
        let expected = format!("revision {newest} of the graph, as the log has");
        Violation::new("poll", expected, format!("revision {graph}")).at_revision(newest)
    });
}
