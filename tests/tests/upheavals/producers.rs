//! Two producers for one organization, and a key of another.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use schemas::change::{Envelope, Op};
use schemas::codec::decode;
use schemas::raw::RawRecord;
use schemas::raw::{MarkKind, RawBody};
use schemas::topics::Topic;
use simulator::anthropic::{ROUND, Settings};
use tests::comparison::{agree, changes};
use tests::kafka;
use tests::proxy::{Fate, Proxy, Request};
use tests::services::Service;
use tests::stub::Stub;
use tests::world::World;

use super::content;

/// Every manifest in the raw topic counts exactly the resources of its listing, which lie before it, side by side.
fn listings_are_whole(world: &World) -> usize {
    let mut open: BTreeMap<(String, String), i64> = BTreeMap::new();
    let mut whole = 0;
    for record in world.read(Topic::Raw) {
        let raw =
            decode::<RawRecord>(record.value.as_deref().expect("a raw record has a value")).expect("ours");
        let Some(listing_id) = raw.listing_id.clone() else { continue };
        let listing = (raw.collection.clone(), listing_id);
        if let RawBody::Manifest(manifest) = raw.body {
            assert_eq!(open.remove(&listing).unwrap_or_default(), manifest.count, "{listing:?}");
            assert!(open.is_empty(), "listings do not interleave: {open:?}");
            whole += 1;
        } else if let RawBody::Resource(_) = raw.body {
            *open.entry(listing).or_default() += 1;
        }
    }
    assert!(open.is_empty(), "a listing without a manifest: {open:?}");
    whole
}

/// Processes what there is. The newest poll may be incomplete, because its producer was terminated during it.
fn process(world: &World) {
    let processed = world.run("processor", &["run", "--until-end"]);
    assert!(matches!(processed.code, Some(0 | 3)), "{}", processed.stderr);
}

#[test]
fn two_producers_and_a_poll_by_hand_cost_listings_and_never_a_record() {
    let world = World::start();
    world.run("producer", &["poll"]).expect(0);
    let (mut one, mut other) = (world.spawn("producer", &["run"]), world.spawn("producer", &["run"]));
    let [mut processor, sink] = [world.spawn("processor", &["run"]), world.spawn("sink", &["run"])];
    for service in [&mut one, &mut other, &mut processor] {
        service.ready();
    }
    for _ in 0..3 {
        world.anthropic[0].live(ROUND / 4);
        let by_hand = world.run("producer", &["poll"]);
        // Each of the two may lose its listing, or three times in a row a mark, to the other.
        let is_lost = by_hand.code == Some(1) && by_hand.stderr.contains("the transaction was lost");
        assert!(matches!(by_hand.code, Some(0 | 3)) || is_lost, "{}", by_hand.stderr);
    }
    for service in [one, other, processor, sink] {
        service.terminate().expect(0);
    }
    assert!(listings_are_whole(&world) > 0);
    world.round();
    content(&world);
}

#[test]
fn a_producer_whose_commit_is_not_answered_writes_each_listing_once() {
    let world = World::start();
    let proxy = Proxy::start(&world.bootstrap_servers);
    proxy.strike(Request::EndTransaction, Fate::LostAnswer, 3);
    proxy.strike(Request::EndTransaction, Fate::LostRequest, 2);
    proxy.strike(Request::Produce, Fate::LostAnswer, 2);
    let polled: Service = world.spawn_through(&proxy, "producer", &["poll"]);
    polled.finish().expect(0);
    proxy.await_struck();
    assert!(proxy.ends().iter().all(|is_commit| *is_commit), "no abort after a commit: {:?}", proxy.ends());
    let listings = listings_are_whole(&world);
    // The organization, users, workspaces, keys, and the members of each workspace.
    assert_eq!(listings, 4 + world.anthropic[0].truth().workspaces.len());
    world.run("processor", &["run", "--until-end"]).expect(0);
    world.run("sink", &["run", "--until-end"]).expect(0);
    content(&world);
}

#[test]
fn a_producer_whose_transaction_takes_too_long_lists_again() {
    let mut world = World::start();
    world.kafka = super::SHORT_TRANSACTIONS.to_owned();
    world.configure("");
    world.run("producer", &["poll"]).expect(0);
    let proxy = Proxy::start(&world.bootstrap_servers);
    proxy.strike(Request::EndTransaction, Fate::Held, 1);
    let mut producer = world.spawn_through(&proxy, "producer", &["poll"]);
    proxy.await_struck();
    producer.suspend();
    kafka::await_ends(&world.bootstrap_servers, &world.topic(Topic::Raw));
    producer.resume();
    proxy.release();
    producer.logged("its transaction was lost");
    producer.finish().expect(0);
    listings_are_whole(&world);
    world.run("processor", &["run", "--until-end"]).expect(0);
    world.run("sink", &["run", "--until-end"]).expect(0);
    content(&world);
}

#[test]
fn a_credential_of_another_organization_stops_it_and_nothing_is_written() {
    let settings = |seed| Settings { seed, users: 6, workspaces: 2, api_keys: 4, ..Settings::default() };
    let mut world = World::of(vec![settings(1), settings(2)]);
    world.round();
    let (raw, known) = (world.read(Topic::Raw).len(), [0, 1].map(|index| changes(&world, index).len()));
    let graphs = [0, 1].map(|index| world.graph(index));

    world.anthropic.swap(0, 1);
    world.configure("");
    let polled = world.run("producer", &["poll"]);
    let said = &polled.expect(1).stderr;
    let other = world.anthropic[0].organization_id();
    assert!(said.contains(&other) && said.contains("configure its own key"), "{said}");
    let mut running = world.spawn("producer", &["run"]);
    running.logged("cannot poll organization-1");
    running.unready();
    running.terminate().expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    world.run("sink", &["run", "--until-end"]).expect(0);
    world.anthropic.swap(0, 1);
    world.configure("");
    assert_eq!(world.read(Topic::Raw).len(), raw, "not even a mark");
    for index in [0, 1] {
        assert_eq!(changes(&world, index).len(), known[index]);
        assert_eq!(world.graph(index).entities, graphs[index].entities);
    }
    world.anthropic[0].live(ROUND);
    world.round();
    content(&world);
    agree(&world, 1);
}

#[test]
fn one_organization_under_two_names_is_polled_once_and_the_other_name_is_not_ready() {
    let world = World::start();
    // With another key of the organization: two names with the same key are the configuration's to refuse.
    let me = format!(r#"{{"id":"{}","name":"Nimbus"}}"#, world.anthropic[0].organization_id());
    let stub = Stub::start(move |_| (200, Vec::new(), me.clone()));
    let second = format!(
        "\n[[organizations]]\nname = \"cumulus\"\npolling_interval = \"1s\"\nbase_url = \"{}\"\n\
         api_key = {{ env = \"SECOND\" }}\n",
        stub.url()
    );
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let text = fs::read_to_string(world.config()).expect("a configuration");
    fs::write(world.config(), text + &second).expect("it is written");
    let known = changes(&world, 0).len();
    let config = world.config().display().to_string();
    let environment = [("SECOND", "sk-ant-admin01-second")];
    let spawn = |command: &str| Service::spawn("producer", ["--config", &config, command], &environment);
    let polled = spawn("poll").finish();
    let said = &polled.expect(3).stderr;
    assert!(said.contains("is configured twice, as organization-1 and as cumulus"), "{said}");
    let mut running = spawn("run");
    let line = running.logged("is configured twice");
    assert!(line.contains("ERROR") && line.contains("organization-1") && line.contains("cumulus"), "{line}");
    running.unready();
    running.terminate().expect(0);
    assert!(
        world.read(Topic::Raw).iter().all(|record| {
            let raw = decode::<RawRecord>(record.value.as_deref().expect("a value")).expect("ours");
            raw.organization_name == "organization-1"
        }),
        "nothing is written under the second name"
    );
    process(&world);
    assert_eq!(changes(&world, 0).len(), known, "nothing changes back and forth");
}

/// Organizations of one process (count), and how many threads it may have for them.
const MANY: usize = 300;
const MAX_THREADS: usize = 64;

#[test]
fn three_hundred_organizations_start_with_few_threads() {
    let settings = |seed| Settings { seed, users: 1, workspaces: 0, api_keys: 0, ..Settings::default() };
    let world = World::of((1..).map(settings).take(MANY).collect());
    let mut producer = world.spawn("producer", &["run"]);
    let status = format!("/proc/{}/status", producer.pid());
    let mut most = 0;
    producer.until("have every organization", |service| {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let threads: Option<usize> =
            status.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok());
        most = threads.unwrap_or_default().max(most);
        service.log().matches("the organization is polled by this instance").count() >= MANY
    });
    producer.terminate().expect(0);
    assert!((4..MAX_THREADS).contains(&most), "{most} threads");
}

const ADA: &str = r#"{"id":"user_ada","email":"ada@nimbus.example","name":"Ada","role":"admin"}"#;
const BO: &str = r#"{"id":"user_bo","email":"bo@nimbus.example","name":"Bo","role":"user"}"#;

/// An Admin API whose users come as `users` says.
fn admin(users: impl Fn() -> String + Send + 'static) -> Stub {
    Stub::start(move |request| {
        let path = request.split([' ', '?']).nth(1).unwrap_or_default();
        let body = match path.rsplit('/').next().unwrap_or_default() {
            "me" => r#"{"id":"o-1","type":"organization","name":"Nimbus"}"#.to_owned(),
            "users" => format!(r#"{{"data":[{}],"has_more":false}}"#, users()),
            _ => r#"{"data":[],"has_more":false}"#.to_owned(),
        };
        (200, Vec::new(), body)
    })
}

#[test]
fn a_listing_that_is_repeated_never_follows_a_newer_one() {
    let world = World::start();
    let spawn = |admin: &Stub| {
        let (config, url) = (world.config().display().to_string(), admin.url());
        let environment = [("ANTHROPIC_GRAPH__ORGANIZATIONS__ORGANIZATION_1__BASE_URL", url.as_str())];
        Service::spawn("producer", ["--config", &config, "poll"], &environment)
    };
    let newer = admin(|| format!("{ADA},{BO}"));
    spawn(&newer).finish().expect(0);
    // Twice it is asked for the users, and before Bo, who is away at that moment, is seen to be back, another producer
    // has listed and written that: first it loses its transaction, then it has to lose the listing.
    let (asked, was_asked) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let times = AtomicUsize::new(0);
    let older = admin(move || {
        if times.fetch_add(1, Ordering::SeqCst) >= 2 {
            return format!("{ADA},{BO}");
        }
        asked.send(()).expect("the test waits");
        may_go.recv().expect("the test goes on");
        ADA.to_owned()
    });
    let slow = spawn(&older);
    for _ in 0..2 {
        was_asked.recv_timeout(Duration::from_mins(1)).expect("it lists the users");
        spawn(&newer).finish().expect(0);
        go.send(()).expect("it waits");
    }
    let ended = slow.finish();
    assert!(
        ended.stderr.contains("listing the collection again, because its transaction was lost"),
        "{}",
        ended.stderr
    );
    listings_are_whole(&world);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let deleted = changes_of(&world).into_iter().filter(|change| change.op == Op::Delete);
    let deleted: Vec<String> = deleted.map(|change| change.element_key).collect();
    assert_eq!(deleted, Vec::<String>::new(), "nobody who was there to the end is deleted");
    world.ask(&["verify"]).expect(0);
}

#[test]
fn a_poll_that_waits_for_its_budget_says_how_long_it_takes() {
    let workspaces = 8;
    let world = World::of(vec![Settings { users: 4, workspaces, api_keys: 4, ..Settings::default() }]);
    // Five requests come before the members, whose nine wait for two minutes then.
    world.configure("requests_per_minute = 6");
    let mut producer = world.spawn("producer", &["run"]);
    let begun = producer.logged("listing the members of each workspace");
    assert!(begun.contains(&format!("\"workspaces\":{}", workspaces + 1)), "{begun}");
    let seconds = |line: &str| {
        let (_, rest) = line.split_once("\"seconds\":").expect("how long");
        rest.split([',', '}']).next().and_then(|it| it.parse::<u64>().ok()).expect("a number")
    };
    assert!((60..=120).contains(&seconds(&begun)), "{begun}");
    let warned = producer.logged("the poll cannot end within polling_interval");
    assert!(warned.contains("WARN") && seconds(&warned) >= seconds(&begun), "{warned}");
    let waiting = producer.logged("waiting for the budget of requests per minute");
    assert!((1..=60).contains(&seconds(&waiting)), "{waiting}");
    producer.terminate().expect(0);
}

/// Answers of one organization, whose polls are distinguished by their key: asked for users, oldest first.
fn pollers(stub: &Stub) -> Vec<char> {
    let requests = stub.requests().into_iter().filter(|request| request.contains("/users?"));
    let key = |request: String| {
        let (_, rest) = request.split_once("sk-ant-admin01-")?;
        rest.chars().next()
    };
    requests.filter_map(key).collect()
}

#[test]
fn two_producers_that_differ_in_key_interval_and_version_poll_one_organization_in_turn() {
    let mut world = World::start();
    world.kafka = super::IMPATIENT.to_owned();
    world.configure("");
    let stub = admin(|| format!("{ADA},{BO}"));
    let common = fs::read_to_string(world.config()).expect("a configuration");
    let (common, _) = common.split_once("[[organizations]]").expect("an organization");
    let spawn = |letter: char, interval: &str, version: &str| {
        let config = world.folder().join(format!("{letter}.toml"));
        let organization = format!(
            "[[organizations]]\nname = \"nimbus-{letter}\"\naccount_name = \"Nimbus\"\nbase_url = \"{}\"\n\
             polling_interval = \"{interval}\"\nanthropic_version = \"{version}\"\napi_key = {{ env = \"KEY\" }}\n",
            stub.url()
        );
        fs::write(&config, format!("{common}{organization}")).expect("it is written");
        let key = format!("sk-ant-admin01-{letter}Q7zK1pX9vR3wT");
        Service::spawn("producer", ["--config", &config.display().to_string(), "run"], &[("KEY", &key)])
    };
    let mut a = spawn('a', "1s", "2023-06-01");
    a.logged("the organization is polled by this instance");
    let mut b = spawn('b', "2s", "2026-10-21");
    // With partitions, so that the group has settled.
    b.until("have partitions", |it| {
        it.log().lines().any(|line| line.contains("\"partitions assigned: ") && !line.contains("[]"))
    });
    let begin = pollers(&stub).len();
    a.until("poll, or the other, six times in a row", |_| {
        pollers(&stub)[begin..].windows(6).any(|six| six.iter().all(|key| *key == six[0]))
    });
    process(&world);
    let known = changes_of(&world).len();
    assert!(known > 0);

    let owner = *pollers(&stub).last().expect("a poll");
    let (first, mut second) = if owner == 'a' { (a, b) } else { (b, a) };
    first.terminate().expect(0);
    let ended = pollers(&stub).len();
    let line = second.logged("the last poll of this organization was under the name");
    assert!(line.contains("WARN") && line.contains(&format!("nimbus-{owner}")), "{line}");
    second.until("poll", |_| pollers(&stub).len() > ended + 1);
    second.terminate().expect(0);
    assert!(pollers(&stub)[ended..].iter().all(|key| *key != owner), "who has left polls no more");

    listings_are_whole(&world);
    let marks = world.read(Topic::Raw).into_iter().filter_map(|record| {
        let raw = decode::<RawRecord>(record.value.as_deref().expect("a value")).expect("ours");
        Some((raw.poll_id?, raw.body.mark()?.kind))
    });
    let mut open = None;
    for (id, kind) in marks {
        match kind {
            MarkKind::Start => assert_eq!(open.replace(id), None, "polls do not overlap"),
            // Who takes over closes a poll whose end the processor has not seen, be it there or not.
            MarkKind::End | MarkKind::Other { .. } => open = open.filter(|open| *open != id),
        }
    }
    assert_eq!(open, None, "a poll without its end");
    process(&world);
    assert_eq!(changes_of(&world).len(), known, "the same resources are the same graph");
    world.ask(&["verify"]).expect(0);
}

fn changes_of(world: &World) -> Vec<Envelope> {
    let values = world.read(Topic::Changes).into_iter().filter_map(|record| record.value);
    values.map(|value| decode(&value).expect("a change")).collect()
}
