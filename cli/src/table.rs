//! Tables of paths for people: people first, then keys. Unusual rows are marked, with what is unusual on a line below
//! them, and tables fit the terminal.

use std::collections::BTreeMap;

use graph::{
    access::{
        Flag,
        answer::{Changed, Path, User},
    },
    text::clean,
};

use crate::cell::{fitted, width, wrapped};

const GAP: &str = "  ";
/// Narrowest column, so that names stay distinguishable.
const NARROWEST: usize = 12;
/// Widest column.
const WIDEST: usize = 60;
/// Most workspaces of a row that are named (count); more are only counted.
const NAMED: usize = 2;
/// Heading of the column that is omitted for a question about one workspace.
const WORKSPACE: &str = "WORKSPACE";
/// Marks an unusual row.
const UNUSUAL: &str = "! ";
/// Begins a line about the row above it.
const INDENT: &str = "      ";

/// How a table is laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Columns of the terminal; `None` for unlimited.
    pub(crate) columns: Option<usize>,
    /// Whether each row names its workspace; not needed if the question does.
    pub(crate) has_workspace: bool,
}

/// A path with its mark, and its notes unless they are its flags.
type Marked<'a, 'p> = (&'static str, &'a Path<'p>, Option<String>);

/// A row: its mark, its cells, and what the line below it says.
struct Row {
    mark: &'static str,
    cells: Vec<String>,
    notes: String,
}

/// A note as tables have it.
pub(crate) fn note(flag: &str) -> String {
    flag.replace('_', " ")
}

/// The tables of these paths: one of people and one of keys.
pub(crate) fn paths(paths: &[Path<'_>], layout: Layout) -> Vec<String> {
    let marked = |path: &Path<'_>| if path.flags.is_empty() { "  " } else { UNUSUAL };
    let rows: Vec<Marked<'_, '_>> = paths.iter().map(|path| (marked(path), path, None)).collect();
    tables(&rows, layout)
}

/// The tables of gained, lost and changed paths.
pub(crate) fn difference(
    gained: &[Path<'_>],
    lost: &[Path<'_>],
    changed: &[Changed<'_>],
    layout: Layout,
) -> Vec<String> {
    let mut rows: Vec<Marked<'_, '_>> = Vec::new();
    rows.extend(gained.iter().map(|path| ("+ ", path, None)));
    rows.extend(lost.iter().map(|path| ("- ", path, None)));
    rows.extend(changed.iter().map(|changed| ("~ ", &changed.after, Some(what_changed(changed)))));
    tables(&rows, layout)
}

fn tables(rows: &[Marked<'_, '_>], layout: Layout) -> Vec<String> {
    let (keys, people): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, path, _)| path.api_key.is_some());
    let mut lines = Vec::new();
    if !people.is_empty() {
        let headings = ["PERSON", WORKSPACE, "ROLE", "WHY"];
        lines.extend(table(&headings, grouped(&people, &headings, person_cells), layout));
    }
    if !keys.is_empty() {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        let headings = ["API KEY", "HINT", WORKSPACE, "STATUS", "PERSON", "WHY"];
        lines.extend(table(&headings, grouped(&keys, &headings, key_cells), layout));
    }
    lines
}

/// Paths that differ only in their workspace share a row, in the order of the first.
fn grouped(
    rows: &[&Marked<'_, '_>],
    headings: &[&str],
    cells: impl Fn(&Path<'_>) -> Vec<String>,
) -> Vec<Row> {
    let mut grouped: Vec<(Row, Vec<String>)> = Vec::new();
    let mut places = BTreeMap::new();
    for (mark, path, notes) in rows {
        let cells = cells(path);
        let notes = notes.clone().unwrap_or_else(|| note(&path.flags.join(", ")));
        let key = path.api_key.map(|key| key.id);
        let identity = (*mark, path.user.map(|user| user.id), key, cells.clone(), notes.clone());
        let place = *places.entry(identity).or_insert_with(|| {
            grouped.push((Row { mark, cells, notes }, Vec::new()));
            grouped.len() - 1
        });
        let name = path.workspace.map_or("none that is known", |place| place.name.unwrap_or(place.id));
        grouped[place].1.push(spaced(name));
    }
    let join = |(mut row, workspaces): (Row, Vec<String>)| {
        let count = workspaces.len();
        let workspaces = if count > NAMED { format!("{count} workspaces") } else { workspaces.join(", ") };
        row.cells.insert(workspace_column(headings), workspaces);
        row
    };
    grouped.into_iter().map(join).collect()
}

fn person_cells(path: &Path<'_>) -> Vec<String> {
    let person = path.user.map_or_else(String::new, |user| person(&user));
    vec![person, role(path.role), clean(&path.because)]
}

fn key_cells(path: &Path<'_>) -> Vec<String> {
    let name = path.api_key.map_or_else(String::new, |key| spaced(key.name));
    let hint = path.api_key.and_then(|key| key.hint).unwrap_or_default();
    // Keys differ in their last characters.
    let hint = hint.rsplit_once("...").map_or_else(|| clean(hint), |(_, end)| format!("…{}", clean(end)));
    let status = path.api_key.and_then(|key| key.status).unwrap_or("unknown");
    let person = path.user.map_or_else(|| "unknown".to_owned(), |user| person(&user));
    vec![name, hint, clean(status), person, clean(&path.because)]
}

fn role(role: Option<&str>) -> String {
    let role = clean(role.unwrap_or("unknown"));
    role.strip_prefix("workspace_").unwrap_or(&role).replace('_', " ")
}

fn person(user: &User<'_>) -> String {
    let name = user.name.unwrap_or(user.id);
    let address = user.email.filter(|email| *email != name);
    spaced(&address.map_or_else(|| name.to_owned(), |address| format!("{name} <{address}>")))
}

/// The text with repeated spaces collapsed.
fn spaced(text: &str) -> String {
    clean(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn what_changed(Changed { before, after }: &Changed<'_>) -> String {
    let mut notes = Vec::new();
    if before.role != after.role {
        notes.push(format!("the role was {}", role(before.role)));
    }
    if before.because != after.because {
        notes.push(format!("the reason was: {}", clean(&before.because)));
    }
    let status = |path: &Path<'_>| path.api_key.and_then(|key| key.status).unwrap_or("unknown").to_owned();
    if status(before) != status(after) {
        notes.push(format!("the status was {}", clean(&status(before))));
    }
    for flag in Flag::ALL {
        let has = |path: &Path<'_>| path.flags.contains(&flag.name());
        if has(before) != has(after) {
            let (begins, ends) = sentences(flag);
            notes.push(if has(after) { begins } else { ends }.to_owned());
        }
    }
    notes.retain(|note| !note.is_empty());
    let notes = notes.join("; ");
    match (before.usable, after.usable) {
        (true, false) => format!("no longer usable: {notes}"),
        (false, true) => format!("usable again: {notes}"),
        _ => notes,
    }
}

/// What it means that a flag is set, and that it no longer is. One about the moment says nothing about the access.
fn sentences(flag: Flag) -> (&'static str, &'static str) {
    match flag {
        Flag::ActsForOther => ("the key acts for someone else", "the key acts for its creator"),
        Flag::CreatorLeft => ("the creator left", "the creator is back"),
        Flag::CreatorUnknown => ("the creator is unknown", "the creator is known"),
        Flag::DeletionHeld => ("a deletion waits for a decision", "no deletion waits for a decision"),
        Flag::Expired => ("the key has expired", "the key has not expired"),
        Flag::OrganizationWide => ("the key belongs to the organization", "the key belongs to a workspace"),
        Flag::OutlivesCreator => ("the key outlives its creator", "the key does not outlive its creator"),
        Flag::PrincipalLeft => {
            ("the user that the key acts as left", "the user that the key acts as is back")
        }
        Flag::ReachUnknown => ("the reach of the key is unknown", "the reach of the key is known"),
        Flag::Uncertain => ("", ""),
        Flag::WorkspaceArchived => ("the workspace is archived", "the workspace is not archived"),
        Flag::WorkspaceNotListed => ("the workspace is not listed", "the workspace is listed"),
        Flag::WorkspaceUnknown => ("the workspace is unknown", "the workspace is known"),
    }
}

fn table(headings: &[&str], mut rows: Vec<Row>, layout: Layout) -> Vec<String> {
    let cells = headings.iter().map(ToString::to_string).collect();
    rows.insert(0, Row { mark: "  ", cells, notes: String::new() });
    if !layout.has_workspace {
        for row in &mut rows {
            row.cells.remove(workspace_column(headings));
        }
    }
    let widest = |column: usize| rows.iter().map(|row| width(&row.cells[column])).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..rows[0].cells.len()).map(widest).collect();
    narrow(&mut widths, layout.columns);
    rows.iter().flat_map(|row| lines(row, &widths, layout.columns)).collect()
}

/// The row, and its notes below it, with WHY if that did not fit.
fn lines(row: &Row, widths: &[usize], columns: Option<usize>) -> Vec<String> {
    let cells = row.cells.iter().zip(widths).map(|(cell, columns)| fitted(cell, *columns));
    let line = format!("{}{}", row.mark, cells.collect::<Vec<_>>().join(GAP));
    let cut = row.cells.last().zip(widths.last()).filter(|(why, columns)| width(why) > **columns);
    let notes = [cut.map_or("", |(why, _)| why), row.notes.as_str()];
    let notes = notes.into_iter().filter(|note| !note.is_empty()).collect::<Vec<_>>().join("; ");
    let mut lines = vec![line.trim_end().to_owned()];
    if !notes.is_empty() {
        lines.extend(wrapped(&format!("{INDENT}{notes}"), columns, INDENT.len()));
    }
    lines
}

fn workspace_column(headings: &[&str]) -> usize {
    headings.iter().position(|heading| *heading == WORKSPACE).expect("each table has it")
}

/// Narrows the widest columns until the table fits.
fn narrow(widths: &mut [usize], columns: Option<usize>) {
    let gaps = UNUSUAL.len() + GAP.len() * widths.len().saturating_sub(1);
    for width in widths.iter_mut() {
        *width = WIDEST.min(*width);
    }
    let mut order: Vec<usize> = (0..widths.len()).collect();
    let Some(columns) = columns else { return };
    while widths.iter().sum::<usize>() + gaps > columns {
        order.sort_by_key(|column| std::cmp::Reverse(widths[*column]));
        let Some(widest) = order.first().filter(|column| widths[**column] > NARROWEST) else { return };
        widths[*widest] -= 1;
    }
}
