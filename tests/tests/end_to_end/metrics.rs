//! What running services export is what the catalog of metrics says, no more and no less.

use std::collections::{BTreeMap, BTreeSet};

use service::metrics::catalog::{CATALOG, SERVICES};
use simulator::anthropic::{Answer, Fault, Mutation, Settings};
use tests::services::{Service, get};
use tests::world::World;

/// More than the guard allows: it counts to twenty.
const USERS: usize = 60;
const VANISHING: usize = 36;

/// Type and labels of each metric, by its name. A histogram's buckets are not among its labels.
type Exported = BTreeMap<String, (String, BTreeSet<String>)>;

/// What the service exports now, without metrics that have no series.
fn exported(service: &mut Service) -> Exported {
    let (status, text) = service.get("/metrics").expect("an answer");
    assert_eq!(status, 200, "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut found = Exported::new();
    let mut current = (String::new(), String::new());
    for line in text.lines() {
        if let Some(metric) = line.strip_prefix("# TYPE ") {
            let (name, kind) = metric.split_once(' ').expect("a name and a type");
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            current = (format!("{name}{suffix}"), kind.to_owned());
        } else if !line.starts_with('#') {
            let (name, kind) = &current;
            assert!(line.starts_with(name.as_str()), "{line} is no series of {name}");
            found.insert(name.clone(), (kind.clone(), labels(line)));
        }
    }
    found
}

fn labels(series: &str) -> BTreeSet<String> {
    let list =
        series.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(list, _)| list);
    let names = list.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
    names.filter(|name| name != "le").collect()
}

fn of_catalog(service: &str) -> Exported {
    let metrics = CATALOG.iter().filter(|metric| metric.services.contains(&service));
    metrics
        .map(|metric| {
            let labels = metric.labels.iter().map(ToString::to_string).collect();
            (metric.name.to_owned(), (metric.kind.as_str().to_owned(), labels))
        })
        .collect()
}

#[test]
fn running_services_export_the_catalog() {
    let world = World::of(vec![Settings { users: USERS, ..Settings::default() }]);
    world.round();
    // Some metrics are of held deletions and of collections that are not whole.
    let end = &world.anthropic[0];
    let users: Vec<String> = end.truth().users.keys().cloned().collect();
    let remove = |id: &&String| end.mutate(Mutation::RemoveUser { id: (*id).clone() }).is_ok();
    assert_eq!(users.iter().filter(remove).take(VANISHING).count(), VANISHING);
    end.fault(Fault::on("api_keys", Answer::Forbidden));
    let mut services = SERVICES.map(|name| world.spawn(name, &["run"]));
    for (name, service) in SERVICES.into_iter().zip(&mut services) {
        let expected = of_catalog(name);
        // Some come with the first poll, and some with librdkafka's first statistics.
        let address = service.admin();
        service.until("export every metric", |_| {
            let Ok((_, text)) = get(&address, "/metrics") else { return false };
            expected.keys().all(|name| text.contains(&format!("\n{name}")))
        });
        assert_eq!(exported(service), expected, "{name}");
    }
    let (_, producer) = services[0].get("/metrics").expect("an answer");
    let outcome =
        "anthropic_graph_listings_total{organization=\"organization-1\",collection=\"api_keys\",outcome=";
    assert!(producer.contains(&format!("{outcome}\"gone\"}} 0\n")), "counters begin at 0:\n{producer}");
    assert!(!producer.contains(&world.anthropic[0].organization_id()), "the ID is shown:\n{producer}");
    for service in services {
        service.terminate().expect(0);
    }
}

#[test]
fn a_change_is_measured_from_its_listing_to_jupiterone() {
    let world = World::start();
    world.round();
    let mut sink = world.spawn("sink", &["run"]);
    sink.ready();
    world.anthropic[0].live(20);
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let address = sink.admin();
    let (way, jobs) = ("anthropic_graph_observed_to_synced_seconds_count", "anthropic_graph_sync_jobs_total");
    sink.until("measure the way to JupiterOne", |_| {
        let Ok((_, text)) = get(&address, "/metrics") else { return false };
        let is_one = |line: &str| text.lines().any(|it| it.starts_with(line) && it.ends_with(" 1"));
        is_one(way)
            && text.contains(&format!("{jobs}{{organization=\"organization-1\",outcome=\"finished\"}} 1\n"))
    });
    let (_, text) = sink.get("/metrics").expect("an answer");
    assert!(
        text.contains("anthropic_graph_sync_behind_revisions{organization=\"organization-1\"} 0.0\n"),
        "{text}"
    );
    sink.terminate().expect(0);
}
