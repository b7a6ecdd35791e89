//! The files of a crate import each other in one direction.
//!
//! A module and what is inside it are one thing, so a file may name what its parent has. Apart from that, the modules of
//! one parent, each with all that is inside it, must not import each other in a circle. Tests may.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::path::Path;

use proc_macro2::token_stream::IntoIter;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::{sources, text};

/// A module's names, from the crate on.
type Module = Vec<String>;
/// Of the modules of one parent: which imports which, and a path that says so.
type Imports = BTreeMap<String, BTreeMap<String, String>>;

#[test]
fn no_files_of_a_crate_import_each_other_in_a_circle() {
    let files: Vec<(Module, String)> =
        sources().iter().filter_map(|source| Some((module(source)?, text(source)))).collect();
    assert!(files.iter().any(|(module, _)| *module == ["graph", "listing"]), "modules are not found");
    assert_eq!(circles(&files), Vec::<String>::new());
}

#[test]
fn a_circle_is_found_between_files_and_between_folders() {
    let two = [("job", "use crate::upload::upload;"), ("upload", "fn f(_: &crate::job::Halt) {}")];
    assert_eq!(found(&two), ["a::job imports crate::upload::upload", "a::upload imports crate::job::Halt"]);
    let nested = [
        ("run", ""),
        ("run/once", "use crate::{state::{self, Now}, task::Task as T};"),
        ("task", ""),
        ("task/end", "use super::super::run::Options;"),
        ("state", ""),
    ];
    assert_eq!(
        found(&nested),
        ["a::run::once imports crate::task::Task", "a::task::end imports super::super::run::Options"]
    );
    let within = [("m", ""), ("m/x", "use super::y::Y;"), ("m/y", "const X: u8 = crate::m::x::X;")];
    assert_eq!(found(&within).len(), 2);
}

#[test]
fn imports_without_a_circle_are_allowed() {
    let parent = [("plan", "mod guard; use self::guard::Sampled;"), ("plan/guard", "use super::Rules;")];
    assert_eq!(found(&parent), Vec::<String>::new());
    let tested = [
        ("job", "use crate::upload::upload;"),
        ("upload", "// crate::job\n#[cfg(test)]\nmod tests { use crate::job::Halt; }"),
    ];
    assert_eq!(found(&tested), Vec::<String>::new());
}

fn found(files: &[(&str, &str)]) -> Vec<String> {
    let file = |(name, code): &(&str, &str)| {
        (module(Path::new(&format!("a/src/{name}.rs"))).expect("a module"), (*code).to_owned())
    };
    circles(&files.iter().map(file).collect::<Vec<_>>())
}

/// The module that a source is, if it is one of a library, or of a program that has none.
fn module(source: &Path) -> Option<Module> {
    let path = source.with_extension("");
    let mut names: Vec<String> = path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if names.len() < 3 || names.remove(1) != "src" || names[1] == "bin" {
        return None;
    }
    let is_program = names.len() == 2 && names[1] == "main";
    if is_program && sources().iter().any(|other| *other == source.with_file_name("lib.rs")) {
        return None;
    }
    if is_program || matches!(names.last().map(String::as_str), Some("lib" | "mod")) {
        names.pop();
    }
    (!names.iter().any(|name| name == "tests" && names[0] != "tests")).then_some(names)
}

/// The imports that form a circle.
fn circles(files: &[(Module, String)]) -> Vec<String> {
    let modules: BTreeSet<&Module> = files.iter().map(|(module, _)| module).collect();
    let mut by_parent: BTreeMap<&[String], Imports> = BTreeMap::new();
    for (from, code) in files {
        for path in paths(code) {
            let to = resolved(from, &path, &modules);
            let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if let (Some(importing), Some(imported)) = (from.get(common), to.get(common)) {
                let imports = by_parent.entry(&from[..common]).or_default();
                imports.entry(imported.clone()).or_default();
                let why = format!("{} imports {}", from.join("::"), path.join("::"));
                imports.entry(importing.clone()).or_default().entry(imported.clone()).or_insert(why);
            }
        }
    }
    let circular = by_parent.into_values().flat_map(|mut imports| {
        strip(&mut imports);
        imports.into_values().flat_map(BTreeMap::into_values)
    });
    circular.collect()
}

/// Takes away whatever imports nothing or is imported by nothing, until only circles and what joins them are left.
fn strip(imports: &mut Imports) {
    loop {
        let imported: BTreeSet<String> = imports.values().flat_map(BTreeMap::keys).cloned().collect();
        let is_loose =
            |name: &String, its: &BTreeMap<String, String>| its.is_empty() || !imported.contains(name);
        let loose: Vec<String> =
            imports.iter().filter(|(name, its)| is_loose(name, its)).map(|(name, _)| name.clone()).collect();
        if loose.is_empty() {
            return;
        }
        for name in loose {
            imports.remove(&name);
            for its in imports.values_mut() {
                its.remove(&name);
            }
        }
    }
}

/// The module in which a path ends that is named in another one.
fn resolved(from: &Module, path: &[String], modules: &BTreeSet<&Module>) -> Module {
    let mut to = from.clone();
    for name in path {
        match name.as_str() {
            "crate" => to.truncate(1),
            "self" => {}
            "super" => drop(to.pop()),
            _ => to.push(name.clone()),
        }
    }
    while to.len() > 1 && !modules.contains(&to) {
        to.pop();
    }
    to
}

/// The paths into its own crate that a source names, in imports and elsewhere, but for its tests.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    collect(code.parse().expect("a source is Rust"), &mut found);
    found
}

fn collect(tokens: TokenStream, found: &mut Vec<Vec<String>>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' && is_for_tests(tokens.peek()) => {
                let ends = |token: &TokenTree| match token {
                    TokenTree::Punct(punct) => punct.as_char() == ';',
                    TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                    _ => false,
                };
                tokens.find(ends);
            }
            TokenTree::Ident(name) if name == "crate" || name == "self" || name == "super" => {
                follow(vec![name.to_string()], &mut tokens, found);
            }
            TokenTree::Group(group) => collect(group.stream(), found),
            _ => {}
        }
    }
}

fn is_for_tests(attribute: Option<&TokenTree>) -> bool {
    attribute.is_some_and(|attribute| attribute.to_string().replace(' ', "") == "[cfg(test)]")
}

/// Takes the rest of a path, and all of them where it branches.
fn follow(mut path: Vec<String>, tokens: &mut Peekable<IntoIter>, found: &mut Vec<Vec<String>>) {
    while is_colon(tokens.peek()) {
        tokens.next();
        if !is_colon(tokens.peek()) {
            break;
        }
        tokens.next();
        match tokens.peek() {
            Some(TokenTree::Ident(name)) => path.push(name.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let mut branches = group.stream().into_iter().peekable();
                tokens.next();
                while let Some(branch) = branches.next() {
                    match branch {
                        TokenTree::Ident(name) if name == "as" => drop(branches.next()),
                        TokenTree::Ident(name) => {
                            let branch = path.iter().cloned().chain([name.to_string()]).collect();
                            follow(branch, &mut branches, found);
                        }
                        _ => {}
                    }
                }
                return;
            }
            _ => break,
        }
        tokens.next();
    }
    if path.len() > 1 {
        found.push(path);
    }
}

fn is_colon(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':')
}
