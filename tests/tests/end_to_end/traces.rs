//! Spans as a collector of OpenTelemetry receives them: one trace from an API page to the sync job.

use std::collections::BTreeSet;
use std::net::TcpListener;

use schemas::topics::Topic;
use simulator::anthropic::{Answer, ArchivedMembers, DefaultMembers, Fault, Settings};
use tests::collector::{Collector, Span};
use tests::comparison::agree;
use tests::kafka;
use tests::world::World;

/// A token that the collector wants.
const TOKEN: &str = "collector-tK5vX8qR2mW9";
/// The topics whose records go on with a trace, and how the names of the spans begin that write them.
const TRACED: [(Topic, &str); 3] =
    [(Topic::Raw, "send "), (Topic::Changes, "reconcile "), (Topic::Graph, "reconcile ")];

fn traced(collector: &Collector) -> World {
    let mut world = World::start();
    world.environment = collector.environment(TOKEN);
    world
}

/// From the span to its trace's first one, by their names.
fn way<'a>(spans: &'a [Span], from: &'a Span) -> Vec<(&'a str, &'a str)> {
    let parent = |span: &&'a Span| {
        spans.iter().find(|other| other.id == span.parent_id && other.trace_id == span.trace_id)
    };
    std::iter::successors(Some(from), parent)
        .map(|span| (span.service.as_str(), span.name.as_str()))
        .collect()
}

fn children<'a>(spans: &'a [Span], of: &'a Span) -> impl Iterator<Item = &'a Span> {
    spans.iter().filter(|span| span.parent_id == of.id)
}

fn named<'a>(spans: &'a [Span], name: &'a str) -> impl Iterator<Item = &'a Span> {
    spans.iter().filter(move |span| span.name == name)
}

#[test]
fn one_trace_goes_from_an_api_page_to_the_sync_job() {
    let collector = Collector::start();
    let world = traced(&collector);
    world.round();
    agree(&world, 0);
    let spans = collector.spans();
    let traces: BTreeSet<&str> = spans.iter().map(|span| span.trace_id.as_str()).collect();
    assert_eq!(traces.len(), 1, "{spans:#?}");
    assert_eq!(spans.iter().filter(|span| span.parent_id.is_empty()).count(), 1);

    let job = named(&spans, "sync job").next().expect("a sync job");
    let send = format!("send {}", world.topic(Topic::Raw));
    let expected = [
        ("sink", "sync job"),
        ("processor", "reconcile members"),
        ("producer", send.as_str()),
        ("producer", "list members"),
        ("producer", "poll"),
    ];
    assert_eq!(way(&spans, job), expected);
    let linked = job.links.iter().map(|id| {
        let span = spans.iter().find(|span| span.id == *id).expect("it is linked to a span that was sent");
        assert_eq!(span.service, "processor");
        span.name.as_str()
    });
    let linked: BTreeSet<&str> = linked.collect();
    let brought = ["api_keys", "members", "organization", "users", "workspaces"];
    assert_eq!(linked, brought.map(|what| format!("reconcile {what}")).iter().map(String::as_str).collect());

    for (list, page) in [
        ("list users", "GET /v1/organizations/users"),
        ("list workspaces", "GET /v1/organizations/workspaces"),
        ("list api_keys", "GET /v1/organizations/api_keys"),
        ("list members", "GET /v1/organizations/workspaces/{id}/members"),
    ] {
        let listing = named(&spans, list).next().expect("a listing");
        assert!(listing.attributes.contains_key("listing.id"), "{listing:?}");
        let pages: Vec<&Span> = children(&spans, listing).filter(|span| span.name == page).collect();
        assert!(!pages.is_empty(), "{list} has no page");
        assert!(pages.iter().all(|page| page.attributes["http.response.status_code"] == "200"));
        assert_eq!(children(&spans, listing).filter(|span| span.name == send).count(), 1);
    }
    let requests: BTreeSet<&str> = children(&spans, job).map(|span| span.name.as_str()).collect();
    for end in ["", "/{id}/entities", "/{id}/relationships", "/{id}/finalize"] {
        let name = format!("POST /persister/synchronization/jobs{end}");
        assert!(requests.contains(name.as_str()), "{name}: {requests:?}");
    }
    let failed: Vec<&Span> = spans.iter().filter(|span| span.has_failed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn a_listing_of_a_workspace_that_is_gone_has_not_failed() {
    let collector = Collector::start();
    let settings = Settings {
        archived_members: ArchivedMembers::NotFound,
        default_members: DefaultMembers::NotFound,
        ..Settings::default()
    };
    let mut world = World::of(vec![settings]);
    world.environment = collector.environment(TOKEN);
    world.run("producer", &["poll"]).expect(0);
    let spans = collector.spans();
    let gone: Vec<&Span> = named(&spans, "list members")
        .filter(|listing| children(&spans, listing).any(|page| page.has_failed))
        .collect();
    assert!(!gone.is_empty(), "the default workspace has no members");
    assert!(gone.iter().all(|listing| !listing.has_failed), "{gone:#?}");
}

#[test]
fn each_record_names_the_span_that_wrote_it_and_a_replay_keeps_the_trace() {
    let collector = Collector::start();
    let world = traced(&collector);
    world.round();
    let spans = collector.spans();
    let trace = &spans[0].trace_id;
    for (topic, name) in TRACED {
        let writers = spans.iter().filter(|span| span.name.starts_with(name));
        let writers: BTreeSet<&str> = writers.map(|span| span.id.as_str()).collect();
        let records = world.read(topic);
        assert!(!records.is_empty());
        for record in records {
            let context = record.header("traceparent").unwrap_or_else(|| panic!("{}", record.key_text()));
            let parts: Vec<&str> = context.split('-').collect();
            assert_eq!((parts[0], parts[1], parts[3]), ("00", trace.as_str(), "01"));
            assert!(writers.contains(parts[2]), "{} of {topic:?}", record.key_text());
        }
    }
    let into = tests::prefix();
    world.ask(&["replay", "--from", "earliest", "--into", &into]).expect(0);
    let [live, replayed] = [&world.prefix, &into]
        .map(|prefix| kafka::read(&world.bootstrap_servers, &Topic::Changes.name(prefix)));
    assert_eq!(replayed.len(), live.len());
    for (replayed, live) in replayed.iter().zip(&live) {
        assert_eq!((&replayed.key, &replayed.value), (&live.key, &live.value));
        let context = replayed.header("traceparent").expect("it is that of the raw record");
        assert_eq!(&context[3..35], trace);
    }
    assert_eq!(collector.spans(), spans, "a replay has no spans");
}

#[test]
fn a_span_shows_neither_a_key_nor_a_person() {
    let collector = Collector::start();
    let world = traced(&collector);
    world.anthropic[0].fault(Fault::on("users", Answer::Forbidden));
    world.run("producer", &["poll"]).expect(3);
    world.anthropic[0].clear_faults();
    world.round();
    let spans = collector.spans();
    let refused = named(&spans, "GET /v1/organizations/users").find(|span| span.has_failed);
    assert_eq!(refused.expect("a refused page").attributes["error.type"], "403");
    assert!(named(&spans, "list users").any(|span| span.has_failed));
    assert_eq!(named(&spans, "poll").filter(|span| span.has_failed).count(), 1);

    let requests = collector.received();
    let authorized = format!("authorization: Bearer {TOKEN}");
    assert!(requests.iter().all(|request| String::from_utf8_lossy(request).contains(&authorized)));
    let shown = format!("{spans:?}");
    let users = world.anthropic[0].truth().users;
    assert!(!users.is_empty());
    let people = users.values().flat_map(|user| [user.email.clone(), user.name.clone()]);
    // A first name alone may be a part of any word, and some people have none at all.
    let people = people.filter(|text| text.contains([' ', '@']));
    let keys = [world.anthropic[0].admin_key().to_owned(), world.jupiterone.api_key().to_owned()];
    for secret in keys.into_iter().chain([TOKEN.to_owned()]).chain(people) {
        assert!(!shown.contains(&secret), "a span shows {secret}");
    }
}

#[test]
fn without_an_endpoint_no_record_has_a_trace_context() {
    let world = World::start();
    world.round();
    for topic in Topic::ALL {
        for record in world.read(topic) {
            assert_eq!(record.header("traceparent"), None, "{topic:?}");
        }
    }
}

#[test]
fn a_collector_that_is_down_or_never_answers_stops_nothing() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let closed = TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("it was bound");
    // One that never answers is waited for, so a short run may end before it is known to be lost.
    for (endpoint, least) in [(closed, 1), (silent.local_addr().expect("it is bound"), 0)] {
        let mut world = World::start();
        world.environment = vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{endpoint}")),
            ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned()),
        ];
        for (service, arguments) in [
            ("producer", &["poll"][..]),
            ("processor", &["run", "--until-end"]),
            ("sink", &["run", "--until-end"]),
        ] {
            let finished = world.run(service, arguments);
            let log = &finished.expect(0).stderr;
            let warnings = log.matches("spans are dropped").count();
            assert!((least..=1).contains(&warnings), "{service}: {warnings} warnings\n{log}");
        }
        agree(&world, 0);
    }
}
