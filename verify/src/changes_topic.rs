//! The changes topic, read for an audit: folded, each change held to the laws of the log on the way.

use schemas::{
    change::{Envelope, Op},
    encoded::{EncodedChange, EncodedElement},
};

use super::{
    diff::different,
    elements::Elements,
    envelope,
    graph_topic::GraphTopic,
    verdict::{Law, Verdict, Violation},
};

/// One organization's changes so far.
#[derive(Debug, Default)]
pub(super) struct ChangesTopic {
    /// What the changes leave.
    elements: Elements,
    /// Of the last change that was met; `None`: none was.
    revision: Option<i64>,
    /// Retention has cut the log below its first change.
    is_cut: bool,
    /// A change beyond the graph that was read was met: the rest came later.
    is_over: bool,
}

impl ChangesTopic {
    /// Takes the next change, up to the graph's revision; whether it counts.
    ///
    /// Graph and changes are written in one transaction. So a change beyond the graph's revision was committed after
    /// the graph was read, and none at or below it can be missing once the transactions that were open then are over.
    pub(super) fn take(
        &mut self,
        change: &EncodedChange,
        offset: i64,
        graph_revision: i64,
        is_log_cut: bool,
        verdict: &mut Verdict,
    ) -> bool {
        let Envelope { revision, .. } = change.envelope;
        let is_later = self.revision.is_none_or(|last| revision > last);
        self.is_over = self.is_over || revision > graph_revision && is_later;
        if self.is_over {
            return false;
        }
        self.judge_revision(&change.envelope, offset, is_log_cut, verdict);
        let at = |violation: Violation| violation.at_revision(revision).at_offset(offset);
        verdict.judge(Law::Envelope, envelope::judge(change).map_err(at));
        match self.judge_images(change) {
            Some(judgement) => verdict.judge(Law::BeforeImages, judgement.map_err(at)),
            None => verdict.give_up(Law::BeforeImages, 1),
        }
        if change.envelope.op != Op::Notice {
            let key = &change.envelope.element_key;
            match change.after.as_ref().filter(|after| after.key() == key) {
                Some(after) => self.elements.insert(after.clone()),
                None => self.elements.remove(key),
            }
        }
        true
    }

    fn judge_revision(&mut self, change: &Envelope, offset: i64, is_log_cut: bool, verdict: &mut Verdict) {
        let is_notice = change.op == Op::Notice;
        let expected = match self.revision {
            // A notice has the revision of the change before it, so that is cut off too.
            None if is_log_cut => {
                self.is_cut = change.revision != 1 || is_notice;
                change.revision
            }
            last => last.unwrap_or_default().saturating_add(i64::from(!is_notice)),
        };
        verdict.hold(Law::Revisions, change.revision == expected, || {
            let (expected, found) = (format!("revision {expected}"), format!("revision {}", change.revision));
            Violation::new(&change.element_key, expected, found).at_offset(offset)
        });
        // One gap is one violation.
        self.revision = self.revision.max(Some(change.revision));
    }

    /// `None`: the change that would show it is cut off.
    fn judge_images(
        &self,
        EncodedChange { envelope, before, after }: &EncodedChange,
    ) -> Option<Result<(), Violation>> {
        let key = &envelope.element_key;
        let shape = (before.is_some(), after.is_some());
        let expected = match &envelope.op {
            Op::Read | Op::Create => (false, true),
            Op::Update | Op::Notice => (true, true),
            Op::Delete => (true, false),
            Op::Other { text, .. } => {
                return Some(Err(Violation::new(key, "an op of r, c, u, d, m", text.as_ref())));
            }
        };
        if shape != expected {
            let found = format!("images before and after: {shape:?}");
            return Some(Err(Violation::new(key, format!("{expected:?} for op {}", envelope.op), found)));
        }
        if let Some(other) = before.iter().chain(after).find(|image| image.key() != key) {
            return Some(Err(Violation::new(key, "images of this element", other.key())));
        }
        let differ =
            |one: &EncodedElement, other: &EncodedElement| one != other && one.decode() != other.decode();
        if envelope.op == Op::Notice && before.iter().zip(after).any(|(before, after)| differ(before, after))
        {
            return Some(Err(Violation::new(key, "a notice's images to be equal", "they differ")));
        }
        match (self.elements.get(key), before) {
            (None, Some(_)) if self.is_cut => None,
            (None, Some(_)) => Some(Err(Violation::new(key, "no image before: it is not there", "one"))),
            (Some(_), None) => Some(Err(Violation::new(key, "the image before: it is there", "none"))),
            (Some(last), Some(before)) if differ(last, before) => {
                let found = format!("another one in {}", different(last, before).join(", "));
                Some(Err(Violation::new(key, "the last image after as the image before", found)))
            }
            _ => Some(Ok(())),
        }
    }

    /// Whether changes of the organization are cut off.
    pub(super) fn is_cut(&self, is_log_cut: bool) -> bool {
        self.is_cut || is_log_cut && self.revision.is_none()
    }

    /// Compares what the changes leave with the graph.
    pub(super) fn judge(&self, graph_topic: &GraphTopic, is_log_cut: bool, verdict: &mut Verdict) {
        let (revision, is_cut) = (graph_topic.revision(), self.is_cut(is_log_cut));
        if is_cut && self.revision.is_none() {
            verdict.give_up(Law::Coverage, 1);
        } else {
            let last = self.revision.unwrap_or_default();
            verdict.hold(Law::Coverage, last == revision, || {
                let expected = format!("revision {last}, the log's last");
                Violation::new("poll", expected, format!("revision {revision}"))
            });
        }
        graph_topic.elements.judge(verdict, |element, verdict| {
            let violation =
                |expected: &str, found: String| Err(Violation::new(element.key(), expected, found));
            let judgement = match self.elements.get(element.key()) {
                Some(left) if left == element => Ok(()),
                Some(left) => match different(left, element) {
                    columns if columns.is_empty() => Ok(()),
                    columns => {
                        let found = format!("another one in {}", columns.join(", "));
                        violation("the element that the changes leave", found)
                    }
                },
                None if is_cut => return verdict.give_up(Law::Fold, 1),
                None => violation("no element: the changes leave none", "one".to_owned()),
            };
            verdict.judge(Law::Fold, judgement);
        });
        self.elements.judge(verdict, |left, verdict| {
            if !graph_topic.elements.contains_key(left.key()) {
                let violation = Violation::new(left.key(), "the element that the changes leave", "none");
                verdict.judge(Law::Fold, Err(violation));
            }
        });
    }
}
