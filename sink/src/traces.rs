//! The traces that sync jobs go on with: the contexts of the records that brought revisions of the graphs.

use std::collections::BTreeMap;

use graph::state::States;
use service::kafka::headers::traceparent;
use service::kafka::partition::Message;
use service::traces::{self, Parent};

/// Ends the key of the record that names the revision: the coverage of the polls, which follows what it counts.
const POLL_COVERAGE: &[u8] = b"/coverage/poll";
/// Most revisions of an organization whose contexts are kept (count): OpenTelemetry takes 128 links of a span.
const MOST_KEPT: usize = 100;

/// By organization ID: revisions, in their order, and the context of the record that brought each.
#[derive(Debug, Default)]
pub(crate) struct Traces(BTreeMap<String, Vec<(i64, Parent)>>);

impl Traces {
    /// Notes the context of a record that was folded into these states, if it brought a revision.
    pub(crate) fn note(&mut self, record: Message<'_>, states: &States) {
        if !traces::is_on() {
            return;
        }
        let id = record.key.and_then(|key| key.strip_suffix(POLL_COVERAGE));
        let Some(id) = id.and_then(|id| str::from_utf8(id).ok()) else { return };
        let Some(state) = states.get(id) else { return };
        if let Some(context) = traceparent(&record.headers()).and_then(Parent::parse) {
            self.keep(id, state.revision(), context);
        }
    }

    fn keep(&mut self, organization_id: &str, revision: i64, context: Parent) {
        let kept = self.0.entry(organization_id.to_owned()).or_default();
        // The marks of a poll name the revision again.
        if kept.last().is_some_and(|(last, _)| *last == revision) {
            return;
        }
        if kept.len() == MOST_KEPT {
            kept.remove(0);
        }
        kept.push((revision, context));
    }

    /// The contexts of the revisions after that one, which JupiterOne has; the others are forgotten.
    pub(crate) fn after(&mut self, organization_id: &str, revision: i64) -> Vec<Parent> {
        let Some(kept) = self.0.get_mut(organization_id) else { return Vec::new() };
        kept.retain(|(of, _)| *of > revision);
        kept.iter().map(|(_, context)| context.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use graph::state::GraphKey;
    use schemas::collection::POLL;
    use service::traces::Parent;

    use super::{MOST_KEPT, POLL_COVERAGE, Traces};

    fn context(number: usize) -> Parent {
        Parent::parse(&format!("00-{number:032x}-{number:016x}-01")).expect("a context")
    }

    #[test]
    fn a_job_goes_on_with_the_records_that_brought_what_jupiterone_lacks() {
        let mut traces = Traces::default();
        assert!(traces.after("acme", 0).is_empty());
        for (revision, number) in [(4, 1), (7, 2), (7, 3), (9, 4)] {
            traces.keep("acme", revision, context(number));
        }
        traces.keep("nimbus", 5, context(5));
        assert_eq!(traces.after("acme", 4), [context(2), context(4)]);
        assert_eq!(
            traces.after("acme", 4),
            [context(2), context(4)],
            "a job that is tried again has the same"
        );
        assert!(traces.after("acme", 9).is_empty());
        assert_eq!(traces.after("nimbus", 0), [context(5)]);
    }

    #[test]
    fn the_newest_contexts_are_kept() {
        let mut traces = Traces::default();
        for number in 1..=MOST_KEPT + 5 {
            traces.keep("acme", i64::try_from(number).expect("a count"), context(number));
        }
        let kept = traces.after("acme", 0);
        assert_eq!((kept.len(), kept.last()), (MOST_KEPT, Some(&context(MOST_KEPT + 5))));
    }

    #[test]
    fn the_record_that_names_the_revision_has_this_key() {
        assert_eq!(GraphKey::Coverage(POLL.to_owned()).format("").as_bytes(), POLL_COVERAGE);
    }
}
