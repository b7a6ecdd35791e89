//! The answers as they are printed.

use graph::access::{
    Moment, Question, Snapshot, access,
    answer::{self, Answer, AsOf, Changed, Coverage},
    certainty, csv, difference,
};

use super::fixture::{Log, NOON, api_key};
use crate::{
    cell::width,
    name_lookup,
    table::{self, Layout},
    who_can,
};

const PRODUCTION: &str = "wrkspc_01Production";

fn question(workspace: Option<&str>) -> Question {
    Question { workspace: workspace.map(str::to_owned), ..Question::default() }
}

fn answered<'a>(snapshot: &'a Snapshot, question: &Question) -> Vec<answer::Path<'a>> {
    answer::paths(&access(&snapshot.organization, NOON, question))
}

fn coverage(times: &[(&str, Option<i64>, Option<i64>)]) -> Vec<Coverage> {
    let covered = |&(collection, whole_ts_ms, not_whole_since_ts_ms): &(&str, Option<i64>, Option<i64>)| {
        Coverage { collection: collection.to_owned(), whole_ts_ms, not_whole_since_ts_ms }
    };
    times.iter().map(covered).collect()
}

/// The text at a width, every line of which fits it as far as notes allow.
fn text(columns: Option<usize>, question: &Question) -> String {
    let mut log = Log::larkspur();
    log.monica_leaves();
    let snapshot = log.at(Moment::Now);
    let organization = answer::Organization { id: &snapshot.organization_id, name: &snapshot.name };
    let as_of = AsOf { revision: snapshot.revision, ts_ms: NOON + 3_600_000 };
    let coverage = coverage(&[
        ("api_keys", Some(NOON + 3_540_000), None),
        ("members/wrkspc_01Old", None, Some(NOON + 60_000)),
        ("members/wrkspc_01Production", Some(NOON + 3_500_000), None),
        ("users", Some(NOON + 3_490_000), None),
        ("workspaces", Some(NOON + 3_495_000), None),
    ]);
    let title = who_can::title(organization, &snapshot.organization, question);
    let line = certainty::line(Moment::Now, &snapshot, as_of, &coverage);
    let layout = Layout { columns, has_workspace: question.workspace.is_none() };
    who_can::text(&title, &line, &answered(&snapshot, question), layout).join("\n")
}

#[test]
fn a_workspace_for_people() {
    insta::assert_snapshot!("workspace", text(None, &question(Some(PRODUCTION))));
}

#[test]
fn a_workspace_on_a_narrow_terminal() {
    let text = text(Some(80), &question(Some(PRODUCTION)));
    let wide: Vec<&str> = text.lines().filter(|line| width(line) > 80).collect();
    assert_eq!(wide, Vec::<&str>::new());
    insta::assert_snapshot!("workspace_narrow", text);
}

#[test]
fn everything_for_people() {
    insta::assert_snapshot!("everything", text(None, &question(None)));
    let narrow = text(Some(80), &question(None));
    assert!(narrow.lines().all(|line| width(line) <= 80), "{narrow}");
}

#[test]
fn an_archived_workspace_is_said_first() {
    let snapshot = Log::larkspur().at(Moment::Now);
    let said = |workspace, moment| who_can::archived(&snapshot.organization, &question(workspace), moment);
    let archived = "The workspace is archived: nobody can use it.";
    assert_eq!(said(Some("wrkspc_01Old"), Moment::Now).as_deref(), Some(archived));
    let was = said(Some("wrkspc_01Old"), Moment::Revision(15)).expect("it was");
    assert!(was.starts_with("The workspace was archived"), "{was}");
    assert_eq!(said(Some(PRODUCTION), Moment::Now), None);
    assert_eq!(said(None, Moment::Now), None);
}

#[test]
fn somebody_who_left() {
    let question = Question { user: Some("user_04Monica".to_owned()), ..Question::default() };
    insta::assert_snapshot!("left", text(None, &question));
}

#[test]
fn a_key_without_paths() {
    let question = Question { api_key: Some("apikey_01Ci".to_owned()), ..question(Some("wrkspc_01Old")) };
    insta::assert_snapshot!("no_paths", text(None, &question));
}

#[test]
fn the_contract_of_json() {
    let mut log = Log::larkspur();
    log.monica_leaves();
    let snapshot = log.at(Moment::Now);
    let answer = Answer {
        organization: answer::Organization { id: &snapshot.organization_id, name: &snapshot.name },
        as_of: AsOf { revision: snapshot.revision, ts_ms: NOON },
        coverage: coverage(&[("api_keys", Some(NOON), None), ("users", None, Some(NOON))]),
        paths: answered(&snapshot, &question(Some(PRODUCTION))),
    };
    insta::assert_snapshot!("json", serde_json::to_string_pretty(&answer).expect("JSON"));
}

#[test]
fn the_columns_of_csv() {
    let snapshot = Log::larkspur().at(Moment::Now);
    let organization = answer::Organization { id: &snapshot.organization_id, name: &snapshot.name };
    let as_of = AsOf { revision: snapshot.revision, ts_ms: NOON };
    let paths = answered(&snapshot, &question(Some(PRODUCTION)));
    let lines = paths.iter().map(|path| csv::line(None, organization, as_of, path));
    let lines: Vec<String> = std::iter::once(csv::header(None)).chain(lines).collect();
    insta::assert_snapshot!("csv", lines.join("\n"));
}

#[test]
fn a_difference_for_people() {
    let mut log = Log::larkspur();
    let before = log.at(Moment::Now);
    log.monica_leaves();
    log.put(api_key("apikey_01Ci", "ci-runner", "inactive", "user_02Misaki", None, Some(PRODUCTION)));
    log.put(api_key("apikey_06New", "new", "active", "user_01Ada", None, Some(PRODUCTION)));
    let after = log.at(Moment::Now);
    let question = question(Some(PRODUCTION));
    let was = access(&before.organization, NOON, &question);
    let is = access(&after.organization, NOON, &question);
    let found = difference(&was, &is);
    let (gained, lost) = (answer::paths(&found.gained), answer::paths(&found.lost));
    let changed = found.changed.iter();
    let changed: Vec<Changed<'_>> =
        changed.map(|(before, after)| Changed { before: before.into(), after: after.into() }).collect();
    let layout = Layout { columns: None, has_workspace: false };
    insta::assert_snapshot!("difference", table::difference(&gained, &lost, &changed, layout).join("\n"));
}

#[test]
fn the_line_about_certainty_says_what_cannot_be_known() {
    let mut log = Log::larkspur();
    log.monica_leaves();
    let line = |moment| {
        let snapshot = log.at(moment);
        let as_of = who_can::as_of(moment, &snapshot, NOON, "--at").expect("it is known");
        let whole = coverage(&[("users", snapshot.whole_ts_ms.get("users").copied(), None)]);
        certainty::line(moment, &snapshot, as_of, &whole)
    };
    // Mónica left between 16:16:30 and 16:18.
    assert_eq!(
        line(Moment::Time(NOON + 17 * 60_000 + 30_000)),
        "2026-11-24T16:17:30Z, revision 17. Listed whole, or later: users 16:16:30Z. One change that was seen \
         later may have happened before."
    );
    assert_eq!(
        line(Moment::Revision(18)),
        "Revision 18, observed 2026-11-24T16:18:00Z. Listed whole, or later: users 16:16:30Z. No change that \
         was seen later can have happened before."
    );
    let mut cut = log.at(Moment::Now);
    cut.first_revision = Some(5);
    let as_of = AsOf { revision: 18, ts_ms: NOON };
    assert_eq!(
        certainty::line(Moment::Now, &cut, as_of, &[]),
        "Now (2026-11-24T16:00:00Z), revision 18. Retention has deleted the changes up to revision 4: what has not changed \
         since is missing."
    );
    let many = ["a", "b", "c", "d", "e"].map(|id| format!("members/{id}"));
    let many: Vec<_> = many.iter().map(|it| (it.as_str(), Some(NOON), Some(NOON))).collect();
    let line = certainty::line(Moment::Now, &log.at(Moment::Now), as_of, &coverage(&many));
    assert!(line.ends_with("members/c since 16:00:00Z and 2 more."), "{line}");
}

#[test]
fn a_moment_of_which_nothing_is_known_is_refused() {
    let log = Log::larkspur();
    let error = |moment| {
        who_can::as_of(moment, &log.at(moment), NOON, "--at").expect_err("nothing is known").to_string()
    };
    assert_eq!(error(Moment::Revision(16)), "--at: the newest revision of larkspur is 15");
    assert_eq!(
        error(Moment::Time(NOON)),
        "--at: nothing is known about larkspur before 2026-11-24T16:01:00Z: the first change in the topic is revision \
         1, observed then; ask from there: --at 1"
    );
    let between = name_lookup::nothing_known("larkspur", (1, NOON), "--between").to_string();
    assert!(between.ends_with("; ask from there: --between 1 now"), "{between}");
}

#[test]
fn a_moment_before_the_first_change_is_said_before_a_name_is_looked_up() {
    let log = Log::larkspur();
    let known = |moments: &[Moment]| {
        let snapshots: Vec<Snapshot> = moments.iter().map(|moment| log.at(*moment)).collect();
        who_can::check_known(&[snapshots], "--at").map_err(|error| error.to_string())
    };
    assert_eq!(known(&[Moment::Now]), Ok(()));
    let refusal = known(&[Moment::Time(NOON)]).expect_err("nothing is known");
    assert!(refusal.starts_with("--at: nothing is known about larkspur before "), "{refusal}");
    assert!(known(&[Moment::Time(NOON), Moment::Now]).is_err());
    assert_eq!(who_can::check_known(&[], "--at").map_err(|error| error.to_string()), Ok(()));
}
