//! `anthropic-graph who-can`: who can access what, at a moment.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use graph::{
    access::{
        At, Flag, Moment, Organization, Question, Snapshot, access,
        answer::{self, Answer, AsOf, Coverage},
        certainty, csv,
    },
    text::clean,
};
use schemas::{collection::Collection, topics::Topic};
use serde::Serialize;
use service::{
    config::{Config, environment},
    exit::{Outcome, UsageError},
    kafka::client_config,
    stdout,
};
use tracing::warn;

use crate::{
    cell::wrapped,
    color::marked,
    columns,
    console_store::{self, Reached},
    freshness, history,
    name_lookup::{self, Names, nothing_known},
    table::{self, Layout},
};

/// What to ask.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub(crate) names: Names,
    /// The organization: its name in the configuration, or its ID. Needed only if several match.
    #[arg(long, value_name = "NAME")]
    pub(crate) organization: Option<String>,
    /// The moment: now, a revision, or a time such as 2026-05-03T12:00Z.
    #[arg(long, value_name = "MOMENT", default_value = "now", value_parser = clap::value_parser!(At))]
    pub(crate) at: At,
    /// Only access with this note, as the table has it, such as creator-left.
    #[arg(long, value_name = "NOTE", value_parser = note)]
    pub(crate) note: Option<Flag>,
    #[command(flatten)]
    pub(crate) origin: Origin,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// What to answer from.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Origin {
    /// Answer from the store of `anthropic-graph console` instead of the changes topic.
    ///
    /// Takes milliseconds, and needs no Kafka. The answer says which revision the store has reached.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
}

impl Origin {
    /// Whether brokers are asked.
    pub(crate) fn asks_brokers(&self) -> bool {
        self.store.is_none()
    }
}

/// A flag by its name, however its words are joined.
fn note(text: &str) -> Result<Flag, String> {
    let name = text.trim().to_ascii_lowercase().replace(['-', ' '], "_");
    Flag::ALL.into_iter().find(|flag| flag.name() == name).ok_or_else(|| {
        let names = Flag::ALL.map(|flag| flag.name().replace('_', "-"));
        format!("is not a note; use one of {}", names.join(", "))
    })
}

/// How to answer.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(multiple = false)]
pub struct Form {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Print comma-separated values.
    #[arg(long)]
    pub csv: bool,
}

/// Prints the answer, and reports on stderr what is missing.
pub async fn who_can(config: Config, arguments: Arguments) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || answer(&config, &arguments))
        .await
        .context("the reading thread ended")?
}

fn answer(config: &Config, arguments: &Arguments) -> anyhow::Result<Outcome> {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let moment = at(arguments.at, now_ms, "--at")?;
    let Arguments { names, organization, origin, .. } = arguments;
    let mut scene = Scene::read(config, names, organization.as_deref(), origin, &[moment], "--at")?;
    let snapshot = scene.snapshots.pop().expect("one moment gives one snapshot");
    let as_of = as_of(moment, &snapshot, now_ms, "--at")?;
    let mut paths = answer::paths(&access(&snapshot.organization, as_of.ts_ms, &scene.question));
    if let Some(note) = arguments.note {
        paths.retain(|path| path.flags.contains(&note.name()));
    }
    let coverage = scene.coverage(moment, &snapshot);
    let organization = answer::Organization { id: &snapshot.organization_id, name: &snapshot.name };
    if arguments.form.json {
        scene.print_json(Answer { organization, as_of, coverage, paths })?;
    } else if arguments.form.csv {
        let lines = paths.iter().map(|path| csv::line(None, organization, as_of, path));
        stdout::print(std::iter::once(csv::header(None)).chain(lines))?;
    } else {
        let line = scene.certainty(certainty::line(moment, &snapshot, as_of, &coverage));
        let mut lines = Vec::new();
        if let Some(archived) = archived(&snapshot.organization, &scene.question, moment) {
            lines.push(archived);
            let flag = Flag::WorkspaceArchived.name();
            for path in &mut paths {
                path.flags.retain(|it| *it != flag);
            }
        }
        let with = arguments.note.map(|note| format!(" with the note {}", table::note(note.name())));
        let title = title(organization, &snapshot.organization, &scene.question) + &with.unwrap_or_default();
        lines.extend(text(&title, &line, &paths, layout(&scene.question)));
        stdout::print(lines.into_iter().map(marked))?;
    }
    Ok(outcome(&[&snapshot]))
}

/// The answer for people: what was asked, the moment and the certainty, the paths.
pub(crate) fn text(title: &str, certainty: &str, paths: &[answer::Path<'_>], layout: Layout) -> Vec<String> {
    let mut lines = wrapped(title, layout.columns, 0);
    lines.extend(wrapped(certainty, layout.columns, 0));
    lines.push(String::new());
    if paths.is_empty() {
        lines.push("no paths: no person and no API key has this access".to_owned());
    } else {
        lines.extend(table::paths(paths, layout));
    }
    lines
}

/// What a question about an archived workspace is answered first.
pub(crate) fn archived(known: &Organization, question: &Question, moment: Moment) -> Option<String> {
    let asked = question.workspace.as_ref()?;
    let workspace = known.workspaces().values().find(|workspace| workspace.id == *asked)?;
    let text = if moment == Moment::Now {
        "The workspace is archived: nobody can use it."
    } else {
        "The workspace was archived: nobody could use it."
    };
    (!workspace.active).then(|| text.to_owned())
}

/// What was read for a question.
pub(crate) struct Scene {
    /// Of one organization, one for each moment.
    pub(crate) snapshots: Vec<Snapshot>,
    /// With IDs for names.
    pub(crate) question: Question,
    /// By collection; empty unless the topics were asked about now.
    freshness: BTreeMap<String, Coverage>,
    /// How far the store is that was asked; `None`: the topics were.
    reached: Option<Reached>,
}

/// An answer in JSON, and where it is from.
#[derive(Debug, Serialize)]
struct Printed<A> {
    #[serde(flatten)]
    answer: A,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<Reached>,
}

impl Scene {
    pub(crate) fn read(
        config: &Config,
        names: &Names,
        organization: Option<&str>,
        origin: &Origin,
        moments: &[Moment],
        option: &str,
    ) -> anyhow::Result<Self> {
        let Some(path) = &origin.store else {
            return Self::read_topics(config, names, organization, moments, option);
        };
        let (snapshots, question, reached) =
            console_store::read(config, path, names, organization, moments, option)?;
        Ok(Self { snapshots, question, freshness: BTreeMap::new(), reached: Some(reached) })
    }

    /// Reads the changes, and for now the freshness before them: it is then no newer than what it is about.
    fn read_topics(
        config: &Config,
        names: &Names,
        organization: Option<&str>,
        moments: &[Moment],
        option: &str,
    ) -> anyhow::Result<Self> {
        let client = client_config(&config.kafka, &environment())?;
        // Do not wait a second time for brokers that do not answer.
        history::partition_count(config, &client)?;
        let mut freshness = BTreeMap::new();
        if moments.contains(&Moment::Now) {
            match freshness::read(config, &client) {
                Ok(all) => freshness = all,
                Err(error) => warn!("the freshness of the collections is known from changes only: {error:#}"),
            }
        }
        let history = history::read(config, &client, organization, moments)?;
        let topic = Topic::Changes.name(&config.kafka.topic_prefix);
        let organizations: Vec<Vec<Snapshot>> = history.into_values().collect();
        check_known(&organizations, option)?;
        let (mut snapshots, question) = name_lookup::resolve(organizations, organization, names, &topic)?;
        let id = snapshots.first().map(|snapshot| snapshot.organization_id.clone()).unwrap_or_default();
        let freshness = freshness.remove(&id).unwrap_or_default();
        for (snapshot, moment) in snapshots.iter_mut().zip(moments) {
            if *moment == Moment::Now {
                freshness.holds.keys().for_each(|key| snapshot.organization.hold(key));
            }
        }
        let freshness = freshness.coverage.iter().map(|(key, it)| (key.clone(), it.into())).collect();
        Ok(Self { snapshots, question, freshness, reached: None })
    }

    /// Prints one JSON object on one line.
    pub(crate) fn print_json(&self, answer: impl Serialize) -> anyhow::Result<()> {
        let answer = Printed { answer, store: self.reached };
        let json = serde_json::to_string(&answer).context("failed to write the answer as JSON")?;
        stdout::write(|stdout| writeln!(stdout, "{json}"))?;
        Ok(())
    }

    /// The line that states the moment, and how far the store is.
    pub(crate) fn certainty(&self, line: String) -> String {
        match self.reached {
            Some(reached) => format!("{line} {}", reached.describe()),
            None => line,
        }
    }

    /// Coverage of the collections that the answer depends on.
    pub(crate) fn coverage(&self, moment: Moment, snapshot: &Snapshot) -> Vec<Coverage> {
        let mut coverage: BTreeMap<String, Coverage> = snapshot
            .whole_ts_ms
            .iter()
            .map(|(collection, ts_ms)| {
                let (collection, whole_ts_ms) = (collection.clone(), Some(*ts_ms));
                let covered = Coverage { collection, whole_ts_ms, not_whole_since_ts_ms: None };
                (covered.collection.clone(), covered)
            })
            .collect();
        if moment == Moment::Now {
            coverage.extend(self.freshness.clone());
        }
        // The store knows nothing else of an organization than what the answer depends on.
        let depends =
            |it: &Coverage| self.reached.is_some() || self.depends_on(&it.collection, &snapshot.organization);
        coverage.into_values().filter(depends).collect()
    }

    fn depends_on(&self, collection: &str, organization: &Organization) -> bool {
        match Collection::parse(collection) {
            Some(Collection::Users | Collection::Workspaces | Collection::ApiKeys) => true,
            Some(Collection::Members(id)) => match &self.question.workspace {
                Some(asked) => *asked == id,
                None => organization.workspaces().values().any(|workspace| workspace.id == id),
            },
            Some(Collection::Organization) | None => false,
        }
    }
}

/// The moment of an option.
pub(crate) fn at(at: At, now_ms: i64, option: &str) -> Result<Moment, UsageError> {
    at.moment(now_ms).map_err(|error| UsageError(format!("{option}: {error}")))
}

/// The moment of the answer; an error if nothing is known about it.
pub(crate) fn as_of(
    moment: Moment,
    snapshot: &Snapshot,
    now_ms: i64,
    option: &str,
) -> Result<AsOf, UsageError> {
    let Snapshot { revision, newest_revision, name, .. } = snapshot;
    if let Moment::Revision(asked) = moment
        && asked > *newest_revision
    {
        let error = format!("{option}: the newest revision of {name} is {newest_revision}");
        return Err(UsageError(error));
    }
    let Some(observed) = snapshot.observed_ts_ms else {
        let first = (snapshot.first_revision.unwrap_or_default(), snapshot.first_ts_ms.unwrap_or_default());
        return Err(nothing_known(name, first, option));
    };
    let ts_ms = match moment {
        Moment::Now => now_ms,
        Moment::Revision(_) => observed,
        Moment::Time(ts_ms) => ts_ms,
    };
    Ok(AsOf { revision: *revision, ts_ms })
}

/// Refuses a moment of which nothing is known in any organization: no name would be found in it.
pub(crate) fn check_known(organizations: &[Vec<Snapshot>], option: &str) -> Result<(), UsageError> {
    let unknown = |snapshots: &Vec<Snapshot>| {
        let unknown = snapshots.iter().find(|snapshot| snapshot.observed_ts_ms.is_none())?;
        let first = (unknown.first_revision?, unknown.first_ts_ms?);
        Some(nothing_known(&unknown.name, first, option))
    };
    let all: Option<Vec<UsageError>> = organizations.iter().map(unknown).collect();
    all.and_then(|all| all.into_iter().next()).map_or(Ok(()), Err)
}

/// What was asked, in words.
pub(crate) fn title(
    organization: answer::Organization<'_>,
    known: &Organization,
    question: &Question,
) -> String {
    let mut title = vec![format!("Access in {}", clean(organization.name))];
    let named = |name: Option<&str>, id: &str| match name {
        Some(name) if name != id => format!("{} ({})", clean(name), clean(id)),
        _ => clean(id),
    };
    if let Some(id) = &question.workspace {
        let workspace = known.workspaces().values().find(|workspace| workspace.id == *id);
        title.push(format!("to workspace {}", named(workspace.map(|it| it.name.as_str()), id)));
    }
    if let Some(id) = &question.user {
        let user = known.user(id).or_else(|| known.former_user(id));
        let left = if known.user(id).is_none() { ", who is not a member" } else { "" };
        title.push(format!("of {}{left}", named(user.map(|it| it.name.as_str()), id)));
    }
    if let Some(id) = &question.api_key {
        let key = known.api_keys().values().find(|key| key.id == *id);
        title.push(format!("through API key {}", named(key.map(|it| it.name.as_str()), id)));
    }
    title.join(" ")
}

/// As wide as the terminal; unlimited without one.
pub(crate) fn layout(question: &Question) -> Layout {
    Layout { columns: columns::of_terminal(), has_workspace: question.workspace.is_none() }
}

/// Incomplete if retention has deleted what the answer depends on.
pub(crate) fn outcome(snapshots: &[&Snapshot]) -> Outcome {
    let cut = snapshots.iter().find_map(|snapshot| snapshot.cut_revision());
    cut.map_or(Outcome::Done, |revision| {
        Outcome::Incomplete(format!(
            "incomplete: retention has deleted the changes up to revision {revision}; what has not changed since then is missing"
        ))
    })
}

#[cfg(test)]
mod tests {
    use graph::access::Flag;

    use super::note;

    #[test]
    fn a_note_is_named_as_the_table_or_as_json_has_it() {
        for text in ["creator-left", "creator left", "creator_left", "Creator left"] {
            assert_eq!(note(text), Ok(Flag::CreatorLeft), "{text}");
        }
        let refusal = note("left").expect_err("the note does not exist");
        assert!(refusal.contains("acts-for-other, creator-left, "), "{refusal}");
    }
}
