//! What a person or a script asks for, and the answers to bad input.

use std::fs;

use schemas::topics::Topic;
use simulator::anthropic::ROUND;
use tests::{kafka, services::Service, world::World};

use tests::judge::changes;

#[test]
fn check_is_content_before_the_first_run_and_changes_nothing() {
    let world = World::start();
    for service in ["producer", "processor", "sink"] {
        let checked = world.run(service, &["check"]);
        let mut lines = checked.expect(0).stdout.lines();
        assert_eq!(lines.next(), Some("ok      configuration: 1 organization"), "{service}");
        let answers = format!("ok      kafka: {} answers", world.bootstrap_servers);
        assert_eq!(lines.next(), Some(answers.as_str()), "{service}");
        let of_topics = lines.clone().filter(|line| line.contains("topic "));
        let creates = format!("does not exist yet; `{service} run` creates it");
        for line in of_topics {
            assert!(line.starts_with("note    topic ") && line.ends_with(&creates), "{service}: {line}");
        }
        let of_organization = lines.filter(|line| !line.contains("topic "));
        for line in of_organization {
            assert!(line.starts_with("ok      organization organization-1: "), "{service}: {line}");
        }
    }
    for topic in Topic::ALL {
        let count = kafka::partition_count(&world.bootstrap_servers, &world.topic(topic));
        assert_eq!(count, 0, "a check makes no topic: {topic:?}");
    }
}

#[test]
fn the_producer_checks_its_four_steps() {
    let world = World::start();
    let checked = world.run("producer", &["check"]);
    for step in ["Fetch Users", "Fetch Workspaces", "Fetch Workspace Members", "Fetch Api Keys"] {
        assert!(checked.stdout.contains(step), "{step}: {}", checked.stdout);
    }
}

#[test]
fn tail_tells_people_and_programs_what_changed() {
    let world = World::start();
    world.round();
    world.anthropic[0].live(ROUND);
    world.round();
    let told = world.run("processor", &["tail", "--from", "earliest", "--until-end"]);
    told.expect(0);
    let changes = changes(&world, 0);
    assert_eq!(told.stdout.lines().count(), changes.len());
    assert!(told.stdout.contains(" → "), "{}", told.stdout);
    let lines = world.run("processor", &["tail", "--from", "earliest", "--until-end", "--json"]);
    let ops: Vec<String> = lines
        .expect(0)
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a JSON line"))
        .map(|change| change["op"].as_str().expect("an op").to_owned())
        .collect();
    assert_eq!(ops, changes.iter().map(|change| change.op.clone()).collect::<Vec<_>>());
    let none = world.run("processor", &["tail", "--from", "latest", "--until-end"]);
    assert_eq!(none.expect(0).stdout, "no changes\n");
    assert!(!told.stderr.contains("PartitionEOF") && !told.stderr.contains("ERROR"), "{}", told.stderr);
}

#[test]
fn a_command_that_succeeds_says_so_in_one_line() {
    let world = World::start();
    let raw = world.topic(Topic::Raw);
    let commands: [(&str, &[&str], &str); 5] = [
        ("producer", &["poll"], "polled 1 organization: every collection is complete"),
        ("processor", &["run", "--until-end"], &format!("{raw}: processed up to its end")),
        ("sink", &["run", "--until-end"], "JupiterOne has the newest graph of 1 organization"),
        ("sink", &["parked"], "no parked objects: JupiterOne refuses none"),
        ("processor", &["holds"], "no holds: no deletion waits for a decision"),
    ];
    for (service, arguments, line) in commands {
        assert_eq!(world.run(service, arguments).expect(0).stdout, format!("{line}\n"));
    }
    assert_eq!(world.run("sink", &["parked", "--json"]).expect(0).stdout, "");
    let shown = world.run("sink", &["approve", "--organization", "organization-1"]);
    assert!(shown.expect(0).stdout.ends_with("nothing waits for an approval\n"), "{}", shown.stdout);
}

#[test]
fn a_run_until_the_end_works_beside_a_service_that_has_the_admin_address_and_a_second_service_is_usage() {
    let world = World::start();
    world.run("producer", &["poll"]).expect(0);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("an address");
    let address = taken.local_addr().expect("its address").to_string();
    let text = fs::read_to_string(world.config()).expect("the configuration");
    let config = world.folder().join("taken.toml");
    fs::write(&config, text.replace("\"127.0.0.1:0\"", &format!("\"{address}\""))).expect("a file");
    let config = config.display().to_string();
    for service in ["processor", "sink"] {
        Service::run(service, ["--config", &config, "run", "--until-end"], &[]).expect(0);
    }
    for service in ["producer", "processor", "sink"] {
        let refused = Service::run(service, ["--config", &config, "run"], &[]);
        assert!(refused.expect(2).stderr.contains(&address), "{service}: {}", refused.stderr);
    }
}

#[test]
fn a_check_that_cannot_reach_jupiterone_says_which_host_and_why() {
    let world = World::start();
    let text = fs::read_to_string(world.config()).expect("the configuration");
    let config = world.folder().join("no-jupiterone.toml");
    fs::write(&config, text.replace(&world.jupiterone.url(), "http://127.0.0.1:1")).expect("a file");
    let checked = Service::run("sink", ["--config", &config.display().to_string(), "check"], &[]);
    let line = "failed  organization organization-1: JupiterOne cannot be reached at 127.0.0.1:1: Connection refused";
    assert!(checked.expect(1).stdout.contains(line), "{}", checked.stdout);
}

#[test]
fn a_missing_file_an_unknown_organization_and_an_unknown_flag_are_usage() {
    let world = World::start();
    let missing = Service::run("processor", ["--config", "/nowhere/graph.toml", "check"], &[]);
    missing.expect(2);
    assert!(missing.stderr.contains("/nowhere/graph.toml"), "{}", missing.stderr);
    let unknown = world.run("producer", &["poll", "--organization", "elsewhere"]);
    unknown.expect(2);
    assert!(unknown.stderr.contains("organization-1"), "it names the configured ones: {}", unknown.stderr);
    world.run("sink", &["run", "--until-tomorrow"]).expect(2);
    world.run("processor", &["tail", "--from", "yesterday"]).expect(2);
}

#[test]
fn a_broker_that_does_not_answer_is_named_within_ten_seconds() {
    let world = World::start();
    let text = fs::read_to_string(world.config()).expect("the configuration");
    let config = world.folder().join("unreachable.toml");
    fs::write(&config, text.replace(&world.bootstrap_servers, "127.0.0.1:1")).expect("a file");
    let config = config.display().to_string();
    for service in ["producer", "processor", "sink"] {
        let began = std::time::Instant::now();
        let checked = Service::run(service, ["--config", &config, "check"], &[]);
        assert_eq!(checked.code, Some(1), "{service}: {}", checked.stderr);
        assert!(began.elapsed().as_secs() < 12, "{service}");
        assert!(format!("{}{}", checked.stdout, checked.stderr).contains("127.0.0.1:1"), "{service}");
    }
}

#[test]
fn a_graph_topic_that_is_deleted_from_stops_the_services_with_the_command_that_mends_it() {
    let world = World::start();
    let graph = world.topic(Topic::Graph);
    kafka::create_topic(&world.bootstrap_servers, &graph, 3, &[("cleanup.policy", "delete")]);
    for service in ["processor", "sink"] {
        let run = world.run(service, &["run", "--until-end"]);
        assert_eq!(run.code, Some(1), "{service}: {}", run.stderr);
        assert!(run.stderr.contains("kafka-configs.sh") && run.stderr.contains(&graph), "{}", run.stderr);
    }
}

#[test]
fn topics_that_are_not_to_be_made_are_asked_for() {
    let world = World::start();
    let text = fs::read_to_string(world.config()).expect("the configuration");
    let config = world.folder().join("no-topics.toml");
    fs::write(&config, text.replace("[kafka]\n", "[kafka]\ncreate_topics = false\n")).expect("a file");
    let run =
        Service::run("processor", ["--config", &config.display().to_string(), "run", "--until-end"], &[]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("kafka-topics.sh"), "{}", run.stderr);
}

#[test]
fn each_service_resolves_only_its_own_secrets() {
    let world = World::start();
    world.round();
    let text = fs::read_to_string(world.config()).expect("the configuration");
    let without = |line: &str, name: &str| {
        let kept: Vec<&str> = text.lines().filter(|it| !it.contains(line)).collect();
        let config = world.folder().join(name);
        fs::write(&config, kept.join("\n")).expect("a file");
        config.display().to_string()
    };
    let no_admin_key = without("admin-key-1", "no-admin-key.toml");
    let no_jupiterone_key = without("jupiterone-key", "no-jupiterone-key.toml");
    Service::run("sink", ["--config", &no_admin_key, "run", "--until-end"], &[]).expect(0);
    Service::run("producer", ["--config", &no_jupiterone_key, "poll"], &[]).expect(0);
    for config in [&no_admin_key, &no_jupiterone_key] {
        Service::run("processor", ["--config", config, "run", "--until-end"], &[]).expect(0);
    }
    Service::run("producer", ["--config", &no_admin_key, "poll"], &[]).expect(2);
    Service::run("sink", ["--config", &no_jupiterone_key, "run", "--until-end"], &[]).expect(2);
}
