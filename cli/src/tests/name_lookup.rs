//! Which organization a question is about, and what an error lists.

use std::collections::BTreeMap;

use graph::access::{Moment, Question, Snapshot};

use super::fixture::{Log, ORGANIZATION, user, workspace};
use crate::{history::History, name_lookup, name_lookup::Names};

fn named(workspace: Option<&str>, user: Option<&str>, api_key: Option<&str>) -> Names {
    let owned = |name: Option<&str>| name.map(str::to_owned);
    Names { workspace: owned(workspace), user: owned(user), api_key: owned(api_key) }
}

/// Larkspur, and another organization with one person and two workspaces.
fn two() -> History {
    let mut other = Log::default();
    other.put(workspace("wrkspc_02", "Production", true));
    other.put(workspace("wrkspc_03", "Claude Code", true));
    other.put(workspace("wrkspc_04", "Claude Code", true));
    other.put(user("user_09", "Zoë Oz", "zoe@tidewater.example", "admin"));
    for change in &mut other.changes {
        "tidewater".clone_into(&mut change.source.name);
        "b".clone_into(&mut change.source.organization_id);
    }
    let mut history = one();
    history.insert("b".to_owned(), vec![other.at(Moment::Now)]);
    history
}

fn one() -> History {
    BTreeMap::from([(ORGANIZATION.to_owned(), vec![Log::larkspur().at(Moment::Now)])])
}

fn resolved(history: History, names: &Names) -> Result<(String, Question), String> {
    let resolved = name_lookup::resolve(history.into_values().collect(), None, names, "anthropic.changes");
    let resolved = resolved.map(|(snapshots, question)| (snapshots[0].name.clone(), question));
    resolved.map_err(|error| error.to_string())
}

#[test]
fn the_only_organization_with_what_is_named_is_meant() {
    let (name, question) = resolved(two(), &named(None, Some("zoe@tidewater.example"), None)).expect("one");
    assert_eq!((name.as_str(), question.user.as_deref()), ("tidewater", Some("user_09")));
    let (name, question) =
        resolved(two(), &named(Some("production"), Some("Ada Diaz"), Some("ci-runner"))).expect("one");
    assert_eq!(name, "larkspur");
    let ids = [question.workspace, question.user, question.api_key].map(Option::unwrap_or_default);
    assert_eq!(ids, ["wrkspc_01Production", "user_01Ada", "apikey_01Ci"]);
    assert_eq!(resolved(one(), &Names::default()).expect("one").1, Question::default());
}

#[test]
fn a_name_that_several_organizations_have_asks_for_one() {
    let both = "--organization: choose one of the organizations larkspur (a7b41f5d-b880-4579-9913-ecb4831cdf8c), tidewater (b)";
    assert_eq!(resolved(two(), &named(Some("Production"), None, None)).expect_err("both"), both);
    assert_eq!(resolved(two(), &Names::default()).expect_err("both"), both);
}

#[test]
fn a_name_that_means_several_or_nothing_lists_what_could_be_meant() {
    assert_eq!(
        resolved(two(), &named(Some("claude code"), None, None)).expect_err("two"),
        "--workspace: \"claude code\" matches 2 objects in tidewater (b); use an ID:\n  wrkspc_03  Claude Code\n  wrkspc_04  \
         Claude Code"
    );
    assert_eq!(
        resolved(one(), &named(None, None, Some("e"))).expect_err("several contain it"),
        "--api-key: \"e\" is not known in larkspur (a7b41f5d-b880-4579-9913-ecb4831cdf8c); similar names:\n  \
         apikey_01Ci  ci-runner (sk-ant-api03-...01AA, active)\n  \
         apikey_02Load  load-test (sk-ant-api03-...02AA, active)\n  \
         apikey_04Me  me everywhere (sk-ant-api03-...04AA, active)"
    );
    assert_eq!(
        resolved(one(), &named(Some("Productoin"), None, None)).expect_err("mistyped"),
        "--workspace: \"Productoin\" is not known in larkspur (a7b41f5d-b880-4579-9913-ecb4831cdf8c); similar names:\n  \
         wrkspc_01Production  Production"
    );
    assert_eq!(
        resolved(one(), &named(None, Some("nobody"), None)).expect_err("nobody"),
        "--user: \"nobody\" is not known in larkspur (a7b41f5d-b880-4579-9913-ecb4831cdf8c); \
         if it was deleted, ask about an earlier moment"
    );
}

#[test]
fn the_key_of_an_element_is_a_name_too() {
    let names = named(
        Some("anthropic_workspace:wrkspc_01Production"),
        Some("anthropic_user:user_01Ada"),
        Some("anthropic_api_key:apikey_01Ci"),
    );
    let (_, question) = resolved(one(), &names).expect("one");
    let ids = [question.workspace, question.user, question.api_key].map(Option::unwrap_or_default);
    assert_eq!(ids, ["wrkspc_01Production", "user_01Ada", "apikey_01Ci"]);
}

#[test]
fn a_name_is_looked_up_in_the_last_moment_and_then_in_those_before() {
    let mut log = Log::larkspur();
    let before = log.at(Moment::Now);
    log.remove(workspace("wrkspc_01Old", "Old", false));
    let history = BTreeMap::from([(ORGANIZATION.to_owned(), vec![before, log.at(Moment::Now)])]);
    let (_, question) = resolved(history, &named(Some("Old"), None, None)).expect("it was there");
    assert_eq!(question.workspace.as_deref(), Some("wrkspc_01Old"));
}

#[test]
fn nothing_to_read_says_what_to_do() {
    let error = |asked| {
        let nothing =
            name_lookup::resolve(Vec::<Vec<Snapshot>>::new(), asked, &Names::default(), "anthropic.changes");
        nothing.expect_err("nothing").to_string()
    };
    assert_eq!(error(None), "anthropic.changes has no changes yet; run the producer and the processor first");
    assert_eq!(
        error(Some("nimbus")),
        "--organization: anthropic.changes has no changes of \"nimbus\"; use the name in the configuration, or the ID"
    );
}
