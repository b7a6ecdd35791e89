//! Two sinks for one scope, and one that was away for longer than tombstones stay.

use std::thread;
use std::time::{Duration, Instant};

use schemas::topics::{Retention, Topic};
use serde_json::Value;
use simulator::anthropic::{Mutation, ROUND};
use simulator::jupiterone::{Effect, Fault, Route, SecondOpenJob};
use tests::kafka;
use tests::proxy::{Fate, Proxy, Request};
use tests::world::{PARTITIONS, World};

use super::content;

/// Far longer than a broker takes to compact a few hundred records.
const COMPACTION: Duration = Duration::from_mins(1);
/// More requests of a kind than a sink makes while it opens its partitions (count).
const MANY: usize = 100;
/// Longer than a sink needs to end, and shorter than it waits for a broker that does not answer.
const SOON: Duration = Duration::from_secs(30);
/// How often the topic is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

#[test]
fn a_sink_that_slept_in_mid_job_is_replaced_and_no_two_jobs_are_open_at_a_time() {
    let mut world = World::start();
    world.kafka = super::IMPATIENT.to_owned();
    world.configure("");
    let settings = world.jupiterone.settings();
    world
        .jupiterone
        .set_settings(simulator::jupiterone::Settings { second_open_job: SecondOpenJob::Reject, ..settings });
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    world.jupiterone.fault(Fault::new(Route::Entities, Effect::Slow(4_000)).first(1));
    let mut zombie = world.spawn("sink", &["run"]);
    zombie.until("have an upload under way", |_| {
        world.jupiterone.jobs().iter().any(|job| job["numEntitiesUploaded"].as_u64() > Some(0))
    });
    zombie.suspend();
    let mut other = world.spawn("sink", &["run"]);
    let statuses =
        || -> Vec<Value> { world.jupiterone.jobs().iter().map(|job| job["status"].clone()).collect() };
    // The first of them asks what the target holds.
    other.until("finish jobs of its own", |_| statuses() == ["ABORTED", "FINISHED", "FINISHED"]);
    zombie.resume();
    zombie.logged("was this process asleep");
    assert_eq!(statuses(), ["ABORTED", "FINISHED", "FINISHED"]);

    other.terminate().expect(0);
    world.anthropic[0].live(ROUND);
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    zombie.until("go on as a member", |_| statuses() == ["ABORTED", "FINISHED", "FINISHED", "FINISHED"]);
    zombie.terminate().expect(0);
    let refused: Vec<_> = world
        .jupiterone
        .requests()
        .into_iter()
        .filter(|request| request.path.ends_with("/synchronization/jobs") && request.status != Some(200))
        .collect();
    assert!(refused.is_empty(), "a second open job was asked for: {refused:?}");
    content(&world);
}

#[test]
fn a_sink_away_for_longer_than_tombstones_stay_misses_no_deletion() {
    let world = World::start();
    world.round();
    let truth = world.anthropic[0].truth();
    for id in truth.users.keys().take(3) {
        world.anthropic[0].mutate(Mutation::RemoveUser { id: id.clone() }).expect("a user");
    }
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let graph = world.topic(Topic::Graph);
    let tombstones = || world.read(Topic::Graph).iter().filter(|record| record.value.is_none()).count();
    assert!(tombstones() > 0);
    // A week passes: what is obsolete is compacted away, tombstones among it.
    let compacting_at_once = [
        ("cleanup.policy", "compact"),
        ("min.compaction.lag.ms", "0"),
        ("delete.retention.ms", "0"),
        ("min.cleanable.dirty.ratio", "0.0"),
        ("segment.ms", "100"),
    ];
    kafka::alter_topic(&world.bootstrap_servers, &graph, &compacting_at_once);
    // The active segment is never compacted: it ends with the next record, which says once more what was said last.
    let last = world.read(Topic::Graph).pop().expect("a record");
    let (key, value) = (last.key_text(), last.value.as_deref());
    let deadline = Instant::now() + COMPACTION;
    while tombstones() > 0 {
        assert!(Instant::now() < deadline, "the broker does not compact");
        kafka::write(&world.bootstrap_servers, &graph, last.partition, key, value, &[]);
        thread::sleep(LOOK_PERIOD);
    }
    let settings = Topic::Graph.settings(&Retention::default());
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    kafka::alter_topic(&world.bootstrap_servers, &graph, &settings);
    world.run("sink", &["run", "--until-end"]).expect(0);
    content(&world);
}

#[test]
fn a_sink_whose_commits_are_not_answered_uploads_once() {
    let world = World::start();
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let proxy = Proxy::start(&world.bootstrap_servers);
    // Of both intents, and of what was finished.
    proxy.strike(Request::EndTransaction, Fate::LostAnswer, 3);
    world.spawn_through(&proxy, "sink", &["run", "--until-end"]).finish().expect(0);
    proxy.await_struck();
    assert!(proxy.ends().iter().all(|is_commit| *is_commit), "an abort after a commit: {:?}", proxy.ends());
    let statuses: Vec<Value> = world.jupiterone.jobs().iter().map(|job| job["status"].clone()).collect();
    assert_eq!(statuses, ["FINISHED", "FINISHED"]);
    content(&world);
    world.run("sink", &["run", "--until-end"]).expect(0);
    assert_eq!(world.jupiterone.jobs().len(), 2, "what was recorded is found again");
}

#[test]
fn a_sink_that_takes_over_does_not_upload_a_graph_older_than_its_predecessor_s() {
    let world = World::start();
    world.round();
    let finished = || {
        let jobs = world.jupiterone.jobs();
        jobs.iter().filter(|job| job["status"] == "FINISHED").count()
    };
    let mut running = world.spawn("sink", &["run"]);
    running.ready();
    let proxy = Proxy::start(&world.bootstrap_servers);
    // One for each partition.
    proxy.strike(Request::InitProducerId, Fate::Held, PARTITIONS.unsigned_abs() as usize);
    let resync = world.spawn_through(&proxy, "anthropic-graph", &["sync", "resync"]);
    proxy.await_first_struck();
    // While the other sink is about to take over, the running one uploads a newer graph.
    let user = Mutation::AddUser { id: Some("user_new".to_owned()), email: None, name: None, role: None };
    world.anthropic[0].mutate(user).expect("a new user");
    let before = finished();
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    running.until("upload the new user", |_| finished() > before);
    proxy.heal();
    resync.finish().expect(0);
    running.terminate().expect(0);
    let deleted: Vec<Value> =
        world.jupiterone.jobs().iter().map(|job| job["numEntitiesDeleted"].clone()).collect();
    assert!(deleted.iter().all(|count| *count == 0), "objects that exist were deleted: {deleted:?}");
    content(&world);
}

#[test]
fn a_sink_that_is_opening_a_partition_ends_when_it_is_asked_to() {
    let world = World::start();
    world.round();
    for held in [Request::InitProducerId, Request::Fetch] {
        let proxy = Proxy::start(&world.bootstrap_servers);
        proxy.strike(held, Fate::Held, MANY);
        let sink = world.spawn_through(&proxy, "sink", &["run"]);
        proxy.await_first_struck();
        let asked = Instant::now();
        sink.terminate().expect(0);
        assert!(asked.elapsed() < SOON, "it ends {:?} after it was asked to ({held:?})", asked.elapsed());
    }
}

#[test]
fn a_restore_that_stalls_is_reported_with_what_to_check_and_ends_once_records_come() {
    let world = World::start();
    world.round();
    let proxy = Proxy::start(&world.bootstrap_servers);
    proxy.strike(Request::InitProducerId, Fate::Held, PARTITIONS.unsigned_abs() as usize);
    let mut sink = world.spawn_through(&proxy, "sink", &["run"]);
    proxy.await_first_struck();
    // Behind the fencing come the restores, of which each asks for records all the time.
    proxy.strike(Request::Fetch, Fate::LostRequest, 100 * MANY);
    proxy.release();
    let reason = sink.unready_for("has made no progress at offset");
    assert!(reason.contains("check that the partition's leader is up"), "{reason}");
    proxy.heal();
    sink.ready();
    sink.terminate().expect(0);
    content(&world);
}
