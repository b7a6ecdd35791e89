//! docs/endpoints.md has each route of the servers, and each status that they answer.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr as _;

use proc_macro2::{TokenStream, TokenTree};
use reqwest::StatusCode;

use crate::text;

/// What the router itself answers, and what an answer without a status has.
const OF_AXUM: [u16; 4] = [200, 303, 404, 405];

#[test]
fn the_page_has_the_routes_and_statuses_of_the_servers() {
    let page = text(Path::new("docs/endpoints.md"));
    for (title, sources) in [
        ("\n## Services\n", ["service/src/admin.rs"].as_slice()),
        ("\n## Console\n", ["console/src/server.rs", "console/src/access_control.rs"].as_slice()),
    ] {
        let (_, section) = page.split_once(title).expect("the page has the section");
        let section = section.split("\n## ").next().unwrap_or_default();
        let (mut routes, mut statuses) = (BTreeSet::new(), BTreeSet::new());
        for source in sources {
            let tokens = TokenStream::from_str(&text(Path::new(source))).expect("sources are Rust");
            find(tokens, &mut routes, &mut statuses);
        }
        assert_eq!(cells(section, "| `"), routes, "the routes of{title}");
        let documented: BTreeSet<u16> =
            cells(section, "| ").iter().filter_map(|cell| cell.parse().ok()).collect();
        let undocumented: Vec<&u16> = statuses.difference(&documented).collect();
        assert!(undocumented.is_empty(), "the page lacks these statuses of{title}: {undocumented:?}");
        statuses.extend(OF_AXUM);
        let invented: Vec<&u16> = documented.difference(&statuses).collect();
        assert!(invented.is_empty(), "no source answers these statuses of{title}: {invented:?}");
    }
}

#[test]
fn routes_and_statuses_are_found_in_the_source() {
    let source = "fn f() { Router::new().route(\"/a\", get(x).post(y)).route(\"/b\", get(async || StatusCode::NOT_FOUND)) }";
    let (mut routes, mut statuses) = (BTreeSet::new(), BTreeSet::new());
    find(TokenStream::from_str(source).expect("Rust"), &mut routes, &mut statuses);
    assert_eq!(routes, ["GET /a", "POST /a", "GET /b"].map(str::to_owned).into());
    assert_eq!(statuses, [404].into());
}

/// The first cells of tables that begin so.
fn cells(section: &str, begin: &str) -> BTreeSet<String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix(begin)?.split_once(" |"));
    rows.map(|(cell, _)| cell.trim_end_matches('`').to_owned()).collect()
}

fn find(tokens: TokenStream, routes: &mut BTreeSet<String>, statuses: &mut BTreeSet<u16>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let next = tokens.get(at + 1);
        match (token, next) {
            (TokenTree::Ident(name), Some(TokenTree::Group(arguments))) if name == "route" => {
                routes.extend(methods(arguments.stream()));
            }
            (TokenTree::Ident(name), _) if name == "StatusCode" => {
                let constant = tokens.get(at + 3).map(ToString::to_string).unwrap_or_default();
                statuses.extend(numbered(&constant));
            }
            _ => {}
        }
        if let TokenTree::Group(group) = token {
            find(group.stream(), routes, statuses);
        }
    }
}

/// `GET /path` for each method of a route.
fn methods(arguments: TokenStream) -> Vec<String> {
    let tokens: Vec<String> = arguments.into_iter().map(|token| token.to_string()).collect();
    let path = tokens[0].trim_matches('"');
    let methods = tokens.iter().filter(|token| ["get", "post", "put", "delete"].contains(&token.as_str()));
    methods.map(|method| format!("{} {path}", method.to_uppercase())).collect()
}

/// The status that a constant of `http` names.
fn numbered(constant: &str) -> Option<u16> {
    (100..600).find(|code| {
        let status = StatusCode::from_u16(*code).expect("a status has three digits");
        status.canonical_reason().is_some_and(|name| name.to_uppercase().replace([' ', '-'], "_") == constant)
    })
}
