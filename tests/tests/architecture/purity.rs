//! Pure files look at nothing but their arguments.

use std::iter::Peekable;
use std::path::Path;

use proc_macro2::token_stream::IntoIter;
use proc_macro2::{TokenStream, TokenTree};

use crate::{sources, text};

/// Where the pure files lie: a folder, or the beginning of a file's or a folder's name.
const PURE: [&str; 4] = ["schemas/src/", "processor/src/mapping", "processor/src/reconcile", "sink/src/plan"];

/// Beginnings of paths that reach the world, its clock or its dice.
const IMPURE: [&str; 13] = [
    "tokio",
    "rdkafka",
    "reqwest",
    "tracing",
    "rand",
    "uuid",
    "service",
    "std::time",
    "std::env",
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
];

/// Names that are impure wherever they stand in a path: the clock, and a random order of iteration.
const IMPURE_NAMES: [&str; 3] = ["now", "HashMap", "HashSet"];

#[test]
fn pure_files_name_nothing_impure() {
    let pure: Vec<_> = sources().into_iter().filter(|source| is_pure(source)).collect();
    for place in PURE {
        assert!(
            pure.iter().any(|source| source.starts_with(place) || in_place(source, place)),
            "{place} is gone"
        );
    }
    let found: Vec<_> = pure.iter().flat_map(|source| impurities(source, &text(source))).collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn something_impure_is_found_wherever_it_is_named() {
    let found = |code: &str| impurities(Path::new("schemas/src/graph.rs"), code);
    let names = |code: &str, path: &str| {
        assert_eq!(found(code), [format!("schemas/src/graph.rs names {path}")], "{code}");
    };
    names("use tokio::fs;", "tokio::fs");
    names("use std::{io::Read, time::Duration};", "std::time::Duration");
    names("use std::{env::{self}, fmt};", "std::env");
    names("use rand;", "rand");
    names("pub use ::uuid::*;", "uuid");
    names("fn f() { tracing::info!(\"{}\", 1); }", "tracing::info");
    names("fn f() { assert!(std::fs::exists(\"x\").is_ok()); }", "std::fs::exists");
    names("fn f() -> i64 { jiff::Timestamp::now().as_millisecond() }", "jiff::Timestamp::now");
    names("use std::collections::{BTreeMap, HashMap};", "std::collections::HashMap");
    names("use rdkafka as kafka;", "rdkafka");
    names("extern crate reqwest;", "reqwest");
    names("use service::config;", "service::config");
}

#[test]
fn a_word_that_is_no_path_to_the_world_is_not() {
    let code = "//! Not tokio::spawn.\nuse std::collections::BTreeMap;\nuse crate::time;\n\
                fn f(now: i64, rand: i64) -> String { let time = now + rand; format!(\"std::fs {time}\") }";
    assert_eq!(impurities(Path::new("schemas/src/graph.rs"), code), Vec::<String>::new());
}

#[test]
fn pure_files_are_told_from_the_shell_around_them() {
    let pure = [
        "schemas/src/raw.rs",
        "processor/src/mapping/user.rs",
        "processor/src/reconcile.rs",
        "sink/src/plan.rs",
    ];
    let shell =
        ["schemas/tests/graph.rs", "processor/src/task.rs", "sink/src/run.rs", "service/src/admin.rs"];
    assert!(pure.iter().all(|source| is_pure(Path::new(source))));
    assert!(shell.iter().all(|source| !is_pure(Path::new(source))));
}

fn is_pure(source: &Path) -> bool {
    PURE.iter().any(|place| in_place(source, place))
}

fn in_place(source: &Path, place: &str) -> bool {
    source.to_str().is_some_and(|source| source.starts_with(place))
}

fn impurities(source: &Path, code: &str) -> Vec<String> {
    let tokens = code.parse().expect("a source is Rust");
    let mut named = Vec::new();
    collect(&[], false, tokens, &mut named);
    let mut found: Vec<_> = named.iter().filter(|path| is_impure(path)).map(|path| path.join("::")).collect();
    found.dedup();
    found.into_iter().map(|path| format!("{} names {path}", source.display())).collect()
}

fn is_impure(path: &[String]) -> bool {
    let begins = |beginning: &&str| {
        let mut names = path.iter();
        beginning.split("::").all(|name| names.next().is_some_and(|next| next == name))
    };
    IMPURE.iter().any(begins) || path.iter().any(|name| IMPURE_NAMES.contains(&name.as_str()))
}

/// Collects every path that is named: of several names anywhere, also within macros, and of a single one where it is
/// imported; elsewhere a single name is something local, which had to be imported to be impure.
fn collect(prefix: &[String], is_import: bool, tokens: TokenStream, found: &mut Vec<Vec<String>>) {
    let mut is_import = is_import;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let name = match token {
            TokenTree::Ident(name) => name.to_string(),
            TokenTree::Group(group) => {
                collect(prefix, is_import, group.stream(), found);
                continue;
            }
            TokenTree::Punct(punct) => {
                is_import = is_import && punct.as_char() != ';';
                continue;
            }
            TokenTree::Literal(_) => continue,
        };
        match name.as_str() {
            "use" | "extern" => is_import = true,
            "as" if is_import => drop(tokens.next()),
            "self" if !prefix.is_empty() => found.push(prefix.to_vec()),
            _ => {
                let mut path = prefix.to_vec();
                path.push(name);
                let is_path = extend(&mut path, is_import, &mut tokens, found);
                if !path.is_empty() && (is_path || is_import) {
                    found.push(path);
                }
            }
        }
    }
}

/// Takes the names that follow behind `::`, or collects what stands in braces there and leaves none. Whether there was
/// a `::`.
fn extend(
    path: &mut Vec<String>,
    is_import: bool,
    tokens: &mut Peekable<IntoIter>,
    found: &mut Vec<Vec<String>>,
) -> bool {
    let mut is_path = false;
    while is_colon(tokens.peek()) {
        tokens.next();
        if !is_colon(tokens.peek()) {
            break;
        }
        tokens.next();
        is_path = true;
        match tokens.peek() {
            Some(TokenTree::Ident(name)) => path.push(name.to_string()),
            Some(TokenTree::Group(group)) if is_import => {
                collect(path, true, group.stream(), found);
                path.clear();
            }
            _ => break,
        }
        tokens.next();
    }
    is_path
}

fn is_colon(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':')
}
