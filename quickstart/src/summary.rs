//! What is said at the end, in words or as a JSON object.

use serde::Serialize;

use crate::access_counts::AccessCounts;
use crate::comparison::Verdict;
use crate::screen::{self, Screen};
use crate::view::{Size, Tally, View};

/// Differences that are shown (count); more of them say nothing new.
const DIFFERENCES_SHOWN: usize = 20;

/// The JSON object, whose names people script against.
#[derive(Debug, Serialize)]
struct Summary {
    polls: u64,
    entities: u64,
    relationships: u64,
    changes: Tally,
    jupiterone: Size,
    access: AccessCounts,
    /// Null where the end came before anything was compared.
    equal: Option<bool>,
}

/// Says how it went.
pub(crate) fn say(
    screen: &mut Screen,
    view: &View,
    verdict: Option<&Verdict>,
    is_simulated: bool,
    is_json: bool,
) {
    screen.end();
    // What was compared; a poll that Ctrl-C cut short may have gone further.
    let size = verdict.map_or_else(|| view.size(), |verdict| verdict.topic);
    let jupiterone = verdict.map_or_else(|| view.held(), |verdict| verdict.jupiterone);
    let changes = view.changes;
    let access = view.access_counts();
    let [people, keys] = access.lines();
    screen.title("Summary");
    screen.line(&format!("  access      {people}"));
    screen.line(&format!("              {keys}"));
    screen.line(&format!("  polls       {}", view.polls));
    screen.line(&format!(
        "  changes     {} seen at first, {} created, {} updated, {} deleted",
        changes.r, changes.c, changes.u, changes.d
    ));
    screen.line(&format!("  graph topic {} entities, {} relationships", size.entities, size.relationships));
    screen.line(&format!(
        "  JupiterOne  {} entities, {} relationships",
        jupiterone.entities, jupiterone.relationships
    ));
    let compared =
        if is_simulated { "JupiterOne, graph topic and truth" } else { "JupiterOne and graph topic" };
    match verdict {
        None => screen.line("  nothing was compared: it ended before the first sync"),
        Some(verdict) if verdict.is_equal() => {
            let polls = verdict.polls;
            screen.line(&format!("  {compared} are equal after poll {polls},"));
            screen.line("  property by property");
        }
        Some(verdict) => {
            screen.bad(&format!("  {compared} differ:"));
            for difference in verdict.differences.iter().take(DIFFERENCES_SHOWN) {
                screen.line(&format!("    {difference}"));
            }
        }
    }
    if is_json {
        let summary = Summary {
            polls: view.polls,
            entities: size.entities,
            relationships: size.relationships,
            changes,
            jupiterone,
            access,
            equal: verdict.map(Verdict::is_equal),
        };
        if let Ok(line) = serde_json::to_string(&summary) {
            screen::print(&line);
        }
    }
}
