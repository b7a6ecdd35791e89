//! The graph topic, read for an audit: what it leaves of each organization.

use std::collections::BTreeMap;

use schemas::{
    coverage::{Coverage, Hold, Poll},
    encoded::EncodedElement,
    graph_value::GraphValue,
};

use super::{
    elements::Elements,
    verdict::{Law, Verdict, Violation},
};

#[derive(Debug, Default)]
pub(super) struct GraphTopic {
    pub(super) elements: Elements,
    /// By key of the relationship.
    pub(super) withheld: BTreeMap<String, Withheld>,
    /// By key of the element.
    pub(super) holds: BTreeMap<String, Hold>,
    /// By collection, without the polls'.
    pub(super) coverage: BTreeMap<String, Coverage>,
    pub(super) poll: Option<Poll>,
    /// As the newest coverage has it.
    pub(super) name: String,
}

/// A relationship that is not in the graph.
#[derive(Debug)]
pub(super) struct Withheld {
    pub(super) element: EncodedElement,
    missing: Vec<String>,
}

impl GraphTopic {
    /// How many changes the graph has seen.
    pub(super) fn revision(&self) -> i64 {
        self.poll.as_ref().map_or(0, |poll| poll.revision)
    }

    /// Enters one record, of which the key is without its organization. A tombstone has no value.
    pub(super) fn enter(&mut self, key: &str, value: Option<&[u8]>, offset: i64, verdict: &mut Verdict) {
        let value = match value.map(GraphValue::decode).transpose() {
            Ok(value) => value,
            Err(error) => {
                let found = error.to_string();
                let violation = Violation::new(key, "a value of the graph topic", found).at_offset(offset);
                return verdict.judge(Law::Fold, Err(violation));
            }
        };
        let is_entered = if let Some(collection) = key.strip_prefix("coverage/") {
            self.enter_coverage(collection, value)
        } else if let Some(key) = key.strip_prefix("hold/") {
            match value {
                Some(GraphValue::Hold(hold)) => put(&mut self.holds, key, *hold),
                None => take(&mut self.holds, key),
                Some(_) => false,
            }
        } else if let Some(key) = key.strip_prefix("withheld/") {
            match value {
                Some(GraphValue::Withheld(it)) => {
                    let withheld = Withheld { element: it.element.into(), missing: it.missing };
                    put(&mut self.withheld, key, withheld)
                }
                None => take(&mut self.withheld, key),
                Some(_) => false,
            }
        } else {
            match value {
                Some(GraphValue::Element(element)) if element.key() == key => {
                    self.elements.insert(element);
                    true
                }
                None => {
                    self.elements.remove(key);
                    true
                }
                Some(_) => false,
            }
        };
        if !is_entered {
            let expected = "a value of the kind and the element that its key names";
            let violation = Violation::new(key, expected, "another one").at_offset(offset);
            verdict.judge(Law::Fold, Err(violation));
        }
    }

    fn enter_coverage(&mut self, collection: &str, value: Option<GraphValue>) -> bool {
        match value {
            Some(GraphValue::Coverage(coverage)) if coverage.collection == collection => {
                self.name.clone_from(&coverage.organization_name);
                if collection == "poll" {
                    self.poll = coverage.poll;
                    return self.poll.is_some();
                }
                put(&mut self.coverage, collection, *coverage)
            }
            None if collection == "poll" => {
                self.poll = None;
                true
            }
            None => take(&mut self.coverage, collection),
            Some(_) => false,
        }
    }

    /// Checks the laws that need the graph topic only.
    pub(super) fn judge(&self, partition_count: i32, verdict: &mut Verdict) {
        self.judge_ends(verdict);
        let elements = i64::try_from(self.elements.len()).unwrap_or(i64::MAX);
        let poll = self.poll.clone().unwrap_or_default();
        let is_known = self.poll.is_some() || elements == 0;
        verdict.hold(Law::Coverage, is_known, || {
            Violation::new("poll", "a coverage of the polls in addition to elements", "none")
        });
        verdict.hold(Law::Coverage, poll.element_count == elements, || {
            let expected = format!("an element count of {elements}, as there are");
            Violation::new("poll", expected, format!("{}", poll.element_count))
        });
        let is_counted = self.poll.is_none() || poll.partition_count == partition_count;
        verdict.hold(Law::Coverage, is_counted, || {
            let expected = format!("a partition count of {partition_count}, as the topics have");
            Violation::new("poll", expected, format!("{}", poll.partition_count))
        });
    }

    fn judge_ends(&self, verdict: &mut Verdict) {
        self.elements.judge(verdict, |element, verdict| {
            if !element.is_relationship() {
                return;
            }
            let missing = self.missing(element);
            verdict.hold(Law::Ends, missing.is_empty(), || {
                let found = format!("none under {}", missing.join(", "));
                Violation::new(element.key(), "both ends in the graph", found)
            });
        });
        for withheld in self.withheld.values() {
            let missing = self.missing(&withheld.element);
            let key = withheld.element.key();
            let judgement = if missing.is_empty() {
                Err(Violation::new(key, "a missing end of a withheld relationship", "both are in the graph"))
            } else if missing != withheld.missing {
                let expected = format!("{} noted as missing", missing.join(", "));
                Err(Violation::new(key, expected, withheld.missing.join(", ")))
            } else if self.elements.contains_key(key) {
                Err(Violation::new(
                    key,
                    "a withheld relationship outside the graph",
                    "it is in the graph too",
                ))
            } else {
                Ok(())
            };
            verdict.judge(Law::Ends, judgement);
        }
    }

    fn missing(&self, element: &EncodedElement) -> Vec<String> {
        element.ends().filter(|end| !self.elements.contains_key(end)).map(str::to_owned).collect()
    }
}

fn put<T>(shelf: &mut BTreeMap<String, T>, key: &str, value: T) -> bool {
    shelf.insert(key.to_owned(), value);
    true
}

fn take<T>(shelf: &mut BTreeMap<String, T>, key: &str) -> bool {
    shelf.remove(key);
    true
}
