//! The messages and fields of the logs follow docs/LOGGING.md.

use std::collections::BTreeSet;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::{sources, text};

/// The crates whose logs users read.
const CRATES: [&str; 8] = ["cli", "console", "graph", "processor", "producer", "service", "sink", "verify"];
const LEVELS: [&str; 3] = ["info", "warn", "error"];
/// A subject and what happened to it.
const LEAST_WORDS: usize = 3;

/// One call of a macro of a level that is shown by default.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    fields: Vec<String>,
    message: String,
}

#[test]
fn messages_name_their_subject_and_outcome() {
    let problems: Vec<String> = lines()
        .into_iter()
        .filter_map(|(source, line)| Some(format!("{source}: {}", problem(&line)?)))
        .collect();
    assert!(problems.is_empty(), "see docs/LOGGING.md:\n{}", problems.join("\n"));
}

#[test]
fn fields_are_those_that_the_page_documents() {
    let page = text(Path::new("docs/LOGGING.md"));
    let rows = page.split_once("| field | meaning |").expect("the page has its table").1;
    let cells =
        rows.lines().filter_map(|row| row.strip_prefix("| `")).filter_map(|row| row.split(" |").next());
    let documented: BTreeSet<String> =
        cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`').to_owned()).collect();
    let used: BTreeSet<String> = lines().into_iter().flat_map(|(_, line)| line.fields).collect();
    let missing: Vec<_> = used.difference(&documented).collect();
    assert!(missing.is_empty(), "use a field of docs/LOGGING.md, or document these there: {missing:?}");
    let unused: Vec<_> = documented.difference(&used).collect();
    assert!(unused.is_empty(), "docs/LOGGING.md documents fields that no log has: {unused:?}");
}

#[test]
fn lines_are_found_with_their_fields_and_message() {
    let code = "fn f() { tracing::info!(a.b = x(1, \"no\"), ?c, d = %e, f, \"one {} three\", g); if true { warn!(\"{h:#}\") } }";
    let line = |fields: &[&str], message: &str| Line {
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        message: message.to_owned(),
    };
    assert_eq!(found(code), [line(&["a.b", "c", "d", "f"], "one {} three"), line(&[], "{h:#}")]);
    let problem = |message| problem(&line(&[], message)).is_some();
    assert!(problem("polled") && problem("is done.") && problem("it is over."));
    assert!(!problem("polled {name}: {count} listings") && !problem("{text}"));
}

fn problem(line: &Line) -> Option<String> {
    let message = &line.message;
    // The text of an error, or of a reason that is shown elsewhere too.
    let is_passed_on = message.starts_with('{') && message.ends_with('}') && !message.contains(' ');
    if !is_passed_on && message.split_whitespace().count() < LEAST_WORDS {
        Some(format!("{message:?} does not name its subject and outcome"))
    } else if message.ends_with('.') {
        Some(format!("{message:?} ends with a full stop"))
    } else {
        None
    }
}

/// With the source that it is in.
fn lines() -> Vec<(String, Line)> {
    let is_wanted = |source: &&std::path::PathBuf| {
        let mut names = source.iter().filter_map(|name| name.to_str());
        let is_of_crate =
            names.next().is_some_and(|name| CRATES.contains(&name)) && names.next() == Some("src");
        is_of_crate && !names.any(|name| name.starts_with("tests"))
    };
    let mut all = Vec::new();
    for source in sources().iter().filter(is_wanted) {
        all.extend(found(&text(source)).into_iter().map(|line| (source.display().to_string(), line)));
    }
    assert!(all.len() > 100, "the logs are not found");
    all
}

fn found(code: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    find(code.parse().expect("sources are Rust"), &mut lines);
    lines
}

fn find(tokens: TokenStream, lines: &mut Vec<Line>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let is_log = at >= 2
            && group.delimiter() == Delimiter::Parenthesis
            && tokens[at - 1].to_string() == "!"
            && LEVELS.contains(&tokens[at - 2].to_string().as_str());
        if is_log {
            lines.push(line(group.stream()));
        } else {
            find(group.stream(), lines);
        }
    }
}

/// The fields come before the message, which is the first argument that is a string alone.
fn line(arguments: TokenStream) -> Line {
    let mut line = Line { fields: Vec::new(), message: String::new() };
    let arguments: Vec<TokenTree> = arguments.into_iter().collect();
    for argument in arguments.split(|token| token.to_string() == ",") {
        match argument {
            [TokenTree::Literal(literal)] => {
                let literal = literal.to_string();
                literal.trim_matches('"').clone_into(&mut line.message);
                break;
            }
            argument => {
                let name = argument.iter().map(ToString::to_string).take_while(|token| token != "=");
                line.fields.push(name.filter(|token| token != "?" && token != "%").collect());
            }
        }
    }
    line
}
