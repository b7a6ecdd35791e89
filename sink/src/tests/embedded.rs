use std::time::Duration;

use schemas::codec::encode;
use schemas::sync::{Intent, Sync};
use service::exit::Outcome;
use service::shutdown::CancellationToken;
use simulator::jupiterone::{Effect, Fault, Route, Tamper};

use super::{World, keys};
use crate::check::check;
use crate::fixture::{Organization, PARTITIONS};
use crate::organizations;
use crate::run::run;

const NIMBUS: &str = "3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e";
const ORBIT: &str = "7c1d9f40-2b6e-4a53-9d18-0e5f7a2b3c4d";

fn scope(organization: &Organization) -> String {
    format!("anthropic-graph:{}", organization.id)
}

/// Whether JupiterOne was sent entities: the sink knows the job by then.
fn is_uploading(world: &World) -> bool {
    world.jupiterone.requests().iter().any(|request| request.route == Some(Route::Entities))
}

#[tokio::test(flavor = "multi_thread")]
async fn until_end_uploads_the_graph_once_and_then_nothing() {
    let world = World::new(&["nimbus"]).await;
    let nimbus = Organization::whole(NIMBUS, "nimbus");
    world.write(&nimbus);
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    assert_eq!(world.keys(&nimbus), keys(&nimbus));
    assert_eq!(world.statuses(), ["FINISHED", "FINISHED"], "the first asks what the target holds");
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    assert_eq!(world.statuses().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_sink_follows_a_deletion_within_the_debounce() {
    let world = World::new(&["nimbus"]).await;
    let mut nimbus = Organization::whole(NIMBUS, "nimbus");
    world.write(&nimbus);
    let (trigger, sink) = world.run();
    world.eventually("the first graph", |world| world.keys(&nimbus) == keys(&nimbus)).await;
    let member = "anthropic_user:ada|assigned|anthropic_workspace:research";
    nimbus.begin_poll();
    nimbus.remove(member);
    world.delete(&nimbus, member);
    world.write(&nimbus);
    world.eventually("the deletion", |world| world.keys(&nimbus) == keys(&nimbus)).await;
    trigger.cancel();
    assert_eq!(sink.await.expect("no panic").expect("no failure"), Outcome::Done);
    assert_eq!(world.statuses(), ["FINISHED", "FINISHED", "FINISHED"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_organizations_in_one_account_do_not_touch_each_other() {
    let world = World::new(&["nimbus", "orbit"]).await;
    let (nimbus, mut orbit) = (Organization::whole(NIMBUS, "nimbus"), Organization::whole(ORBIT, "orbit"));
    world.write(&nimbus);
    world.write(&orbit);
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    let before = world.jupiterone.graph(&scope(&nimbus));
    let key = "anthropic_api_key:ci";
    let of_key: Vec<String> = keys(&orbit).into_iter().filter(|name| name.contains(key)).collect();
    for key in &of_key {
        orbit.remove(key);
        world.delete(&orbit, key);
    }
    world.write(&orbit);
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    assert_eq!(world.keys(&orbit), keys(&orbit));
    assert_eq!(world.jupiterone.graph(&scope(&nimbus)), before);
    assert_eq!(world.statuses().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_that_the_configuration_does_not_list_is_ignored() {
    let world = World::new(&["nimbus"]).await;
    let orbit = Organization::whole(ORBIT, "orbit");
    world.write(&orbit);
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    assert_eq!(world.statuses(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_organization_is_matched_by_id_whatever_its_name() {
    let mut world = World::new(&["nimbus"]).await;
    world.set("ORGANIZATIONS__NIMBUS__ORGANIZATION_ID", ORBIT);
    let (nimbus, orbit) = (Organization::whole(NIMBUS, "nimbus"), Organization::whole(ORBIT, "renamed"));
    world.write(&nimbus);
    world.write(&orbit);
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    assert_eq!(world.keys(&orbit), keys(&orbit));
    assert_eq!(world.keys(&nimbus), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_with_two_ids_pauses_and_names_both() {
    let world = World::new(&["nimbus"]).await;
    world.write(&Organization::whole(NIMBUS, "nimbus"));
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    world.write(&Organization::whole(ORBIT, "nimbus"));
    let Outcome::Incomplete(line) = world.until_end().await.expect("no failure") else {
        panic!("not paused")
    };
    assert!(line.contains("nimbus") && line.contains(NIMBUS) && line.contains(ORBIT), "{line}");
    assert_eq!(world.statuses().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_another_sink_met_meanwhile_stops_the_first_job_before_its_upload() {
    let mut world = World::new(&["nimbus", "orbit"]).await;
    world.set("ORGANIZATIONS__NIMBUS__JUPITERONE__SCOPE", "shared");
    let (nimbus, orbit) = (Organization::whole(NIMBUS, "nimbus"), Organization::whole(ORBIT, "orbit"));
    world.write(&orbit);
    let (trigger, sink) = world.run();
    world.eventually("a sink at work", |world| world.keys(&orbit) == keys(&orbit)).await;
    // The sink of another partition begins with another organization of that name.
    let configured =
        organizations::all(&world.config(), &world.options(false).environment).expect("credentials");
    let other = "0d9e8f70-6b5a-4c3d-8e2f-1a0b9c8d7e6f";
    let sync = Sync {
        organization_id: other.to_owned(),
        organization_name: "nimbus".to_owned(),
        target: configured[0].target(other),
        intent: Some(Intent { job_id: "job".to_owned(), revision: 1, started_ts_ms: 1, asks: true }),
        ..Sync::default()
    };
    let partition = (nimbus.partition() + 1) % PARTITIONS;
    world.send("anthropic.sync", partition, &sync.key(), Some(&encode(&sync)));
    world.write(&nimbus);
    world.eventually("a job given up", |world| world.statuses().contains(&"ABORTED".to_owned())).await;
    trigger.cancel();
    sink.await.expect("no panic").expect("no failure");
    assert!(world.jupiterone.graph("shared").entities.is_empty());
    assert_eq!(world.statuses(), ["FINISHED", "FINISHED", "ABORTED"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_last_held_another_organization_is_not_overwritten() {
    let mut world = World::new(&["nimbus"]).await;
    world.set("ORGANIZATIONS__NIMBUS__JUPITERONE__SCOPE", "shared");
    world.write(&Organization::whole(NIMBUS, "nimbus"));
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    let before = world.jupiterone.graph("shared");
    // Another organization takes its place in the configuration, and its scope.
    world.environment.retain(|name, _| !name.contains("ORGANIZATIONS"));
    world.set("ORGANIZATIONS__ORBIT__JUPITERONE__SCOPE", "shared");
    world.write(&Organization::whole(ORBIT, "orbit"));
    let Outcome::Incomplete(line) = world.until_end().await.expect("no failure") else {
        panic!("not paused")
    };
    assert!(line.contains("orbit") && line.contains(NIMBUS), "{line}");
    assert_eq!(world.jupiterone.graph("shared"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_pauses_one_organization_and_not_the_other() {
    let world = World::new(&["nimbus", "orbit"]).await;
    let (nimbus, orbit) = (Organization::whole(NIMBUS, "nimbus"), Organization::whole(ORBIT, "orbit"));
    world.write(&nimbus);
    world.write(&orbit);
    world.jupiterone.fault(Fault::new(Route::Start, Effect::Forbidden).of_scope(scope(&nimbus)));
    let Outcome::Incomplete(line) = world.until_end().await.expect("no failure") else {
        panic!("not paused")
    };
    assert!(line.contains("nimbus") && line.contains("403") && !line.contains("orbit"), "{line}");
    assert_eq!(world.keys(&orbit), keys(&orbit));
    world.jupiterone.clear_faults();
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    assert_eq!(world.keys(&nimbus), keys(&nimbus));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resync_heals_what_others_did_and_touches_the_named_organization_only() {
    let world = World::new(&["nimbus", "orbit"]).await;
    let (nimbus, orbit) = (Organization::whole(NIMBUS, "nimbus"), Organization::whole(ORBIT, "orbit"));
    world.write(&nimbus);
    world.write(&orbit);
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    for organization in [&nimbus, &orbit] {
        let key = "anthropic_api_key:ci".to_owned();
        world.jupiterone.tamper(Tamper::Delete { scope: scope(organization), key }).expect("it is there");
    }
    assert_eq!(world.resync(Some("nimbus")).await.expect("no failure"), Outcome::Done);
    assert_eq!(world.keys(&nimbus), keys(&nimbus));
    assert_ne!(world.keys(&orbit), keys(&orbit));
    assert_eq!(world.resync(None).await.expect("no failure"), Outcome::Done);
    assert_eq!(world.keys(&orbit), keys(&orbit));
    let error = world.resync(Some("nimbos")).await.expect_err("no such organization");
    assert!(error.to_string().contains("nimbus, orbit"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_sync_heals_what_others_did_without_being_asked() {
    let mut world = World::new(&["nimbus"]).await;
    world.set("JUPITERONE__FULL_SYNC_INTERVAL", "1s");
    let nimbus = Organization::whole(NIMBUS, "nimbus");
    world.write(&nimbus);
    let (trigger, sink) = world.run();
    world.eventually("the first graph", |world| world.keys(&nimbus) == keys(&nimbus)).await;
    let key = "anthropic_user:bob".to_owned();
    world.jupiterone.tamper(Tamper::Delete { scope: scope(&nimbus), key }).expect("it is there");
    world.eventually("the healing", |world| world.keys(&nimbus) == keys(&nimbus)).await;
    trigger.cancel();
    sink.await.expect("no panic").expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_job_is_aborted_before_the_next_one_starts() {
    let world = World::new(&["nimbus"]).await;
    let nimbus = Organization::whole(NIMBUS, "nimbus");
    world.write(&nimbus);
    // What a sink leaves that was killed during a job.
    let configured =
        organizations::all(&world.config(), &world.options(false).environment).expect("credentials");
    let configured = &configured[0];
    let job = configured.client.start(&configured.destination, NIMBUS).await.expect("a job");
    let sync = Sync {
        organization_id: NIMBUS.to_owned(),
        organization_name: "nimbus".to_owned(),
        target: configured.target(NIMBUS),
        intent: Some(Intent { job_id: job.id, revision: 1, started_ts_ms: 1, asks: false }),
        ..Sync::default()
    };
    world.send("anthropic.sync", nimbus.partition(), &sync.key(), Some(&encode(&sync)));
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    assert_eq!(world.statuses(), ["ABORTED", "FINISHED", "FINISHED"]);
    assert_eq!(world.keys(&nimbus), keys(&nimbus));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_gives_an_open_job_up() {
    let world = World::new(&["nimbus"]).await;
    world.write(&Organization::whole(NIMBUS, "nimbus"));
    world.jupiterone.fault(Fault::new(Route::Entities, Effect::Slow(60_000)));
    let (trigger, sink) = world.run();
    world.eventually("an upload that is under way", is_uploading).await;
    trigger.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), sink).await.expect("an end within bounds");
    assert_eq!(ended.expect("no panic").expect("no failure"), Outcome::Done);
    assert_eq!(world.statuses(), ["ABORTED"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_aborts_the_open_job_of_a_run_until_the_end_and_fails() {
    let world = World::new(&["nimbus"]).await;
    world.write(&Organization::whole(NIMBUS, "nimbus"));
    world.jupiterone.fault(Fault::new(Route::Entities, Effect::Slow(60_000)));
    let shutdown = CancellationToken::new();
    let sink = tokio::spawn(run(world.config(), world.options(true), shutdown.clone()));
    world.eventually("an upload that is under way", is_uploading).await;
    shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), sink).await.expect("an end within bounds");
    let error = ended.expect("no panic").expect_err("nothing was synchronized").to_string();
    assert_eq!(error, "failed to synchronize nimbus: the sink is stopping");
    assert_eq!(world.statuses(), ["ABORTED"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_fails_for_a_missing_topic_and_for_a_refused_key() {
    let world = World::new(&["nimbus"]).await;
    let (mut config, options) = (world.config(), world.options(false));
    assert_eq!(check(config.clone(), options.clone()).await.expect("a check"), Outcome::Done);
    world.jupiterone.fault(Fault::new(Route::Any, Effect::Unauthorized));
    assert_eq!(check(config.clone(), options.clone()).await.expect("a check"), Outcome::Failed);
    world.jupiterone.clear_faults();
    config.kafka.topic_prefix = "a-third".to_owned();
    config.kafka.create_topics = false;
    assert_eq!(check(config.clone(), options.clone()).await.expect("a check"), Outcome::Failed);
    assert!(world.statuses().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_code_is_missing_a_collection_declares_its_types_partial() {
    let world = World::new(&["nimbus"]).await;
    let mut nimbus = Organization::empty(NIMBUS, "nimbus");
    nimbus.account();
    nimbus.user("ada");
    nimbus.list("organization");
    nimbus.list("users");
    nimbus.end_poll();
    world.write(&nimbus);
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    let partial = world.jupiterone.jobs()[1]["_simulator"]["partialTypes"].clone();
    assert!(partial.to_string().contains("anthropic_api_key"), "{partial}");
    // Once all is whole, one more job makes sure that nothing from before is left.
    nimbus.list("workspaces");
    nimbus.list("api_keys");
    world.write(&nimbus);
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    let partial = world.jupiterone.jobs()[2]["_simulator"]["partialTypes"].clone();
    assert_eq!(partial, serde_json::json!([]));
}
