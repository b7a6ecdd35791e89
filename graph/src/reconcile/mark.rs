//! A poll's marks, which update coverage and never an element.

use std::collections::BTreeSet;

use schemas::{
    collection::{Collection, MEMBERS},
    coverage::{Coverage, Latest, Poll},
    element::ElementType,
    graph_value::GraphValue,
    raw::{ListingOutcome, Mark, MarkKind, NO_REASON, Outcome},
};

use crate::state::{GraphKey, State};

use super::{Position, Reconciled, coverage_record, is_applied, poll_record, workspace};

/// Most collections that the coverage of the polls names (count). Each one has a coverage of its own.
const MAX_INCOMPLETE: usize = 100;
/// Longest string about one of them (characters): an id may be of any length.
const MAX_DESCRIPTION: usize = 1_000;
/// Why the members of a workspace are not listed whose deletion is held.
const HELD_WORKSPACE: &str = "the deletion of the workspace is held, so its members are not listed; run \
                              `anthropic-graph holds list` and decide";
/// Longest list of what is not whole in the coverage of a poll (bytes): it has to fit into a message, and an end mark may
/// have a line for each of ten thousand workspaces.
const MAX_INCOMPLETE_BYTES: usize = 100_000;

/// Reconciles a state with a poll's mark.
pub fn reconcile_mark(state: &State, mark: &Mark, position: Position, partition_count: i32) -> Reconciled {
    if is_applied(state, position.offset) {
        return Reconciled::applied();
    }
    let mut reconciled = Reconciled::default();
    let before = state.poll();
    let poll_id = position.poll_id.map(str::to_owned);
    let poll = match mark.kind {
        MarkKind::Start => {
            Poll { poll_id, ended: false, started_ts_ms: Some(position.ts_ms), partition_count, ..before }
        }
        MarkKind::End => {
            let mut incomplete: Vec<String> = mark.reason.iter().cloned().collect();
            for line in &mark.outcomes {
                end_line(state, line, position, &mut reconciled, &mut incomplete);
            }
            members_line(state, mark, position, &mut reconciled, &mut incomplete);
            held_workspaces(state, mark, position, &mut reconciled);
            bound(&mut incomplete);
            Poll {
                poll_id,
                ended: true,
                complete: mark.complete && incomplete.is_empty(),
                ended_ts_ms: Some(position.ts_ms),
                incomplete: shortened(incomplete),
                partition_count,
                ..before
            }
        }
        // The assembler refuses a mark of another kind.
        MarkKind::Other { .. } => return reconciled,
    };
    reconciled.others.push(poll_record(position, poll));
    reconciled
}

/// One line of an end mark. A listing that was written has its coverage already, by the processor's own judgement.
fn end_line(
    state: &State,
    line: &ListingOutcome,
    position: Position,
    reconciled: &mut Reconciled,
    incomplete: &mut Vec<String>,
) {
    let known = state.coverage().get(&line.collection);
    if line.outcome == Outcome::Whole {
        let doubt = doubt(known, line).filter(|_| is_coverable(state, &line.collection));
        incomplete.extend(doubt.map(|reason| described(&line.collection, Some(reason))));
        return;
    }
    if line.outcome != Outcome::Gone {
        incomplete.push(described(&line.collection, line.reason.as_deref()));
    }
    if is_coverable(state, &line.collection) {
        reconciled.others.push(covered(&line.collection, known, line, position));
    }
}

/// The line about all members is about each collection of them that the poll says nothing else of. Of one that is gone
/// nothing was to be expected. Where the mark has no room for a line each, the collections that were listed whole have
/// none: their coverage says how their listings were judged.
fn members_line(
    state: &State,
    mark: &Mark,
    position: Position,
    reconciled: &mut Reconciled,
    incomplete: &mut Vec<String>,
) {
    let Some(line) = mark.outcomes.iter().find(|line| line.collection == MEMBERS) else { return };
    let listed: BTreeSet<&str> = mark.outcomes.iter().map(|line| line.collection.as_str()).collect();
    let members = state.coverage().iter().filter(|(name, _)| {
        matches!(Collection::parse(name), Some(Collection::Members(_))) && !listed.contains(name.as_str())
    });
    for (name, coverage) in members {
        let latest = coverage.latest.as_ref();
        if latest.is_some_and(|it| it.poll_id.as_deref() == position.poll_id) {
            let doubt = latest.filter(|it| is_doubtful(it)).map(|it| it.reason.as_deref());
            incomplete.extend(doubt.map(|reason| described(name, reason)));
        } else if line.outcome != Outcome::Whole && latest.is_none_or(|it| it.outcome != Outcome::Gone) {
            reconciled.others.push(covered(name, Some(coverage), line, position));
        }
    }
}

/// Keeps what people read, so that the coverage of the polls fits its message.
fn bound(incomplete: &mut Vec<String>) {
    let more = incomplete.len().saturating_sub(MAX_INCOMPLETE);
    incomplete.truncate(MAX_INCOMPLETE);
    incomplete.extend((more > 0).then(|| format!("and {more} more")));
}

/// A workspace whose deletion is held is no longer listed, and neither are its members: their coverage stays as of
/// their last listing.
fn held_workspaces(state: &State, mark: &Mark, position: Position, reconciled: &mut Reconciled) {
    // A line that counts what was listed whole is not about them.
    if mark.outcomes.iter().any(|line| line.collection == MEMBERS && line.outcome != Outcome::Whole) {
        return;
    }
    let listed: BTreeSet<&str> = mark.outcomes.iter().map(|line| line.collection.as_str()).collect();
    let held = state.holds().keys().filter_map(|key| workspace(&state.known(key)?));
    let members = held.map(|workspace| Collection::Members(workspace.id).to_string());
    for name in members {
        let Some(coverage) = state.coverage().get(&name) else { continue };
        if !listed.contains(name.as_str()) && !is_listed(coverage, position) {
            let line = ListingOutcome {
                collection: name.clone(),
                outcome: Outcome::Skipped,
                reason: Some(HELD_WORKSPACE.to_owned()),
                http_status: None,
                request_id: None,
                listing_id: None,
            };
            reconciled.others.push(covered(&name, Some(coverage), &line, position));
        }
    }
}

/// Whether the poll listed that members collection. What is gone needs no listing.
fn is_listed(coverage: &Coverage, position: Position) -> bool {
    coverage.latest.as_ref().is_some_and(|latest| {
        latest.outcome == Outcome::Gone || latest.poll_id.as_deref() == position.poll_id
    })
}

/// Coverage of a collection that an end mark's line names.
fn covered(
    collection: &str,
    known: Option<&Coverage>,
    line: &ListingOutcome,
    position: Position,
) -> (GraphKey, Option<GraphValue>) {
    let alarm = line.outcome != Outcome::Gone;
    let since = known.and_then(|coverage| coverage.not_whole_since_ts_ms).unwrap_or(position.ts_ms);
    coverage_record(Coverage {
        organization_id: position.organization_id.to_owned(),
        organization_name: position.organization_name.to_owned(),
        collection: collection.to_owned(),
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
    })
}

/// Why a listing that was written whole has not been taken for whole, or not at all.
fn doubt<'a>(known: Option<&'a Coverage>, line: &ListingOutcome) -> Option<&'a str> {
    let latest = known.and_then(|coverage| coverage.latest.as_ref());
    let whole = known.and_then(|coverage| coverage.whole.as_ref());
    if let Some(latest) = latest.filter(|latest| is_doubtful(latest)) {
        return Some(latest.reason.as_deref().unwrap_or(NO_REASON));
    }
    // Its manifest is among the dead letters, or a concurrent poll was faster.
    let other = line.listing_id.as_ref().filter(|id| whole.map(|whole| &whole.listing_id) != Some(*id));
    other.map(|_| "the listing that the poll wrote was not accepted, or a newer one followed")
}

/// Whether the newest listing was not taken for whole.
fn is_doubtful(latest: &Latest) -> bool {
    !matches!(latest.outcome, Outcome::Whole | Outcome::Guarded)
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
    format!("{collection}: {}", reason.unwrap_or(NO_REASON)).chars().take(MAX_DESCRIPTION).collect()
}

/// As many of the lines as a poll's coverage has room for, and how many more there are.
fn shortened(mut lines: Vec<String>) -> Vec<String> {
    let mut bytes = 0;
    let fits = |line: &&String| {
        bytes += line.len();
        bytes <= MAX_INCOMPLETE_BYTES
    };
    let kept = lines.iter().take_while(fits).count();
    let left = lines.len() - kept;
    if left > 0 {
        lines.truncate(kept);
        lines.push(format!("and {left} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{MAX_INCOMPLETE_BYTES, shortened};

    #[test]
    fn a_list_of_ten_thousand_workspaces_is_cut_to_what_fits_into_a_message() {
        let lines =
            |count: usize| (0..count).map(|it| format!("members/wrkspc_{it:024}: no reason was given"));
        let few: Vec<String> = lines(10).collect();
        assert_eq!(shortened(few.clone()), few);
        let many = shortened(lines(10_000).collect());
        let bytes: usize = many.iter().map(String::len).sum();
        assert!(bytes < MAX_INCOMPLETE_BYTES + 100, "{bytes}");
        assert_eq!(many.last(), Some(&format!("and {} more", 10_000 - (many.len() - 1))));
    }
}
