//! A poll's marks: they move coverage, never an element.

use schemas::{
    collection::Collection,
    coverage::{Coverage, Latest, Poll},
    element::ElementType,
    raw::{END, ListingOutcome, Mark, NO_REASON, START, outcome},
    state::State,
};

use super::{Reconciled, coverage_record, is_applied, poll_record};

/// Where a mark stands.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "as in the raw record")]
pub struct MarkPosition<'a> {
    pub organization_id: &'a str,
    pub organization_name: &'a str,
    pub poll_id: Option<&'a str>,
    pub ts_ms: i64,
    pub offset: i64,
}

/// Reconciles a state with a poll's mark.
pub fn reconcile_mark(
    state: &State,
    mark: &Mark,
    position: MarkPosition,
    partition_count: i32,
) -> Reconciled {
    let mut reconciled = Reconciled { outcome: outcome::WHOLE, ..Reconciled::default() };
    let before = state.poll();
    let poll_id = position.poll_id.map(str::to_owned);
    let poll = match mark.kind.as_str() {
        START => {
            Poll { poll_id, ended: false, started_ts_ms: Some(position.ts_ms), partition_count, ..before }
        }
        END => {
            let mut incomplete: Vec<String> = mark.reason.iter().cloned().collect();
            for line in &mark.outcomes {
                end_line(state, line, position, &mut reconciled, &mut incomplete);
            }
            Poll {
                poll_id,
                ended: true,
                complete: mark.complete && incomplete.is_empty(),
                ended_ts_ms: Some(position.ts_ms),
                incomplete,
                partition_count,
                ..before
            }
        }
        _ => return reconciled,
    };
    reconciled.records.push(poll_record(position.organization_id, position.organization_name, poll));
    reconciled
}

/// One line of an end mark. A listing that was written has its coverage already, by the processor's own judgement.
fn end_line(
    state: &State,
    line: &ListingOutcome,
    position: MarkPosition,
    reconciled: &mut Reconciled,
    incomplete: &mut Vec<String>,
) {
    let known = state.coverage().get(&line.collection);
    if line.outcome == outcome::WHOLE {
        let doubt = doubt(known, line).filter(|_| is_coverable(state, &line.collection));
        incomplete.extend(doubt.map(|reason| described(&line.collection, Some(reason))));
        return;
    }
    if line.outcome != outcome::GONE {
        incomplete.push(described(&line.collection, line.reason.as_deref()));
    }
    if !is_coverable(state, &line.collection) || is_applied(known, position.offset) {
        return;
    }
    let alarm = line.outcome != outcome::GONE;
    let since = known.and_then(|coverage| coverage.not_whole_since_ts_ms).unwrap_or(position.ts_ms);
    reconciled.records.push(coverage_record(Coverage {
        organization_id: position.organization_id.to_owned(),
        organization_name: position.organization_name.to_owned(),
        collection: line.collection.clone(),
        whole: known.and_then(|coverage| coverage.whole.clone()),
        latest: Some(Latest {
            outcome: line.outcome.clone(),
            reason: line.reason.clone(),
            poll_id: position.poll_id.map(str::to_owned),
            raw_offset: position.offset,
            ended_ts_ms: position.ts_ms,
        }),
        not_whole_since_ts_ms: alarm.then_some(since),
        poll: None,
    }));
}

/// Why a listing that was written whole has not been taken for whole, or not at all.
fn doubt<'a>(known: Option<&'a Coverage>, line: &ListingOutcome) -> Option<&'a str> {
    let latest = known.and_then(|coverage| coverage.latest.as_ref());
    let whole = known.and_then(|coverage| coverage.whole.as_ref());
    let is_whole = |latest: &&Latest| [outcome::WHOLE, outcome::GUARDED].contains(&latest.outcome.as_str());
    if let Some(latest) = latest.filter(|latest| !is_whole(latest)) {
        return Some(latest.reason.as_deref().unwrap_or(NO_REASON));
    }
    // Its manifest is among the dead letters, or a poll beside this one was faster.
    let other = line.listing_id.as_ref().filter(|id| whole.map(|whole| &whole.listing_id) != Some(*id));
    other.map(|_| "the listing that the poll wrote was not taken, or another has followed it")
}

/// Coverage is kept for the organization's own collections and for members of workspaces in the graph.
fn is_coverable(state: &State, collection: &str) -> bool {
    match Collection::parse(collection) {
        Some(Collection::Members(workspace_id)) => {
            state.graph().contains(&ElementType::Workspace.entity_key(&workspace_id))
        }
        Some(_) => true,
        None => false,
    }
}

fn described(collection: &str, reason: Option<&str>) -> String {
    format!("{collection}: {}", reason.unwrap_or(NO_REASON))
}
