//! What the raw records say of one organization: the last whole listing of each collection, and what came after it.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use schemas::{encoded::EncodedElement, raw::Outcome};

use super::{
    coverage_check::{CoverageCheck, is_of_unknown_beginning, newest},
    coverage_claims::{collection_of, judge_listing, judge_missing_members},
    diff::different,
    elements::{Elements, is_default, origin_of},
    graph_topic::GraphTopic,
    raw_topic::{Listing, PollMark},
    reference_mapping::origin,
    verdict::{Law, Verdict, Violation},
};

/// What is known, collection by collection.
#[derive(Debug, Default)]
pub(super) struct ExpectedGraph {
    collections: BTreeMap<String, Collection>,
    /// Elements as they were when a whole listing did not have them, of those that are held.
    held: Elements,
    /// The newest decision to forget the organization (offset).
    forgotten: i64,
    /// Collections of which the listing was met that their coverage calls the last whole one.
    met_whole: BTreeSet<String>,
    /// Collections of which the record was met that their coverage calls the newest.
    met_latest: BTreeSet<String>,
    /// What their coverage should have and does not.
    coverage_check: CoverageCheck,
    /// Members collections for which the log shows when their workspace began.
    begun: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Collection {
    elements: Rc<Elements>,
    /// The newest listing that was taken (offset).
    offset: i64,
    /// Parameters of the last whole listing.
    parameters: Option<BTreeMap<String, String>>,
    /// Retention has cut into the last whole listing, or off what would show that it was whole.
    is_cut: bool,
}

/// What there is of the raw partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// The first offset; above 0, retention has cut what was before.
    pub(super) beginning: i64,
    /// One past the last offset.
    pub(super) end: i64,
}

impl ExpectedGraph {
    /// Takes a listing; why it is not whole, if it is not. `born`: ids of the workspaces that it created, by the log.
    pub(super) fn take(
        &mut self,
        listing: &Listing,
        offset: i64,
        born: BTreeSet<String>,
        graph_topic: &GraphTopic,
        verdict: &mut Verdict,
    ) -> Option<String> {
        // Members are listed of a workspace in the graph: what was said before it was there counts for nothing.
        for workspace_id in born {
            let members = format!("members/{workspace_id}");
            self.collections.remove(&members);
            self.coverage_check.end(&members);
            self.begun.insert(members);
        }
        let collection = self.collections.entry(listing.collection.clone()).or_default();
        if offset > graph_topic.coverage.get(&listing.collection).map_or(-1, newest) {
            // It came after the graph was read, or its collection has ended since, or the processor ignored it.
            let whole = graph_topic.coverage.get(&listing.collection).and_then(|it| it.whole.as_ref());
            let before = collection.parameters.as_ref().or(whole.map(|whole| &whole.parameters));
            let partial = listing.damage.clone().or_else(|| listing.narrower(before));
            self.coverage_check.take_listing(listing, offset, partial.as_deref(), graph_topic);
            return partial;
        }
        if collection.offset < self.forgotten {
            *collection = Collection::default();
        }
        let coverage = &graph_topic.coverage[&listing.collection];
        // Of a last whole listing that retention has cut off, its coverage still has the parameters.
        let whole = coverage.whole.as_ref().filter(|whole| whole.raw_offset < offset);
        let before = collection.parameters.as_ref().or(whole.map(|whole| &whole.parameters));
        let partial = listing.damage.clone().or_else(|| listing.narrower(before));
        let is_unmeasured = listing.is_past_cut && before.is_none() && !listing.is_widest();
        judge_listing(coverage, listing, offset, partial.as_deref(), verdict);
        self.met_whole.extend(judge_missing_members(
            listing,
            offset,
            partial.as_deref(),
            graph_topic,
            verdict,
        ));
        self.coverage_check.take_listing(listing, offset, partial.as_deref(), graph_topic);
        let whole = coverage.whole.as_ref().map_or(-1, |whole| whole.raw_offset);
        if offset == whole {
            self.met_whole.insert(listing.collection.clone());
        }
        if coverage.latest.as_ref().is_some_and(|latest| latest.raw_offset == offset) {
            self.met_latest.insert(listing.collection.clone());
        }
        collection.offset = offset;
        // It is unknown whether it was whole, unless the coverage shows it.
        let is_unsure = listing.is_cut || is_unmeasured && partial.is_none() && offset < whole;
        if partial.is_some() && !listing.is_cut || offset > whole {
            Rc::make_mut(&mut collection.elements).extend(listing.elements.iter().cloned());
            return partial;
        }
        collection.is_cut = is_unsure;
        if !is_unsure || offset == whole {
            collection.parameters = Some(listing.manifest.parameters.clone());
        }
        let before = std::mem::replace(&mut collection.elements, Rc::clone(&listing.elements));
        for element in before.iter().filter(|it| !listing.elements.contains_key(it.key())) {
            let is_default =
                is_default(element) || element.ends().filter_map(|end| before.get(end)).any(is_default);
            if listing.is_silent_about(element.kind(), element.ends(), is_default) {
                Rc::make_mut(&mut collection.elements).insert(element.clone());
            } else if graph_topic.holds.contains_key(element.key()) {
                self.held.insert(element.clone());
            }
        }
        partial
    }

    /// Takes a poll's mark.
    pub(super) fn take_mark(&mut self, mark: &PollMark, offset: i64, graph_topic: &GraphTopic) {
        for (name, coverage) in &graph_topic.coverage {
            if let Some(latest) = coverage.latest.as_ref().filter(|latest| latest.raw_offset == offset)
                && mark.explains(name, latest)
            {
                self.met_latest.insert(name.clone());
            }
        }
        self.coverage_check.take_mark(mark, offset, graph_topic);
    }

    /// Takes a decision to forget the organization.
    pub(super) fn forget(&mut self, offset: i64) {
        self.forgotten = offset;
        self.coverage_check = CoverageCheck::default();
    }

    /// Compares it with the graph topic.
    pub(super) fn judge(
        &self,
        graph_topic: &GraphTopic,
        reach: Reach,
        is_log_cut: bool,
        verdict: &mut Verdict,
    ) {
        self.judge_coverage(graph_topic, reach, verdict);
        let begun = is_log_cut.then_some(&self.begun);
        self.coverage_check.judge(graph_topic, begun, verdict);
        let comparison = Comparison { known: self, graph_topic, reach, begun, nothing: Elements::default() };
        comparison.judge_known(verdict);
        comparison.judge_graph(verdict);
        comparison.judge_holds(verdict);
    }

    fn judge_coverage(&self, graph_topic: &GraphTopic, reach: Reach, verdict: &mut Verdict) {
        for (name, coverage) in &graph_topic.coverage {
            let whole = coverage.whole.as_ref().map(|whole| (whole.raw_offset, &self.met_whole));
            let latest = coverage.latest.as_ref().map(|latest| (latest.raw_offset, &self.met_latest));
            for (what, (offset, met)) in [("whole listing", whole), ("try", latest)]
                .into_iter()
                .filter_map(|(what, place)| Some((what, place?)))
            {
                if offset < reach.beginning {
                    verdict.give_up(Law::Coverage, 1);
                } else {
                    verdict.hold(Law::Coverage, met.contains(name), || {
                        let expected = format!("its last {what} at raw offset {offset}");
                        let found = if offset >= reach.end {
                            format!("the raw topic ends at {}", reach.end)
                        } else {
                            "another record there".to_owned()
                        };
                        Violation::new(name, expected, found).at_offset(offset)
                    });
                }
            }
            if let Some(latest) = &coverage.latest {
                let is_calm = matches!(latest.outcome, Outcome::Whole | Outcome::Guarded | Outcome::Gone);
                verdict.hold(Law::Coverage, is_calm == coverage.not_whole_since_ts_ms.is_none(), || {
                    let expected = "since when it has not been whole, and only where that is so";
                    Violation::new(name, expected, format!("the other of the two, {}", latest.outcome))
                });
            }
            let is_whole = |it: &Outcome| matches!(it, Outcome::Whole | Outcome::Guarded);
            if let Some(latest) = coverage.latest.as_ref().filter(|latest| is_whole(&latest.outcome)) {
                let is_same = coverage.whole.as_ref().is_some_and(|it| it.raw_offset == latest.raw_offset);
                verdict.hold(Law::Coverage, is_same, || {
                    let expected = "the newest listing, which was whole, as the last whole one";
                    Violation::new(name, expected, "another one").at_offset(latest.raw_offset)
                });
            }
        }
    }
}

/// The graph topic against what is known.
struct Comparison<'a> {
    known: &'a ExpectedGraph,
    graph_topic: &'a GraphTopic,
    reach: Reach,
    /// Where the log is cut: the members collections for which it shows when they could begin.
    begun: Option<&'a BTreeSet<String>>,
    nothing: Elements,
}

impl Comparison<'_> {
    /// What is known of a collection; `None` where retention has cut what would show it, or nothing covers it.
    fn checkable(&self, collection: &str) -> Option<&Elements> {
        let coverage = self.graph_topic.coverage.get(collection)?;
        if is_of_unknown_beginning(collection, self.begun) {
            return None;
        }
        let is_there = match &coverage.whole {
            Some(whole) => whole.raw_offset >= self.reach.beginning,
            None => self.reach.beginning == 0,
        };
        let known = self.known.collections.get(collection);
        // What was known before the organization was forgotten is no longer known, if the graph has seen that.
        let (forgotten, newest) = (self.known.forgotten, newest(coverage));
        let known = known.filter(|known| known.offset >= forgotten || newest < forgotten);
        if !is_there || known.is_some_and(|known| known.is_cut) {
            return None;
        }
        Some(known.map_or(&self.nothing, |known| &*known.elements))
    }

    /// Whether an entity should be in the graph.
    fn should_be(&self, key: &str) -> bool {
        let collection = collection_of(key);
        let there = self.graph_topic.elements.get(key);
        let is_held = there.is_some() && self.graph_topic.holds.contains_key(key);
        // Whether a listing has ever been silent about it may be cut off.
        let is_left = self.reach.beginning > 0 && there.is_some_and(|element| self.is_lasting(element));
        self.checkable(collection)
            .map_or(there.is_some(), |known| known.contains_key(key) || is_held || is_left)
    }

    fn judge_known(&self, verdict: &mut Verdict) {
        for name in self.graph_topic.coverage.keys() {
            let Some(known) = self.checkable(name) else {
                let owned = self.graph_topic.elements.iter().filter(|it| it.collection() == name).count();
                verdict.give_up(Law::Mapping, owned);
                continue;
            };
            known.judge(verdict, |element, verdict| self.judge_element(element, verdict));
        }
    }

    fn judge_element(&self, expected: &EncodedElement, verdict: &mut Verdict) {
        let key = expected.key();
        let is_withheld = expected.ends().any(|end| !self.should_be(end));
        let (there, elsewhere) = (self.graph_topic.elements.get(key), self.graph_topic.withheld.get(key));
        let elsewhere = elsewhere.map(|withheld| &withheld.element);
        let (found, place) = if is_withheld { (elsewhere, "withheld") } else { (there, "in the graph") };
        let violation = |found: String| Violation::new(key, format!("it {place}, as it was listed"), found);
        let Some(found) = found else {
            let found = if there.or(elsewhere).is_some() { "the other of the two" } else { "nothing" };
            return verdict.judge(Law::Mapping, Err(violation(found.to_owned())));
        };
        // The digest shows what an element came from, not what it is; how is the processor's own affair.
        let is_known = !found.digest().is_empty();
        if is_known && expected.same_as(found) {
            return verdict.judge(Law::Mapping, Ok(()));
        }
        let mut columns = different(expected, found);
        columns.retain(|column| column != "digest" || !is_known);
        if columns.is_empty() {
            verdict.judge(Law::Mapping, Ok(()));
        } else if is_of_another_mapping(expected, found) {
            verdict.give_up(Law::Mapping, 1);
        } else {
            let found = format!("another one in {}", columns.join(", "));
            verdict.judge(Law::Mapping, Err(violation(found)));
        }
    }

    /// What is in the graph, or withheld, and not known.
    fn judge_graph(&self, verdict: &mut Verdict) {
        self.graph_topic
            .elements
            .judge(verdict, |element, verdict| self.judge_there(element, false, verdict));
        for withheld in self.graph_topic.withheld.values() {
            self.judge_there(&withheld.element, true, verdict);
        }
    }

    fn judge_there(&self, element: &EncodedElement, is_withheld: bool, verdict: &mut Verdict) {
        let (key, collection) = (element.key(), element.collection());
        if !self.graph_topic.coverage.contains_key(collection) {
            let expected = format!("a coverage of {collection}, which owns it");
            return verdict.judge(Law::Coverage, Err(Violation::new(key, expected, "none")));
        }
        if self.checkable(collection).is_none_or(|known| known.contains_key(key)) {
            return;
        }
        let is_held = !is_withheld && self.graph_topic.holds.contains_key(key);
        match self.known.held.get(key) {
            Some(held) if is_held => self.judge_element(held, verdict),
            None if self.reach.beginning > 0 && (is_held || self.is_lasting(element)) => {
                verdict.give_up(Law::Mapping, 1);
            }
            _ => {
                let expected = "nothing: it is neither in the last whole listing, nor in one since, nor held";
                let found = if is_withheld { "it, withheld" } else { "it" };
                verdict.judge(Law::Mapping, Err(Violation::new(key, expected, found)));
            }
        }
    }

    /// Whether it is one of those that a listing may be silent about.
    fn is_lasting(&self, element: &EncodedElement) -> bool {
        let mut ends = element.ends().filter_map(|end| self.graph_topic.elements.get(end));
        match element.kind() {
            "anthropic_account" | "anthropic_workspace_has_api_key" => true,
            "anthropic_workspace" => is_default(element),
            "anthropic_account_has_workspace" => ends.any(is_default),
            _ => false,
        }
    }

    fn judge_holds(&self, verdict: &mut Verdict) {
        for (key, hold) in &self.graph_topic.holds {
            let is_listed = self.checkable(&hold.collection).is_some_and(|known| known.contains_key(key));
            let found = if !self.graph_topic.elements.contains_key(key) {
                Some("a hold without its element")
            } else if is_listed {
                Some("a hold of an element that is listed again")
            } else {
                None
            };
            verdict.hold(Law::Mapping, found.is_none(), || {
                let expected = "a hold of an element that is in the graph and not in the last whole listing";
                Violation::new(key, expected, found.unwrap_or_default())
            });
        }
    }
}

/// Whether another version of the mapping made it, as before the next whole listing that follows an upgrade.
fn is_of_another_mapping(expected: &EncodedElement, found: &EncodedElement) -> bool {
    let by = origin_of(found);
    found.digest().contains('.') && by != origin_of(expected) && by != origin(found.account_name())
}
