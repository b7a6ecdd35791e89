//! `anthropic-graph who-can` and `access` against the truth: now, at older revisions and times, and after a replay.

use std::collections::BTreeSet;

use serde_json::Value;
use simulator::{
    anthropic::{Mutation, ROUND, Settings, Truth},
    who_can,
};
use tests::{
    prefix,
    services::{Finished, Service},
    world::World,
};

const ROUNDS: usize = 4;
/// What later changes leave open of an older moment: the truth does not say it.
const UNCERTAIN: &str = "uncertain";

/// One round of the producer and the processor.
fn round(world: &World) {
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
}

fn ask(world: &World, arguments: &[&str]) -> Value {
    let arguments = [&["who-can", "--organization", "organization-1", "--json"], arguments].concat();
    json(&world.run("anthropic-graph", &arguments))
}

fn json(finished: &Finished) -> Value {
    let answer = serde_json::from_str(&finished.expect(0).stdout).expect("one JSON object");
    assert_eq!(finished.stderr, "", "a command is silent");
    answer
}

/// The paths of an answer, one line each, without the flag that the truth does not have.
fn lines(answer: &Value) -> BTreeSet<String> {
    let paths = answer["paths"].as_array().expect("paths");
    let id = |thing: &Value| thing["id"].as_str().map(str::to_owned);
    let line = |path: &Value| {
        let flags = path["flags"].as_array().expect("flags").iter().filter_map(Value::as_str);
        let flags: Vec<&str> = flags.filter(|flag| *flag != UNCERTAIN).collect();
        said(
            path["kind"].as_str().expect("a kind"),
            &[id(&path["user"]), id(&path["workspace"]), id(&path["api_key"])],
            path["role"].as_str(),
            path["usable"].as_bool().expect("usable"),
            &flags,
        )
    };
    let lines: BTreeSet<String> = paths.iter().map(line).collect();
    assert_eq!(lines.len(), paths.len(), "a path twice");
    lines
}

/// The same of the truth, at the time of the answer.
fn expected(truth: &Truth, answer: &Value) -> BTreeSet<String> {
    let paths = who_can::paths(truth, answer["as_of"]["ts_ms"].as_i64().expect("a time"));
    let line = |path: who_can::Path| {
        said(
            path.kind,
            &[path.user, path.workspace, path.api_key],
            path.role.as_deref(),
            path.usable,
            &path.flags,
        )
    };
    paths.into_iter().map(line).collect()
}

fn said(kind: &str, ids: &[Option<String>; 3], role: Option<&str>, usable: bool, flags: &[&str]) -> String {
    format!("{kind} {ids:?} {role:?} {usable} {flags:?}")
}

#[test]
fn who_can_is_the_truth_now_at_every_older_revision_and_after_a_replay() {
    let world = World::of(vec![Settings::default(), Settings { seed: 7, ..Settings::default() }]);
    let end = &world.anthropic[0];
    let mut known: Vec<(Value, Truth)> = Vec::new();
    for _ in 0..ROUNDS {
        round(&world);
        let answer = ask(&world, &[]);
        assert_eq!(lines(&answer), expected(&end.truth(), &answer), "now");
        assert!(!answer.to_string().contains(UNCERTAIN), "nothing is later than now");
        let coverage = answer["coverage"].as_array().expect("coverage");
        assert!(
            coverage.len() > 8,
            "users, workspaces, keys, and the members of each workspace: {coverage:?}"
        );
        assert!(coverage.iter().all(|it| it["not_whole_since_ts_ms"].is_null()));
        known.push((answer, end.truth()));
        end.live(ROUND);
    }
    round(&world);
    let into = prefix();
    world.ask(&["replay", "--from", "earliest", "--into", &into]).expect(0);
    for (answer, truth) in &known {
        let revision = answer["as_of"]["revision"].to_string();
        let then = ask(&world, &["--at", &revision]);
        assert_eq!(then["as_of"]["revision"], answer["as_of"]["revision"]);
        assert_eq!(lines(&then), expected(truth, &then), "revision {revision}");
        let time = jiff::Timestamp::from_millisecond(answer["as_of"]["ts_ms"].as_i64().expect("a time"));
        let at_time = ask(&world, &["--at", &time.expect("a time").to_string()]);
        assert_eq!(lines(&at_time), expected(truth, &at_time), "as it was asked then");
        let config = world.config().display().to_string();
        let arguments =
            ["--config", &config, "who-can", "--organization", "organization-1", "--json", "--at", &revision];
        let replayed =
            Service::run("anthropic-graph", arguments, &[("ANTHROPIC_GRAPH__KAFKA__TOPIC_PREFIX", &into)]);
        assert!(json(&replayed) == then, "a replay answers as the live topics, revision {revision}");
    }
}

#[test]
fn a_question_for_one_thing_has_its_paths_and_a_wrong_one_says_what_could_be_meant() {
    let world = World::start();
    let end = &world.anthropic[0];
    let truth = end.truth();
    let is_ordinary =
        |id: &&String| **id != truth.default_workspace_id && truth.workspaces[*id].archived_at.is_none();
    let workspace_id = truth.workspaces.keys().find(is_ordinary).expect("a workspace").clone();
    let leaver = truth.users.values().find(|user| user.role == "developer").expect("a developer").clone();
    let by = Some(simulator::anthropic::Actor { id: leaver.id.clone(), kind: "user".to_owned() });
    let key = Mutation::MakeKey {
        id: Some("apikey_left".to_owned()),
        name: Some("the key that stays".to_owned()),
        created_by: by,
        principal: None,
        workspace_id: Some(workspace_id.clone()),
        expires_at: None,
    };
    end.mutate(key).expect("a key is made");
    round(&world);
    let before = ask(&world, &[])["as_of"]["revision"].to_string();
    end.mutate(Mutation::RemoveUser { id: leaver.id.clone() }).expect("they leave");
    round(&world);

    let whole = ask(&world, &[]);
    let through = ask(&world, &["--workspace", &workspace_id]);
    let is_there = |path: &&Value| path["workspace"]["id"] == workspace_id.as_str();
    let there: Vec<&Value> = whole["paths"].as_array().expect("paths").iter().filter(is_there).collect();
    assert_eq!(through["paths"].as_array().expect("paths").iter().collect::<Vec<_>>(), there);
    let key = ask(&world, &["--api-key", "the key that stays"]);
    assert_eq!(key["paths"][0]["user"]["name"], leaver.name.as_str(), "a former member has a name");
    assert_eq!(key["paths"][0]["flags"], serde_json::json!(["creator_left", "outlives_creator"]));

    let text = world.run("anthropic-graph", &["who-can", "--user", &leaver.id]);
    assert!(text.expect(0).stdout.contains("! the key that stays"), "{}", text.stdout);
    let csv = world.run("anthropic-graph", &["who-can", "--workspace", &workspace_id, "--csv"]);
    assert_eq!(csv.expect(0).stdout.lines().count(), there.len() + 1, "{}", csv.stdout);
    let between = world.run("anthropic-graph", &["access", "--between", &before, "now", "--json"]);
    let between: Value = serde_json::from_str(&between.expect(0).stdout).expect("JSON");
    let lost = between["lost"].as_array().expect("paths");
    assert!(!lost.is_empty() && lost.iter().all(|path| path["user"]["id"] == leaver.id.as_str()), "{lost:?}");
    assert_eq!(between["gained"], serde_json::json!([]));
    // What the first moment says is uncertain: the next poll mentions what happened around it.
    let outlives = |it: &Value| {
        let flags = it["before"]["flags"].as_array().expect("flags");
        flags.iter().all(|flag| flag == "uncertain") && it["after"] == key["paths"][0]
    };
    assert!(
        between["changed"].as_array().expect("paths").iter().any(outlives),
        "the key outlives its creator"
    );

    let mistakes: [(&[&str], &str); 8] = [
        (&["who-can", "--workspace", "Nowhere"], "is not known in organization-1"),
        (&["who-can", "--workspace", "Prod"], "similar names:\n  wrkspc_"),
        (&["who-can", "--organization", "x"], "has no changes of \"x\""),
        (&["who-can", "--at", "999999"], "the newest revision of organization-1 is"),
        (&["who-can", "--at", "2020-01-01"], "nothing is known about organization-1 before"),
        (&["who-can", "--at", "2020-01-01", "--workspace", "Nowhere"], "ask from there: --at 1"),
        (&["who-can", "--note", "left"], "is not a note; use one of"),
        (&["access", "--between", "now", &before], "give the earlier moment first"),
    ];
    for (arguments, text) in mistakes {
        let refused = world.run("anthropic-graph", arguments);
        assert!(refused.expect(2).stderr.contains(text), "{arguments:?}: {}", refused.stderr);
    }
}
