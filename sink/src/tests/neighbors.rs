//! Organizations of one partition, of which one is paused.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use schemas::codec::encode;
use schemas::sync::Sync;
use service::exit::Outcome;
use service::shutdown::CancellationToken;
use simulator::jupiterone::{Effect, Fault, Route};
use tokio::task::block_in_place;

use super::{World, keys};
use crate::fixture::{Organization, PARTITIONS};
use crate::run::set_up_to_decide;
use crate::task::{Legacy, Task};
use graph::plan::Urgency;

/// Organizations of the names, all in partition 0.
fn neighbors(names: &[&str]) -> Vec<Organization> {
    let mut ids = (0..).map(|number| format!("3f0b6c1e-9a52-4d0f-8c7e-{number:012}"));
    let mut next =
        || ids.by_ref().find(|id| schemas::topics::partition(id, PARTITIONS) == 0).expect("endless");
    names.iter().map(|name| Organization::whole(&next(), name)).collect()
}

/// The metrics endpoint of the sink under test.
struct Metrics(SocketAddr);

impl Metrics {
    fn of(world: &mut World) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        world.set("ADMIN_LISTEN", &address.to_string());
        Self(address)
    }

    /// Where the endpoint answers, no takeover was counted.
    fn have_no_takeover(&self) {
        assert!(!self.have_a_takeover(), "{:?}", self.read());
    }

    /// Where the endpoint answers, a takeover was counted.
    fn have_a_takeover(&self) -> bool {
        let answer = self.read().unwrap_or_default();
        let mut takeovers = answer.lines().filter(|line| line.contains("takeovers_total{"));
        takeovers.any(|line| !line.ends_with(" 0"))
    }

    fn read(&self) -> io::Result<String> {
        let mut answer = String::new();
        let mut stream = TcpStream::connect(self.0)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

fn fault(world: &World, organization: &Organization, route: Route, effect: Effect) {
    let scope = format!("anthropic-graph:{}", organization.id);
    world.jupiterone.fault(Fault::new(route, effect).of_scope(scope));
}

/// How many sync jobs of the organization were started.
fn starts(world: &World, organization: &Organization) -> usize {
    world.statuses_of(organization).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_and_a_failing_organization_do_not_keep_a_third_from_a_job_that_takes_long() {
    let mut world = World::new(&["paused", "failing", "healthy"]).await;
    let metrics = Metrics::of(&mut world);
    let organizations = neighbors(&["paused", "failing", "healthy"]);
    let [paused, failing, healthy] = &organizations[..] else { panic!("three") };
    for organization in &organizations {
        world.write(organization);
    }
    world.until_end().await.expect("all are synchronized");
    fault(&world, paused, Route::Start, Effect::Forbidden);
    fault(&world, failing, Route::Entities, Effect::RateLimited { retry_after: Some(60) });
    // Longer than the time between two looks for decisions.
    fault(&world, healthy, Route::Entities, Effect::Slow(15_000));
    let changed = [paused, failing, healthy].map(|organization| {
        let mut changed = organization.clone();
        changed.user("eve");
        world.write(&changed);
        changed
    });
    let (trigger, sink) = world.run();
    world.eventually("the change", |world| world.keys(healthy) == keys(&changed[2])).await;
    assert!(world.statuses_of(failing).contains(&"ABORTED".to_owned()), "it has failed meanwhile");
    assert!(!world.statuses_of(healthy).contains(&"ABORTED".to_owned()), "{:?}", world.statuses_of(healthy));
    metrics.have_no_takeover();
    trigger.cancel();
    sink.await.expect("no panic").expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_organization_next_to_a_paused_one_is_not_taken_for_another_sink() {
    let mut world = World::new(&["paused", "old"]).await;
    let metrics = Metrics::of(&mut world);
    let organizations = neighbors(&["paused", "old"]);
    let [paused, renamed] = &organizations[..] else { panic!("two") };
    for organization in &organizations {
        world.write(organization);
    }
    world.until_end().await.expect("both are synchronized");
    world.environment.retain(|name, _| !name.contains("ORGANIZATIONS__OLD"));
    world.set("ORGANIZATIONS__NEW__NAME", "new");
    world.set("ORGANIZATIONS__NEW__ORGANIZATION_ID", &renamed.id);
    fault(&world, paused, Route::Start, Effect::Forbidden);
    let mut changed = paused.clone();
    changed.user("eve");
    world.write(&changed);
    let (trigger, sink) = world.run();
    let begun = Instant::now();
    world
        .eventually("two looks for decisions", |_| {
            metrics.have_no_takeover();
            begun.elapsed() > Duration::from_secs(22)
        })
        .await;
    trigger.cancel();
    sink.await.expect("no panic").expect("no failure");
    assert_eq!(starts(&world, paused), 2, "a question and a job before the pause");
}

#[tokio::test(flavor = "multi_thread")]
async fn pauses_go_on_after_another_sink_took_the_partition_over_for_a_neighbor() {
    let mut world = World::new(&["paused", "failing", "neighbor"]).await;
    let metrics = Metrics::of(&mut world);
    let organizations = neighbors(&["paused", "failing", "neighbor"]);
    let [paused, failing, neighbor] = &organizations[..] else { panic!("three") };
    for organization in &organizations {
        world.write(organization);
    }
    world.until_end().await.expect("all are synchronized");
    fault(&world, paused, Route::Entities, Effect::Forbidden);
    fault(&world, failing, Route::Entities, Effect::RateLimited { retry_after: Some(600) });
    let changed = |organization: &Organization| {
        let mut changed = organization.clone();
        changed.user("eve");
        changed
    };
    world.write(&changed(paused));
    world.write(&changed(failing));
    let (trigger, sink) = world.run();
    world
        .eventually("a job of each that was given up", |world| {
            let given_up = |it| world.statuses_of(it).contains(&"ABORTED".to_owned());
            given_up(paused) && given_up(failing)
        })
        .await;
    assert_eq!(world.resync(Some("neighbor")).await.expect("no failure"), Outcome::Done);
    world.eventually("the takeover noticed", |_| metrics.have_a_takeover()).await;
    let changed = changed(neighbor);
    world.write(&changed);
    // The partition is open again, and what is due in it has begun, the neighbor last.
    world.eventually("the neighbor's change", |world| world.keys(neighbor) == keys(&changed)).await;
    assert_eq!((starts(&world, paused), starts(&world, failing)), (3, 3), "a question and two jobs");
    trigger.cancel();
    sink.await.expect("no panic").expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_counts_on_from_the_failures_of_the_one_before_unless_somebody_else_wrote_meanwhile() {
    let world = World::new(&["failing"]).await;
    let organization = neighbors(&["failing"]).remove(0);
    world.write(&organization);
    fault(&world, &organization, Route::Entities, Effect::RateLimited { retry_after: Some(600) });
    let setup = set_up_to_decide(&world.config(), &world.options(false)).await.expect("a setup");
    let shutdown = CancellationToken::new();
    let (id, mut legacy) = (organization.id.clone(), Legacy::default());
    block_in_place(|| {
        let open = |legacy: &mut Legacy| {
            let task = Task::open(setup.clone(), 0, legacy, &shutdown).expect("a task");
            task.expect("it is never stopped")
        };
        let decide = |task: &mut Task| {
            task.decide(&id, Urgency::Patient, true).expect("decided");
            task.organizations[&id].phase.as_ref().expect("a phase").name()
        };

        let mut task = open(&mut legacy);
        assert_eq!(decide(&mut task), "uploading");
        task.wait_for_jobs(&shutdown);
        task.take_end(&id).expect("it has failed");
        legacy = task.close();

        let mut task = open(&mut legacy);
        assert_eq!(decide(&mut task), "retrying");
        let sync = task.organizations[&id].sync.clone();
        assert_eq!(
            sync.wait.as_ref().map(|wait| wait.failures),
            Some(1),
            "the next failure doubles the pause"
        );
        legacy = task.close();

        let written = Sync { paused: Some("somebody else wrote this".to_owned()), ..sync };
        world.send("anthropic.sync", 0, &written.key(), Some(&encode(&written)));
        world.flush();
        let mut task = open(&mut legacy);
        assert_eq!(decide(&mut task), "uploading", "at once");
        task.close();
    });
}
