//! The line that states the moment and how certain the answer is.

use schemas::collection::Collection;

use super::{
    answer::{AsOf, Coverage},
    fold::{Moment, Snapshot},
};

/// Collections that are named one by one where they are not whole; more of them are counted.
const NAMED: usize = 3;

/// What the answer is about and how certain it is, on one line.
pub fn line(moment: Moment, snapshot: &Snapshot, as_of: AsOf, coverage: &[Coverage]) -> String {
    let mut sentences = vec![match moment {
        Moment::Now => format!("Now ({}), revision {}.", time(as_of.ts_ms), as_of.revision),
        Moment::Revision(_) => format!("Revision {}, observed {}.", as_of.revision, time(as_of.ts_ms)),
        Moment::Time(_) => format!("{}, revision {}.", time(as_of.ts_ms), as_of.revision),
    }];
    let seen = seen(coverage, as_of.ts_ms);
    if !seen.is_empty() {
        let verb = if moment == Moment::Now { "Listed whole" } else { "Listed whole, or later" };
        sentences.push(format!("{verb}: {}.", seen.join(", ")));
    }
    sentences.extend(not_whole(coverage, as_of.ts_ms));
    if moment != Moment::Now {
        sentences.push(match snapshot.maybe_changed + snapshot.maybe_created {
            0 => "No change that was seen later can have happened before.".to_owned(),
            1 => "One change that was seen later may have happened before.".to_owned(),
            count => format!("{count} changes that were seen later may have happened before."),
        });
    }
    if let Some(cut) = snapshot.cut_revision() {
        sentences.push(format!(
            "Retention has deleted the changes up to revision {cut}: what has not changed since is missing."
        ));
    }
    sentences.join(" ")
}

/// When each collection was listed whole; of the members, the workspace for which that is longest ago.
fn seen(coverage: &[Coverage], near_ms: i64) -> Vec<String> {
    let mut seen: Vec<(&'static str, Option<i64>)> = Vec::new();
    for covered in coverage {
        let Some(collection) = Collection::parse(&covered.collection) else { continue };
        match seen.iter_mut().find(|(family, _)| *family == collection.family().name()) {
            Some((_, whole)) => *whole = (*whole).min(covered.whole_ts_ms),
            None => seen.push((collection.family().name(), covered.whole_ts_ms)),
        }
    }
    let line = |(family, whole): (&str, Option<i64>)| {
        let family = family.replace("api_keys", "API keys");
        format!(
            "{family} {}",
            whole.map_or_else(|| "not known".to_owned(), |whole| time_near(whole, near_ms))
        )
    };
    seen.into_iter().map(line).collect()
}

fn not_whole(coverage: &[Coverage], near_ms: i64) -> Option<String> {
    let failing: Vec<String> = coverage
        .iter()
        .filter_map(|it| Some((&it.collection, it.not_whole_since_ts_ms?)))
        .map(|(collection, since)| format!("{collection} since {}", time_near(since, near_ms)))
        .collect();
    let rest = failing.len().saturating_sub(NAMED);
    let named = failing.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match (failing.len(), rest) {
        (0, _) => None,
        (_, 0) => Some(format!("Not listed whole: {named}.")),
        (_, rest) => Some(format!("Not listed whole: {named} and {rest} more.")),
    }
}

/// A time to the second, without its date if that is the other time's.
fn time_near(ts_ms: i64, near_ms: i64) -> String {
    let (text, near) = (time(ts_ms), time(near_ms));
    match (text.split_once('T'), near.split_once('T')) {
        (Some((date, clock)), Some((near, _))) if date == near => clock.to_owned(),
        _ => text,
    }
}

/// A time to the second.
pub fn time(ts_ms: i64) -> String {
    let seconds = ts_ms.div_euclid(1_000);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| ts_ms.to_string(), |time| time.to_string())
}
