//! The strings that docs/troubleshooting.md explains are those of the programs.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr as _;

use proc_macro2::{TokenStream, TokenTree};

use crate::{sources, text};

/// Stands for a value, both in a string on the page and in one of the source.
const VALUE: &str = "…";
const CRATES: [&str; 8] = ["cli", "console", "graph", "processor", "producer", "schemas", "service", "sink"];

#[test]
fn each_text_that_the_page_explains_is_in_the_source() {
    let page = text(Path::new("docs/troubleshooting.md"));
    let texts = explained(&page);
    assert!(texts.len() > 40, "the texts are not found");
    let sources: BTreeSet<String> = sources()
        .iter()
        .filter(|source| {
            let mut names = source.iter().filter_map(|name| name.to_str());
            names.next().is_some_and(|name| CRATES.contains(&name)) && names.next() == Some("src")
        })
        .flat_map(|source| literals(&text(source)))
        .collect();
    let unknown: Vec<&String> =
        texts.iter().filter(|text| !sources.iter().any(|source| is_of(text, source))).collect();
    assert!(unknown.is_empty(), "no program has these texts: {unknown:#?}");
}

#[test]
fn a_text_is_compared_without_its_values() {
    let source =
        literals("fn f() { g(\"the topic {topic} is \\\n    {n:?} \\\"x\\\"; do it\", r#\"raw `{0}`\"#) }");
    assert_eq!(source, ["the topic … is … \"x\"; do it", "raw …"]);
    let is_of = |text: &str| is_of(text, &source[0]);
    assert!(is_of("the topic … is … \"x\"; do it"));
    assert!(is_of("the topic … is …"), "its beginning");
    assert!(is_of("… is … \"x\"; …"), "a part of it");
    assert!(!is_of("the topic … was … \"x\"; do it"));
    let page = "| text | cause |\n|---|---|\n| `a b … c` | `d` |\n";
    assert_eq!(explained(page), ["a b … c"]);
}

/// The first cells of the page's tables, without the marks of code.
fn explained(page: &str) -> Vec<String> {
    let cells = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    cells.map(|(text, _)| text.to_owned()).collect()
}

/// Whether a string on the page is a part of a string in the source. The page may leave out what a value or `…` replaces.
fn is_of(text: &str, source: &str) -> bool {
    let mut rest = source;
    text.split(VALUE).map(str::trim).filter(|part| !part.is_empty()).all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

/// The string literals of a source, with `…` in the place of each value.
fn literals(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    find(TokenStream::from_str(code).expect("sources are Rust"), &mut found);
    found
}

fn find(tokens: TokenStream, found: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => find(group.stream(), found),
            TokenTree::Literal(literal) => {
                let literal = literal.to_string();
                let is_raw = literal.starts_with('r');
                let literal = literal.trim_start_matches(['r', '#']).trim_end_matches('#');
                if let Some(quoted) = literal.strip_prefix('"').and_then(|it| it.strip_suffix('"')) {
                    found.push(without_values(&if is_raw { quoted.to_owned() } else { unescaped(quoted) }));
                }
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}

/// A backslash before a line's end joins the two lines.
fn unescaped(literal: &str) -> String {
    let mut lines = literal.split("\\\n");
    let mut text = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        text.push_str(line.trim_start());
    }
    text.replace("\\\"", "\"")
}

fn without_values(literal: &str) -> String {
    let literal = literal.replace("{{", "\0").replace("}}", "\u{1}");
    let mut parts = literal.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(VALUE);
        text.push_str(part.split_once('}').map_or(part, |(_, rest)| rest));
    }
    // Markdown has no marks of code within code.
    text.replace('\0', "{").replace('\u{1}', "}").replace('`', "")
}
