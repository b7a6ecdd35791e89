//! `anthropic-graph access --between A B`: who gained and who lost which access.

use anyhow::Context as _;
use graph::access::{
    At, access as paths_of,
    answer::{self, Changed, Difference},
    certainty, csv, difference,
};
use service::{config::Config, exit::Outcome, stdout};

use crate::{
    cell::wrapped,
    color::marked,
    name_lookup::Names,
    table,
    who_can::{Form, Origin, Scene, as_of, at, layout, outcome, title},
};

const OPTION: &str = "--between";
/// Indents the lines of a head after its first one (columns).
const HANGING: usize = 2;

/// What to compare.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Two moments, the earlier one first. Each is now, a revision, or a time such as 2026-05-03T12:00Z.
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], required = true, value_parser = clap::value_parser!(At))]
    between: Vec<At>,
    #[command(flatten)]
    names: Names,
    /// The organization: its name in the configuration, or its ID. Needed only if several match.
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    #[command(flatten)]
    pub(crate) origin: Origin,
    #[command(flatten)]
    form: Form,
}

/// Answers, and says on stderr what is missing.
pub async fn access(config: Config, arguments: Arguments) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || answer(&config, &arguments))
        .await
        .context("the reading thread ended")?
}

fn answer(config: &Config, arguments: &Arguments) -> anyhow::Result<Outcome> {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let moments =
        arguments.between.iter().map(|moment| at(*moment, now_ms, OPTION)).collect::<Result<Vec<_>, _>>()?;
    let Arguments { names, organization, origin, .. } = arguments;
    let scene = Scene::read(config, names, organization.as_deref(), origin, &moments, OPTION)?;
    let [earlier, later] = scene.snapshots.as_slice() else { unreachable!("two moments give two snapshots") };
    let from = as_of(moments[0], earlier, now_ms, OPTION)?;
    let to = as_of(moments[1], later, now_ms, OPTION)?;
    if from.revision > to.revision {
        let error = format!(
            "{OPTION}: revision {} is later than {}; give the earlier moment first",
            from.revision, to.revision
        );
        return Err(service::exit::UsageError(error).into());
    }
    let before = paths_of(&earlier.organization, from.ts_ms, &scene.question);
    let after = paths_of(&later.organization, to.ts_ms, &scene.question);
    let found = difference(&before, &after);
    let (gained, lost) = (answer::paths(&found.gained), answer::paths(&found.lost));
    let changed =
        found.changed.iter().map(|(before, after)| Changed { before: before.into(), after: after.into() });
    let changed: Vec<Changed<'_>> = changed.collect();
    let coverage = scene.coverage(moments[1], later);
    let organization = answer::Organization { id: &later.organization_id, name: &later.name };
    if arguments.form.json {
        scene.print_json(Difference { organization, from, to, coverage, gained, lost, changed })?;
    } else if arguments.form.csv {
        let line = |what, path| csv::line(Some(what), organization, to, path);
        let mut lines = vec![csv::header(Some("change"))];
        lines.extend(gained.iter().map(|path| line("gained", path)));
        lines.extend(lost.iter().map(|path| csv::line(Some("lost"), organization, from, path)));
        for Changed { before, after } in &changed {
            lines.push(csv::line(Some("changed_from"), organization, from, before));
            lines.push(line("changed_to", after));
        }
        stdout::print(lines)?;
    } else {
        let layout = layout(&scene.question);
        let head = [
            title(organization, &later.organization, &scene.question),
            format!("From: {}", certainty::line(moments[0], earlier, from, &[])),
            scene.certainty(format!("To: {}", certainty::line(moments[1], later, to, &coverage))),
            String::new(),
        ];
        let mut lines: Vec<String> =
            head.iter().flat_map(|line| wrapped(line, layout.columns, HANGING)).collect();
        let rows = table::difference(&gained, &lost, &changed, layout);
        lines.extend(if rows.is_empty() { vec!["no difference".to_owned()] } else { rows });
        stdout::print(lines.into_iter().map(marked))?;
    }
    Ok(outcome(&[earlier, later]))
}
