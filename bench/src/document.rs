//! `docs/performance.md`: between its markers stands what the saved figures say, and nothing by hand.

use std::{fmt::Write as _, fs};

use ::tests::services::binaries;
use anyhow::{Context as _, Result};

use crate::{
    arguments::Sizes,
    chart,
    figures::Figures,
    figures_file::{Saved, SavedFigure, SavedSamples},
    progress,
    table::short,
    targets::{TARGETS, Target},
};

const FOLDER: &str = "docs/performance";
const DOCUMENT: &str = "docs/performance.md";

const BEGIN: &str = "<!-- figures: written by `bench --save` -->";
const END: &str = "<!-- end of figures -->";

/// Characters of a commit that are shown.
const COMMIT: usize = 10;

/// Adds what this run has measured to the saved figures.
pub(crate) fn save(figures: &Figures, sizes: &Sizes) -> Result<()> {
    let folder = binaries::workspace().join(FOLDER);
    fs::create_dir_all(&folder)?;
    let file = folder.join("figures.json");
    let mut saved = Saved::begin(&file)?;
    saved.add(figures, sizes);
    saved.write(&file)?;
    fs::write(folder.join("chart.svg"), chart::of(&saved))?;
    let document = binaries::workspace().join(DOCUMENT);
    let text = fs::read_to_string(&document).with_context(|| format!("cannot read {DOCUMENT}"))?;
    fs::write(&document, with_figures(&text, &saved)?)?;
    progress(&format!("written: {FOLDER}/figures.json, {FOLDER}/chart.svg, and the tables of {DOCUMENT}"));
    Ok(())
}

/// The document with these figures between its markers.
fn with_figures(document: &str, saved: &Saved) -> Result<String> {
    let parts = document.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.with_context(|| format!("{DOCUMENT} lacks the lines {BEGIN} and {END}"))?;
    Ok(format!("{before}{BEGIN}\n\n{}\n{END}{after}", tables(saved)))
}

fn tables(saved: &Saved) -> String {
    let machine = &saved.machine;
    let mut text = format!(
        "Machine: {}, {} cores, {}, {}.\n\n",
        machine.cpu, machine.cores, machine.memory, machine.kernel
    );
    text.push_str(
        "| figure | compared with | commit dafb6ae | target | now | |\n|---|---|---|---|---|---|\n",
    );
    for target in &TARGETS {
        if let Some(row) = target_row(saved, target) {
            text.push_str(&row);
        }
    }
    text.push_str("\n| figure | side | median | minimum | maximum | ours ÷ it | measured |\n|---|---|---|---|---|---|---|\n");
    for (name, figure) in saved.in_order() {
        let what = format!("{name} [{}], {}", figure.unit, figure.size);
        let when = format!("{}, commit {:.COMMIT$}", figure.measured, figure.commit);
        row(&mut text, &[&what, "ours"], &figure.ours, ["", &when]);
        for (peer, samples) in &figure.peers {
            row(&mut text, &["", peer], samples, [&short(figure.ratios[peer]), ""]);
        }
    }
    text.push_str("\nVersions: ");
    text.push_str(&versions(saved));
    text.push_str(".\n");
    text
}

/// None where it has not been measured.
fn target_row(saved: &Saved, target: &Target) -> Option<String> {
    let figure = saved.figures.get(target.figure)?;
    let (value, unit) = match target.peer {
        Some(peer) => (*figure.ratios.get(peer)?, String::new()),
        None => (figure.ours.median, format!(" {}", figure.unit)),
    };
    let Target { figure: name, peer, before, limit } = target;
    let (peer, value) = (peer.unwrap_or_default(), short(value));
    let word = if limit.holds(if target.peer.is_some() { figure.ratios[peer] } else { figure.ours.median }) {
        "reached"
    } else {
        "missed"
    };
    Some(format!("| {name} | {peer} | {before} | {limit}{unit} | {value}{unit} | {word} |\n"))
}

fn row(text: &mut String, names: &[&str; 2], samples: &SavedSamples, [ratio, when]: [&str; 2]) {
    let [median, minimum, maximum] = [samples.median, samples.minimum, samples.maximum].map(short);
    let [what, side] = names;
    writeln!(text, "| {what} | {side} | {median} | {minimum} | {maximum} | {ratio} | {when} |")
        .expect("writing to a String cannot fail");
}

/// Those of the newest figure.
fn versions(saved: &Saved) -> String {
    let newest = saved.figures.values().max_by_key(|figure: &&SavedFigure| &figure.measured);
    let versions = newest.into_iter().flat_map(|figure| &figure.versions);
    versions.map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ::tests::services::binaries;

    use super::{BEGIN, DOCUMENT, END, FOLDER, with_figures};
    use crate::{chart, figures_file::Saved};

    #[test]
    fn the_tables_and_the_chart_are_what_the_saved_figures_say() {
        let folder = binaries::workspace().join(FOLDER);
        let saved = Saved::read(&folder.join("figures.json")).expect("saved figures");
        let document = fs::read_to_string(binaries::workspace().join(DOCUMENT)).expect("the document");
        assert_eq!(with_figures(&document, &saved).expect("its markers"), document);
        assert_eq!(chart::of(&saved), fs::read_to_string(folder.join("chart.svg")).expect("the chart"));
    }

    #[test]
    fn a_document_without_markers_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let nothing = Saved::begin(&folder.path().join("figures.json")).expect("nothing is saved");
        for text in ["", BEGIN, END, &format!("{END}{BEGIN}")] {
            assert!(with_figures(text, &nothing).is_err());
        }
        assert!(with_figures(&format!("{BEGIN}{END}"), &nothing).is_ok());
    }
}
