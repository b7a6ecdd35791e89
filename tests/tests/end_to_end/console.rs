//! `anthropic-graph console` on a real Kafka: it answers as the commands do, and what a person decides on its page counts.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use simulator::anthropic::{Mutation, ROUND, Settings};
use tests::{
    comparison::{agree, changes},
    services::{PATIENCE, Service, get, request},
    stub::Stub,
    tokens::{ISSUER, TokenServer},
    world::World,
};

use crate::{
    holds::{holds, user_key},
    sink_guard,
};

/// How soon a change is on the pages once it is in the changes topic: within two seconds where no other test runs.
const SOON: Duration = Duration::from_secs(20);
const LOOK_PERIOD: Duration = Duration::from_millis(20);
const HEADER: &str = "x-proxy-assertion";

/// A console with a store of its own, and its address.
fn console(world: &World, store: &str, auth: &str) -> (Service, String) {
    let store = world.folder().join(store).display().to_string();
    world.configure(&format!("[console]\nlisten = \"127.0.0.1:0\"\nstore = \"{store}\"\n{auth}"));
    let mut console = world.spawn("anthropic-graph", &["console"]);
    let line = console.printed("the console is at http://");
    let address = line.trim_end_matches('/').rsplit('/').next().expect("an address").to_owned();
    (console, address)
}

/// The page as JSON; nothing while the console does not know the organization yet.
fn page(address: &str, path: &str) -> Option<Value> {
    let joint = if path.contains('?') { '&' } else { '?' };
    let (status, body) = get(address, &format!("{path}{joint}format=json")).expect("it answers");
    (status == 200).then(|| serde_json::from_str(&body).expect("JSON"))
}

fn revision(address: &str) -> Option<i64> {
    page(address, "/")?[0]["revision"].as_i64()
}

/// Waits until the console knows this revision.
fn knows(address: &str, newest: i64, within: Duration) {
    let deadline = Instant::now() + within;
    while revision(address) != Some(newest) {
        let at = revision(address);
        assert!(Instant::now() < deadline, "it is at {at:?} of {newest}");
        thread::sleep(LOOK_PERIOD);
    }
}

/// One round of the producer and the processor; the newest revision.
fn round(world: &World) -> i64 {
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    changes(world, 0).last().expect("a change").revision
}

/// The answer of `who-can` about a workspace.
fn who_can(world: &World, workspace: &str, at: i64) -> Value {
    let asked = world.ask(&["who-can", "--workspace", workspace, "--at", &at.to_string(), "--json"]);
    serde_json::from_str(&asked.expect(0).stdout).expect("JSON")
}

#[test]
fn the_pages_follow_the_topics_and_say_what_the_commands_say_of_every_moment() {
    let world = World::start();
    let end = &world.anthropic[0];
    let known = end.truth();
    let mut revisions = vec![round(&world)];
    let (running, address) = console(&world, "one.sqlite", "");
    knows(&address, revisions[0], PATIENCE);
    for _ in 0..3 {
        end.live(ROUND);
        let newest = round(&world);
        knows(&address, newest, SOON);
        revisions.push(newest);
    }
    let truth = end.truth();
    let is_always_there =
        |id: &&String| known.workspaces.contains_key(*id) && **id != truth.default_workspace_id;
    let workspaces = truth.workspaces.keys().filter(is_always_there);
    for (workspace, at) in workspaces.zip(revisions.iter().cycle()) {
        let command = who_can(&world, workspace, *at);
        let shown = page(&address, &format!("/access?workspace={workspace}&at={at}")).expect("it is known");
        for part in ["organization", "as_of", "paths"] {
            assert_eq!(shown[part], command[part], "{part} of {workspace} at {at}");
        }
    }
    running.terminate().expect(0);
}

/// The answer of a command, from the topic and from the store; both are equal but for what the store adds.
fn from_store(world: &World, question: &[&str]) -> Value {
    let store = world.folder().join("one.sqlite").display().to_string();
    let topic = world.ask(&[question, &["--json"]].concat());
    let stored = world.ask(&[question, &["--json", "--store", &store]].concat());
    let [topic, mut stored]: [Value; 2] =
        [topic, stored].map(|it| serde_json::from_str(&it.expect(0).stdout).expect("JSON"));
    let reached = stored.as_object_mut().and_then(|answer| answer.remove("store")).expect("it says so");
    assert_eq!(stored, topic, "{question:?}");
    reached
}

#[test]
fn the_store_answers_as_the_topic_does_and_says_how_far_it_is() {
    let world = World::start();
    let first = round(&world);
    let (running, address) = console(&world, "one.sqlite", "");
    knows(&address, first, PATIENCE);
    world.anthropic[0].live(2 * ROUND);
    let newest = round(&world);
    knows(&address, newest, SOON);
    let truth = world.anthropic[0].truth();
    let user = truth.users.keys().next().expect("a user").clone();
    let workspace = truth.workspaces.keys().next().expect("a workspace").clone();
    let (first_text, newest_text) = (first.to_string(), newest.to_string());
    for question in [
        vec!["who-can", "--workspace", &workspace, "--at", &first_text],
        vec!["who-can", "--user", &user, "--at", &newest_text],
        vec!["who-can", "--at", &first_text],
        vec!["access", "--between", &first_text, &newest_text],
        vec!["access", "--between", "1", &newest_text, "--workspace", &workspace],
    ] {
        assert_eq!(from_store(&world, &question)["revision"], newest, "{question:?}");
    }
    running.terminate().expect(0);

    // The topic goes on without it.
    world.anthropic[0].live(2 * ROUND);
    let later = round(&world);
    assert!(later > newest, "something changed");
    let store = world.folder().join("one.sqlite").display().to_string();
    let printed = world.ask(&["who-can", "--workspace", &workspace, "--store", &store]);
    let sentence = format!("The store has reached revision {newest}, observed ");
    assert!(printed.expect(0).stdout.contains(&sentence), "{}", printed.stdout);
    let beyond = world.ask(&["who-can", "--at", &later.to_string(), "--store", &store]);
    let error = format!("--store: the store has reached revision {newest} of ");
    assert!(beyond.expect(2).stderr.contains(&error), "{}", beyond.stderr);

    let nowhere = world.folder().join("nowhere.sqlite").display().to_string();
    let missing = world.ask(&["who-can", "--store", &nowhere]);
    assert!(missing.expect(1).stderr.contains("--store: cannot use "), "{}", missing.stderr);
    let other = World::start();
    let foreign = other.ask(&["who-can", "--store", &store]);
    assert!(foreign.expect(2).stderr.contains(" is a store of the topic "), "{}", foreign.stderr);
}

#[test]
fn the_page_jupiterone_says_what_an_approval_would_allow_as_the_command_does() {
    let world = sink_guard::world();
    sink_guard::leave(&world, 20);
    sink_guard::leave(&world, 10);
    world.run("sink", &["run", "--until-end"]).expect(3);
    let (running, address) = console(&world, "one.sqlite", "");
    knows(&address, changes(&world, 0).last().expect("a change").revision, PATIENCE);
    let agree = || {
        let command = sink_guard::status(&world);
        assert!(command["approval_would_delete"]["anthropic_user"].as_i64() >= Some(30), "{command}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = page(&address, "/jupiterone").expect("it is known");
            let target = &shown["targets"][0];
            if target["approval_would_delete"] == command["approval_would_delete"] {
                assert_eq!(target["sync_state"], command["sync_state"]);
                assert_eq!(target["behind"], command["behind"]);
                break;
            }
            assert!(Instant::now() < deadline, "the page says {target}, and the command {command}");
            thread::sleep(LOOK_PERIOD);
        }
    };
    agree();
    // One more leaves: it is counted again.
    sink_guard::leave(&world, 1);
    agree();
    let html = get(&address, "/jupiterone").expect("it answers").1;
    assert!(html.contains("An approval would let the next sync job delete 31 of "), "{html}");
    assert!(html.contains("anthropic-graph sync approve --organization organization-1"), "{html}");
    let csv = get(&address, "/jupiterone?format=csv").expect("it answers").1;
    assert!(csv.contains(",anthropic_user,approval_would_delete,,,31"), "{csv}");
    running.terminate().expect(0);
}

#[test]
fn a_console_that_is_killed_while_it_reads_equals_one_from_scratch() {
    let world = World::of(vec![Settings { users: 300, api_keys: 600, ..Settings::default() }]);
    let mut newest = round(&world);
    for _ in 0..2 {
        world.anthropic[0].live(10 * ROUND);
        newest = round(&world);
    }
    // The first one is killed before it knows everything, if it is not faster; each of the others goes on.
    for pause_ms in [0, 20, 60, 120] {
        let (killed, _) = console(&world, "killed.sqlite", "");
        thread::sleep(Duration::from_millis(pause_ms));
        killed.kill();
    }
    let (one, survivor) = console(&world, "killed.sqlite", "");
    let (other, fresh) = console(&world, "fresh.sqlite", "");
    for address in [&survivor, &fresh] {
        knows(address, newest, PATIENCE);
    }
    let mut paths = vec!["/changes".to_owned(), "/changes?type=api_key".to_owned(), "/holds".to_owned()];
    for workspace in world.anthropic[0].truth().workspaces.keys().take(6) {
        for at in [newest / 3, newest / 2, newest] {
            paths.push(format!("/access?workspace={workspace}&at={at}"));
        }
    }
    for path in paths {
        assert_eq!(page(&survivor, &path), page(&fresh, &path), "{path}");
    }
    one.terminate().expect(0);
    other.terminate().expect(0);
}

/// An organization whose users vanish at once, and a proxy that says who looks at its console.
struct Held {
    world: World,
    proxy: TokenServer,
    /// The listing that lacked them.
    listing: String,
    /// Their elements' keys.
    gone: BTreeSet<String>,
}

impl Held {
    fn start() -> Self {
        let world = World::of(vec![Settings { users: 60, workspaces: 2, ..Settings::default() }]);
        world.round();
        let end = &world.anthropic[0];
        let ids: Vec<String> = end.truth().users.keys().cloned().collect();
        let remove = |id: &&String| end.mutate(Mutation::RemoveUser { id: (*id).clone() }).is_ok();
        let gone = ids.iter().filter(remove).take(36).map(|id| user_key(id)).collect();
        world.run("producer", &["poll"]).expect(0);
        world.run("processor", &["run", "--until-end"]).expect(3);
        world.run("sink", &["run", "--until-end"]);
        let listing = holds(&world).first().expect("a hold").listing_id.clone();
        Self { world, proxy: TokenServer::start(Duration::from_mins(1)), listing, gone }
    }

    /// The console behind the proxy, with more lines of the configuration.
    fn console(&self, lines: &str) -> (Service, String) {
        let auth = format!(
            "[console.auth]\nheader = \"{HEADER}\"\njwks_url = \"{}\"\nissuer = \"{ISSUER}\"\n\
             audience = \"console\"\nviewers = [\"staff\"]\ndeciders = [\"security\"]\n{lines}",
            self.proxy.jwks_url()
        );
        console(&self.world, "one.sqlite", &auth)
    }

    fn decider(&self) -> String {
        self.proxy.assertion("console", "grace@nimbus.example", &["security"])
    }

    /// Sends the form that approves. The status of the answer.
    fn approve(&self, address: &str, assertion: &str) -> u16 {
        let organization_id = self.world.anthropic[0].organization_id();
        let form = format!(
            "organization={organization_id}&collection=users&listing={}&kind=approve&why=they+left",
            self.listing
        );
        let origin = format!("http://{address}");
        let headers = [
            (HEADER, assertion),
            ("Origin", &origin),
            ("Sec-Fetch-Site", "same-origin"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        request(address, "POST /holds", &headers, &form).expect("it answers").0
    }

    /// Makes sure that the decision deletes what was held.
    fn expect_deleted(&self) {
        self.world.run("processor", &["run", "--until-end"]).expect(0);
        self.world.run("sink", &["run", "--until-end"]).expect(0);
        let uploaded = self.world.graph(0).entities;
        assert!(uploaded.iter().filter_map(|it| it["_key"].as_str()).all(|key| !self.gone.contains(key)));
        let deleted = changes(&self.world, 0).into_iter().filter(|change| change.after.is_none());
        let approved: Vec<_> = deleted.filter(|change| self.gone.contains(&change.element_key)).collect();
        assert_eq!(approved.len(), self.gone.len());
        let by = "grace@nimbus.example";
        assert!(approved.iter().all(|change| change.source.decision_by.as_deref() == Some(by)));
        agree(&self.world, 0);
    }
}

/// The page Holds as somebody sees it.
fn see(address: &str, assertion: &str) -> String {
    request(address, "GET /holds", &[(HEADER, assertion)], "").expect("it answers").1
}

/// Waits until the page says so; the page.
fn says(running: &Service, address: &str, assertion: &str, text: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = see(address, assertion);
        if page.contains(text) {
            return page;
        }
        assert!(Instant::now() < deadline, "no {text:?} on the page: {page}\n{}", running.log());
        thread::sleep(LOOK_PERIOD);
    }
}

const FORM: &str = "value=\"approve\"";

#[test]
fn a_hold_that_is_approved_on_the_page_leaves_jupiterone() {
    let held = Held::start();
    let (running, address) = held.console("");
    let decider = held.decider();
    let viewer = held.proxy.assertion("console", "ada@nimbus.example", &["staff"]);
    says(&running, &address, &decider, FORM);
    assert_eq!(get(&address, "/holds").expect("it answers").0, 401, "nobody vouches for them");
    assert!(!see(&address, &viewer).contains(FORM), "a viewer sees no form");
    assert_eq!(held.approve(&address, &viewer), 403);
    assert_eq!(held.approve(&address, &decider), 303);
    held.expect_deleted();
    running.terminate().expect(0);
}

#[test]
fn the_pages_are_served_while_the_schema_registry_is_down_and_deciding_begins_once_it_answers() {
    let held = Held::start();
    let is_up = Arc::<AtomicBool>::default();
    let answers = Arc::clone(&is_up);
    let registry = Stub::start(move |_| {
        let is_up = answers.load(Ordering::Relaxed);
        if is_up { (200, Vec::new(), r#"{"id": 7}"#.to_owned()) } else { (503, Vec::new(), String::new()) }
    });
    let lines = format!("[schema_registry]\nurl = \"{}\"\n", registry.url());
    let (running, address) = held.console(&lines);
    let notice = "Decisions are not possible at the moment.";
    says(&running, &address, &held.decider(), "anthropic-graph holds approve");
    let page = says(&running, &address, &held.decider(), notice);
    assert!(page.contains("is not available: HTTP 503"), "{page}");
    assert!(!page.contains(FORM), "{page}");
    assert_eq!(held.approve(&address, &held.decider()), 405);

    is_up.store(true, Ordering::Relaxed);
    let page = says(&running, &address, &held.decider(), FORM);
    assert!(!page.contains(notice), "{page}");
    assert_eq!(held.approve(&address, &held.decider()), 303);
    running.terminate().expect(0);
    // Who reads needs no registry.
    held.world.configure("");
    held.expect_deleted();
}
