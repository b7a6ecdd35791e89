//! The picture of an answer: people, workspaces and keys in three columns, and who reaches what. Pure.

use std::collections::{BTreeMap, BTreeSet};

use graph::access::{Flag, answer::Path};

use crate::{display, store::NamedType};

/// Most boxes of a column (count): the table has the rest.
const MOST: usize = 12;
/// Of the picture (units of its view).
const WIDTH: i32 = 960;
const BOX_WIDTH: i32 = 248;
const BOX_HEIGHT: i32 = 44;
const GAP: i32 = 12;
const TOP: i32 = 34;
/// Longest string in a box (columns).
const TEXT_COLUMNS: usize = 25;
const DETAIL_COLUMNS: usize = 31;

/// What the template draws.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Diagram {
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) headings: Vec<Text>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) nodes: Vec<Box>,
    pub(crate) more: Vec<Text>,
    /// Class of a line, and what it means.
    pub(crate) legend: Vec<(&'static str, &'static str)>,
}

/// A string at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) content: String,
}

/// A person, a workspace, or a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Box {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) class: String,
    pub(crate) name: String,
    pub(crate) detail: String,
    pub(crate) href: Option<String>,
}

/// A line from one box to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) d: String,
    pub(crate) class: String,
}

/// What is in the center of the picture.
pub(crate) type Center<'a> = Option<(NamedType, &'a str)>;

#[derive(Debug, Clone)]
struct Node {
    kind: NamedType,
    id: String,
    name: String,
    detail: String,
    is_unusual: bool,
    is_usable: bool,
    is_linked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Style {
    Member,
    Implicit,
    Key,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    style: Style,
    is_unusual: bool,
    is_usable: bool,
}

/// The picture of these paths. `address` gives the address of what has that ID.
pub(crate) fn diagram(
    paths: &[Path<'_>],
    center: Center<'_>,
    address: &dyn Fn(NamedType, &str) -> String,
) -> Diagram {
    let mut columns = [Column::new(), Column::new(), Column::new()];
    let mut reach: BTreeMap<(usize, usize), Line> = BTreeMap::new();
    let mut place: BTreeMap<(usize, usize), Line> = BTreeMap::new();
    for path in paths {
        let is_unusual = is_unusual(path);
        let person = person(path, center).map(|node| columns[0].add(node));
        let workspace = workspace(path).map(|node| columns[1].add(node));
        let key = key(path).map(|node| columns[2].add(node));
        let style = match path.kind {
            "member" => Style::Member,
            "implicit" => Style::Implicit,
            _ => Style::Key,
        };
        let line = Line { style, is_unusual, is_usable: path.usable };
        if let Some((person, workspace)) = person.zip(workspace) {
            merge(&mut reach, (person, workspace), line);
        }
        if let Some((workspace, key)) = workspace.zip(key) {
            merge(&mut place, (workspace, key), Line { style: Style::Member, ..line });
        }
    }
    draw(&columns, &[reach, place], center, address)
}

/// Whether somebody should look at it. In the past many paths are uncertain, which the notes say.
fn is_unusual(path: &Path<'_>) -> bool {
    path.usable && path.flags.iter().any(|flag| *flag != Flag::Uncertain.name())
}

fn merge(lines: &mut BTreeMap<(usize, usize), Line>, ends: (usize, usize), line: Line) {
    let known = lines.entry(ends).or_insert(line);
    // A key in addition to a membership is shown by the line to the key.
    let tells_more = line.style < known.style;
    let is_same = line.style == known.style;
    if tells_more {
        *known = line;
    } else if is_same {
        known.is_unusual |= line.is_unusual;
        known.is_usable |= line.is_usable;
    }
}

/// The nodes of a column in the order of the paths.
struct Column {
    nodes: Vec<Node>,
    by_id: BTreeMap<String, usize>,
}

impl Column {
    fn new() -> Self {
        Self { nodes: Vec::new(), by_id: BTreeMap::new() }
    }

    fn add(&mut self, node: Node) -> usize {
        if let Some(index) = self.by_id.get(&node.id) {
            let known = &mut self.nodes[*index];
            known.is_unusual |= node.is_unusual;
            known.is_usable |= node.is_usable;
            return *index;
        }
        self.by_id.insert(node.id.clone(), self.nodes.len());
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Those that are drawn: the center, then what is unusual, then the first ones; in the order of the paths.
    fn drawn(&self, center: Center<'_>) -> BTreeSet<usize> {
        let is_center = |node: &Node| center.is_some_and(|(kind, id)| kind == node.kind && id == node.id);
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by_key(|index| {
            let node = &self.nodes[*index];
            (!is_center(node), !node.is_unusual, *index)
        });
        order.into_iter().take(MOST).collect()
    }
}

fn person(path: &Path<'_>, center: Center<'_>) -> Option<Node> {
    let user = path.user?;
    let has_left = user.role.is_none() && path.api_key.is_some();
    let is_of_workspace = center.is_some_and(|(kind, _)| kind == NamedType::Workspace);
    let detail = match (user.role, user.email) {
        (Some(_), _) if path.api_key.is_none() && is_of_workspace => role_of(path),
        (Some(role), _) => display::role(Some(role)),
        (None, _) if has_left => "left the organization".to_owned(),
        (None, email) => email.unwrap_or_default().to_owned(),
    };
    Some(Node {
        kind: NamedType::User,
        id: user.id.to_owned(),
        name: user.name.unwrap_or(user.id).to_owned(),
        detail,
        is_unusual: has_left,
        is_usable: path.usable,
        is_linked: true,
    })
}

/// The role in the workspace; where it is derived, from what.
fn role_of(path: &Path<'_>) -> String {
    if path.kind == "implicit" { path.because.clone() } else { display::role(path.role) }
}

fn workspace(path: &Path<'_>) -> Option<Node> {
    let place = path.workspace?;
    let detail = if place.name.is_none() {
        "not listed"
    } else if path.flags.contains(&"workspace_archived") {
        "archived"
    } else {
        ""
    };
    Some(Node {
        kind: NamedType::Workspace,
        id: place.id.to_owned(),
        name: place.name.unwrap_or(place.id).to_owned(),
        detail: detail.to_owned(),
        is_unusual: path.usable && !detail.is_empty(),
        is_usable: path.usable,
        is_linked: true,
    })
}

fn key(path: &Path<'_>) -> Option<Node> {
    let key = path.api_key?;
    let mut detail = vec![key.status.unwrap_or("unknown").to_owned()];
    let hint = display::hint(key.hint);
    detail.extend((!hint.is_empty()).then_some(hint));
    let noted = ["creator_left", "acts_for_other", "organization_wide", "creator_unknown"];
    let note = noted.iter().find(|flag| path.flags.contains(flag)).filter(|_| path.usable);
    detail.extend(note.map(|flag| flag.replace('_', " ")));
    Some(Node {
        kind: NamedType::ApiKey,
        id: key.id.to_owned(),
        name: key.name.to_owned(),
        detail: detail.join(" · "),
        is_unusual: is_unusual(path),
        is_usable: path.usable,
        is_linked: true,
    })
}

fn draw(
    columns: &[Column; 3],
    lines: &[BTreeMap<(usize, usize), Line>; 2],
    center: Center<'_>,
    address: &dyn Fn(NamedType, &str) -> String,
) -> Diagram {
    let drawn: Vec<BTreeSet<usize>> = columns.iter().map(|column| column.drawn(center)).collect();
    let rows = |index: usize| {
        let more = usize::from(columns[index].nodes.len() > drawn[index].len());
        i32::try_from(drawn[index].len() + more).unwrap_or(0)
    };
    let most = (0..3).map(rows).max().unwrap_or(0).max(1);
    let height = TOP + most * (BOX_HEIGHT + GAP);
    let mut diagram = Diagram { width: WIDTH, height, ..Diagram::default() };
    let mut at: Vec<BTreeMap<usize, i32>> = Vec::new();
    for (index, heading) in ["People", "Workspaces", "API keys"].into_iter().enumerate() {
        let x = column_x(index);
        let number = columns[index].nodes.len();
        diagram.headings.push(Text {
            x,
            y: 16,
            content: format!("{heading} · {}", display::count_of(number)),
        });
        let mut y = TOP + (most - rows(index)) * (BOX_HEIGHT + GAP) / 2;
        let mut places = BTreeMap::new();
        for node in &drawn[index] {
            diagram.nodes.push(boxed(&columns[index].nodes[*node], x, y, center, address));
            places.insert(*node, y + BOX_HEIGHT / 2);
            y += BOX_HEIGHT + GAP;
        }
        let hidden = number - drawn[index].len();
        if hidden > 0 {
            let content = format!("+ {} more, in the table below", display::count_of(hidden));
            diagram.more.push(Text { x: x + 12, y: y + BOX_HEIGHT / 2, content });
        }
        at.push(places);
    }
    for (side, lines) in lines.iter().enumerate() {
        for ((from, to), line) in lines {
            let (Some(from), Some(to)) = (at[side].get(from), at[side + 1].get(to)) else { continue };
            diagram.edges.push(edge(side, *from, *to, *line));
        }
    }
    // What is unusual is drawn over the rest.
    diagram.edges.sort_by_key(|edge| edge.class.contains("unusual"));
    diagram.legend = legend(&diagram.edges);
    diagram
}

/// What the lines that are drawn mean.
fn legend(edges: &[Edge]) -> Vec<(&'static str, &'static str)> {
    let all = [
        ("member", "listed: a member, or a key of the workspace"),
        ("implicit", "implicit: derived from the role in the organization"),
        ("key", "only through an API key"),
        ("unusual", "unusual: the notes say why"),
        ("unusable", "cannot be used"),
    ];
    let is_drawn = |class: &str| edges.iter().any(|edge| edge.class.split(' ').any(|it| it == class));
    all.into_iter().filter(|(class, _)| is_drawn(class)).collect()
}

fn column_x(index: usize) -> i32 {
    let step = (WIDTH - BOX_WIDTH - 2) / 2;
    1 + step * i32::try_from(index).unwrap_or(0)
}

fn boxed(
    node: &Node,
    x: i32,
    y: i32,
    center: Center<'_>,
    address: &dyn Fn(NamedType, &str) -> String,
) -> Box {
    let mut class = vec!["node"];
    if center.is_some_and(|(kind, id)| kind == node.kind && id == node.id) {
        class.push("center");
    }
    if node.is_unusual {
        class.push("unusual");
    }
    if !node.is_usable {
        class.push("unusable");
    }
    Box {
        x,
        y,
        class: class.join(" "),
        name: display::fitted(&node.name, TEXT_COLUMNS),
        detail: display::fitted(&node.detail, DETAIL_COLUMNS),
        href: node.is_linked.then(|| address(node.kind, &node.id)),
    }
}

fn edge(side: usize, from_y: i32, to_y: i32, line: Line) -> Edge {
    let (from_x, to_x) = (column_x(side) + BOX_WIDTH, column_x(side + 1));
    let middle = i32::midpoint(from_x, to_x);
    let mut class = vec![match line.style {
        Style::Member => "edge member",
        Style::Implicit => "edge implicit",
        Style::Key => "edge key",
    }];
    if line.is_unusual {
        class.push("unusual");
    }
    if !line.is_usable {
        class.push("unusable");
    }
    Edge {
        d: format!("M{from_x} {from_y}C{middle} {from_y} {middle} {to_y} {to_x} {to_y}"),
        class: class.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use graph::access::answer::{ApiKey, Path, User, Workspace};

    use super::{Diagram, MOST, diagram};
    use crate::store::NamedType;

    fn user<'a>(id: &'a str, name: &'a str, role: Option<&'a str>) -> User<'a> {
        User { id, name: Some(name), email: None, role }
    }

    fn path<'a>(kind: &'static str, user: impl Into<Option<User<'a>>>, workspace: &'a str) -> Path<'a> {
        Path {
            kind,
            user: user.into(),
            workspace: Some(Workspace { id: workspace, name: Some(workspace) }),
            role: Some("workspace_developer"),
            because: if kind == "implicit" { "admin of the organization" } else { "member of the workspace" }
                .to_owned(),
            api_key: None,
            usable: true,
            flags: Vec::new(),
        }
    }

    fn through<'a>(
        key: &'a str,
        user: impl Into<Option<User<'a>>>,
        workspace: &'a str,
        usable: bool,
        flags: &[&'static str],
    ) -> Path<'a> {
        let status = Some(if usable { "active" } else { "inactive" });
        Path {
            role: None,
            because: "created the key".to_owned(),
            api_key: Some(ApiKey { id: key, name: key, hint: Some("sk-ant-api03-...igAA"), status }),
            usable,
            flags: flags.to_vec(),
            ..path("key", user, workspace)
        }
    }

    fn texts(diagram: &Diagram) -> String {
        let boxes = diagram.nodes.iter().map(|it| {
            let href = it.href.as_deref().unwrap_or_default();
            format!("{:>4} {:>4} [{}] {} | {} -> {href}", it.x, it.y, it.class, it.name, it.detail)
        });
        let edges = diagram.edges.iter().map(|it| format!("[{}] {}", it.class, it.d));
        let texts = diagram
            .headings
            .iter()
            .chain(&diagram.more)
            .map(|it| format!("{:>4} {:>4} {}", it.x, it.y, it.content));
        let size = format!("{} x {}", diagram.width, diagram.height);
        [size].into_iter().chain(texts).chain(boxes).chain(edges).collect::<Vec<_>>().join("\n")
    }

    fn link(kind: NamedType, id: &str) -> String {
        format!("{}={id}", kind.parameter())
    }

    #[test]
    fn a_workspace_has_its_people_before_it_and_its_keys_behind_it() {
        let ada = user("user_1", "Ada Diaz", Some("admin"));
        let misaki = user("user_2", "佐藤 美咲", Some("developer"));
        let monica = user("user_3", "Mónica Müller", None);
        let paths = [
            path("implicit", ada, "Production"),
            path("member", misaki, "Production"),
            through("ci", misaki, "Production", true, &[]),
            through("load-test", monica, "Production", true, &["creator_left", "outlives_creator"]),
            through("old", None, "Production", false, &["creator_unknown"]),
        ];
        let drawn = diagram(&paths, Some((NamedType::Workspace, "Production")), &link);
        insta::assert_snapshot!("workspace", texts(&drawn));
        let legend: Vec<&str> = drawn.legend.iter().map(|(class, _)| *class).collect();
        assert_eq!(legend, ["member", "implicit", "key", "unusual", "unusable"]);
    }

    #[test]
    fn a_long_column_keeps_what_is_unusual() {
        let ids: Vec<String> = (0..40).map(|number| format!("key_{number:02}")).collect();
        let flags =
            |number: usize| -> &'static [&'static str] { if number == 33 { &["creator_left"] } else { &[] } };
        let paths: Vec<Path<'_>> = ids
            .iter()
            .enumerate()
            .map(|(number, id)| through(id, None, "Production", true, flags(number)))
            .collect();
        let drawn = diagram(&paths, Some((NamedType::Workspace, "Production")), &link);
        let keys: Vec<&str> =
            drawn.nodes.iter().map(|it| it.name.as_str()).filter(|name| name.starts_with("key")).collect();
        assert_eq!(keys.len(), MOST);
        assert_eq!(keys.first().zip(keys.last()), Some((&"key_00", &"key_33")));
        assert_eq!(drawn.more[0].content, "+ 28 more, in the table below");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(diagram(&[], None, &link).nodes.is_empty());
    }
}
