//! An auditor that reuses the books it audits proves nothing.

use crate::{sources, text};

/// Where the auditor's sources lie.
const AUDITOR: &str = "verify/src/";

/// Modules that decide what the topics say, and so must not decide whether it is right.
const AUDITED: [&str; 14] = [
    "crate::listing",
    "crate::mapping",
    "crate::reconcile",
    "crate::partition_state",
    "crate::intake",
    "crate::batch",
    "crate::task",
    "crate::narrate",
    "crate::report",
    "super::super",
    "schemas::state",
    "schemas::graph",
    "jupiterone",
    "use crate::{",
];

#[test]
fn the_auditor_shares_no_code_with_what_it_audits() {
    let ours: Vec<_> = sources().into_iter().filter(|source| source.starts_with(AUDITOR)).collect();
    assert!(ours.len() > 5, "{AUDITOR} is gone");
    let shared: Vec<_> = ours.iter().flat_map(|source| audited(&text(source))).collect();
    assert_eq!(shared, Vec::<String>::new());
}

#[test]
fn shared_code_is_found_however_it_is_imported() {
    assert_eq!(audited("use crate::mapping::epoch_ms;"), ["crate::mapping"]);
    assert_eq!(
        audited("use schemas::{\n    element::Element,\n    state::{GraphKey, State},\n};"),
        ["schemas::state"]
    );
    assert_eq!(audited("use crate::{mapping, listing};"), ["use crate::{"]);
    assert_eq!(audited("use schemas::{coverage::Coverage, element::Element};"), Vec::<String>::new());
}

/// What of it a source names.
fn audited(code: &str) -> Vec<String> {
    let one_line: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let opened = one_line.split("use schemas::{").skip(1);
    let imports = opened.filter_map(|rest| rest.split(';').next());
    let modules = imports.flat_map(|import| import.split([',', '{', '}', ' ']).map(str::to_owned));
    let schemas: Vec<String> = modules.map(|module| format!("schemas::{module}")).collect();
    let is_named = |name: &&&str| {
        one_line.contains(**name)
            || schemas.iter().any(|it| it == **name || it.starts_with(&format!("{name}::")))
    };
    AUDITED.iter().filter(is_named).map(ToString::to_string).collect()
}
