//! The console's store, asked in the place of the changes topic.

use std::path::Path;

use console::store::{self, NamedType, Store, StoreError, View};
use graph::{
    access::{Moment, NotOne, Question, Snapshot, certainty::time},
    text::clean,
};
use schemas::topics::Topic;
use serde::Serialize;
use service::{
    config::{Config, is_asked_for},
    exit::UsageError,
};

use crate::name_lookup::{self, Named, Names, nothing_known};

/// Up to where the store has an organization's changes.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Reached {
    revision: i64,
    /// When the newest of them was observed (ms since 1970).
    changed_ts_ms: i64,
}

impl Reached {
    /// One sentence.
    pub(crate) fn describe(self) -> String {
        format!("The store has reached revision {}, observed {}.", self.revision, time(self.changed_ts_ms))
    }
}

/// An organization in the store, at these moments.
struct Organization<'a> {
    view: &'a View<'a>,
    stored: store::Organization,
    moments: &'a [Moment],
}

impl Named for Organization<'_> {
    fn called(&self) -> String {
        name_lookup::called(&self.stored.name, &self.stored.id)
    }

    fn find(&self, thing: NamedType, name: &str) -> anyhow::Result<Vec<Result<String, NotOne>>> {
        let at = |moment: &Moment| {
            let candidates = self.view.candidates(&self.stored, thing, name, *moment)?;
            Ok(thing.find(&candidates, name))
        };
        self.moments.iter().rev().map(at).collect()
    }
}

/// Refuses a moment of which nothing is known in any organization: no name would be found in it.
fn check_known(
    organizations: &[store::Organization],
    moments: &[Moment],
    option: &str,
) -> Result<(), UsageError> {
    let is_before = |moment: &Moment, it: &store::Organization| match moment {
        Moment::Now => false,
        Moment::Revision(revision) => *revision < it.first_revision,
        Moment::Time(ts_ms) => *ts_ms < it.first_ts_ms,
    };
    let is_unknown = |it: &store::Organization| moments.iter().any(|moment| is_before(moment, it));
    match organizations.first() {
        Some(first) if organizations.iter().all(is_unknown) => {
            Err(nothing_known(&first.name, (first.first_revision, first.first_ts_ms), option))
        }
        _ => Ok(()),
    }
}

/// The organization's snapshots as far as the question depends on them, the question with IDs for names, and how far the
/// store is.
pub(crate) type Stored = (Vec<Snapshot>, Question, Reached);

/// Reads the store. Kafka is not asked.
pub(crate) fn read(
    config: &Config,
    path: &Path,
    names: &Names,
    organization: Option<&str>,
    moments: &[Moment],
    option: &str,
) -> anyhow::Result<Stored> {
    let topic = Topic::Changes.name(&config.kafka.topic_prefix);
    let store = Store::read(path, &topic).map_err(|error| match error {
        StoreError::Version(_) | StoreError::Topic { .. } => {
            anyhow::Error::new(UsageError(format!("--store: {error}")))
        }
        other => anyhow::Error::new(other).context("--store"),
    })?;
    let source = format!("the store {}", clean(&path.display().to_string()));
    // One view: the console may be writing.
    store.view(|view| Ok(ask(view, &source, names, organization, moments, option)))?
}

fn ask(
    view: &View<'_>,
    source: &str,
    names: &Names,
    asked: Option<&str>,
    moments: &[Moment],
    option: &str,
) -> anyhow::Result<Stored> {
    let mut organizations = view.organizations()?;
    organizations.retain(|it| is_asked_for(asked, &it.name, Some(&it.id)));
    check_known(&organizations, moments, option)?;
    let organizations: Vec<_> =
        organizations.into_iter().map(|stored| Organization { view, stored, moments }).collect();
    let (Organization { stored, .. }, question) = name_lookup::resolve(organizations, asked, names, source)?;
    let newest = stored.newest_revision;
    if moments.iter().any(|moment| matches!(moment, Moment::Revision(asked) if *asked > newest)) {
        let name = clean(&stored.name);
        let error = format!(
            "--store: the store has reached revision {newest} of {name}; ask without --store, or start the \
             console, which reads on"
        );
        return Err(UsageError(error).into());
    }
    let snapshots = moments.iter().map(|moment| view.snapshot(&stored, &question, *moment));
    let snapshots = snapshots.collect::<Result<_, StoreError>>()?;
    Ok((snapshots, question, Reached { revision: newest, changed_ts_ms: stored.newest_ts_ms }))
}
