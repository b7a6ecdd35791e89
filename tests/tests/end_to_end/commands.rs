//! What a person or a script asks for, and the answers to bad input.

use std::fs;

use schemas::topics::Topic;
use simulator::anthropic::ROUND;
use tests::{kafka, services::Service, world::World};

use tests::comparison::changes;

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
fn changes_shows_people_and_programs_what_changed() {
    let world = World::start();
    world.round();
    world.anthropic[0].live(ROUND);
    world.round();
    let printed = world.run("anthropic-graph", &["changes", "--from", "earliest", "--until-end"]);
    printed.expect(0);
    let changes = changes(&world, 0);
    assert_eq!(printed.stdout.lines().count(), changes.len());
    assert!(printed.stdout.contains(" → "), "{}", printed.stdout);
    let lines = world.run("anthropic-graph", &["changes", "--from", "earliest", "--until-end", "--json"]);
    let ops: Vec<String> = lines
        .expect(0)
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a JSON line"))
        .map(|change| change["op"].as_str().expect("an op").to_owned())
        .collect();
    assert_eq!(ops, changes.iter().map(|change| change.op.to_string()).collect::<Vec<_>>());
    let none = world.run("anthropic-graph", &["changes", "--from", "latest", "--until-end"]);
    assert_eq!(none.expect(0).stdout, "no changes\n");
    assert!(
        !printed.stderr.contains("PartitionEOF") && !printed.stderr.contains("ERROR"),
        "{}",
        printed.stderr
    );
}

#[test]
fn an_export_goes_on_where_its_group_stopped_and_a_kill_repeats_lines_and_loses_none() {
    let world = World::start();
    world.round();
    let group = tests::prefix();
    let export = ["changes", "--from", "earliest", "--json", "--group", group.as_str()];
    let until_end = [&export[..], &["--until-end"]].concat();
    // A kill may cut off the last line.
    let lines = |stdout: &str| -> Vec<String> {
        stdout.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::to_owned).collect()
    };
    let first = lines(&world.ask(&until_end).expect(0).stdout);
    assert_eq!(first.len(), changes(&world, 0).len());
    assert_eq!(world.ask(&until_end).expect(0).stdout, "", "all of it was committed");

    world.anthropic[0].live(ROUND);
    world.round();
    let mut killed = world.spawn("anthropic-graph", &export);
    killed.printed("\"op\"");
    let before_the_kill = lines(&killed.kill().stdout);
    let after = lines(&world.ask(&until_end).expect(0).stdout);
    let all = lines(&world.ask(&["changes", "--from", "earliest", "--json", "--until-end"]).expect(0).stdout);
    let new = &all[first.len()..];
    assert!(all.starts_with(&first) && !new.is_empty() && new.starts_with(&before_the_kill));
    let repeated = (before_the_kill.len() + after.len()).checked_sub(new.len()).expect("no line is lost");
    assert_eq!(after, new[before_the_kill.len() - repeated..]);

    let of_a_service = format!("{}.processor", world.prefix);
    let refused = world.ask(&["changes", "--group", &of_a_service]);
    assert!(refused.expect(2).stderr.contains("belong to the services"), "{}", refused.stderr);
}

#[test]
fn a_command_that_succeeds_says_so_in_one_line() {
    let world = World::start();
    let raw = world.topic(Topic::Raw);
    let commands: [(&str, &[&str], &str); 5] = [
        ("producer", &["poll"], "polled 1 organization: every collection is complete"),
        ("processor", &["run", "--until-end"], &format!("{raw}: processed up to its end")),
        ("sink", &["run", "--until-end"], "JupiterOne has the newest graph of 1 organization"),
        ("anthropic-graph", &["sync", "parked"], "no parked objects: JupiterOne refuses none"),
        ("anthropic-graph", &["holds", "list"], "no holds: no deletion waits for a decision"),
    ];
    for (service, arguments, line) in commands {
        assert_eq!(world.run(service, arguments).expect(0).stdout, format!("{line}\n"));
    }
    assert_eq!(world.ask(&["sync", "parked", "--json"]).expect(0).stdout, "");
    let shown = world.ask(&["sync", "approve", "--organization", "organization-1"]);
    assert!(shown.expect(0).stdout.ends_with("nothing waits for an approval\n"), "{}", shown.stdout);
}

#[test]
fn status_shows_whether_jupiterone_is_in_sync_or_how_far_behind() {
    let world = World::start();
    let early = world.ask(&["status"]);
    assert!(early.expect(1).stderr.contains("check kafka.topic_prefix"), "{}", early.stderr);
    world.round();
    let status = |arguments: &[&str]| world.ask(&[&["status", "--json"], arguments].concat());
    let one = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(status(arguments).expect(0).stdout.trim()).expect("one JSON line")
    };
    let id = world.anthropic[0].organization_id();
    let synced = one(&["--organization", &id]);
    assert_eq!(
        (&synced["jupiterone"]["sync_state"], &synced["jupiterone"]["behind"]),
        (&"in_sync".into(), &0.into())
    );
    assert_eq!(
        (&synced["organization"]["name"], &synced["dead_letters"]),
        (&"organization-1".into(), &0.into())
    );
    assert_eq!((&synced["last_poll"]["complete"], &synced["holds"]["open"]), (&true.into(), &0.into()));
    world.anthropic[0].live(ROUND);
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let behind = one(&[]);
    let lacks =
        behind["revision"].as_i64().expect("a revision") - synced["revision"].as_i64().expect("a revision");
    assert!(lacks > 0, "{behind}");
    assert_eq!(behind["jupiterone"]["sync_state"], "behind");
    assert_eq!(behind["jupiterone"]["behind"], lacks);
    let printed = world.ask(&["status"]);
    assert!(printed.expect(0).stdout.contains(&format!("{lacks} behind")), "{}", printed.stdout);
    let recorded = world.ask(&["sync", "status"]);
    let first = format!("organization-1 ({id}): waiting");
    assert!(recorded.expect(0).stdout.starts_with(&first), "{}", recorded.stdout);
    assert!(recorded.stdout.contains(&format!("JupiterOne is {lacks} behind")), "{}", recorded.stdout);
    status(&["--organization", "elsewhere"]).expect(2);
}

#[test]
fn a_run_until_the_end_needs_no_admin_address_and_a_second_service_does() {
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
fn a_check_has_one_line_for_a_key_that_is_refused_everywhere() {
    let world = World::start();
    fs::write(world.folder().join("admin-key-1"), "sk-ant-api03-of-a-workspace").expect("a file");
    let checked = world.run("producer", &["check"]);
    let printed = &checked.expect(1).stdout;
    assert!(!printed.contains("is accepted"), "{printed}");
    assert_eq!(printed.matches("403").count(), 1, "{printed}");
    let steps =
        "/me, Fetch Users, Fetch Workspaces, Fetch Api Keys: 403 permission_error: the key may not read this";
    assert!(printed.contains(steps), "{printed}");
}

#[test]
fn a_check_that_cannot_reach_the_admin_api_says_so_once() {
    let world = World::start();
    let text = fs::read_to_string(world.config()).expect("the configuration");
    let config = world.folder().join("no-admin-api.toml");
    fs::write(&config, text.replace(&world.anthropic[0].url(), "http://127.0.0.1:1")).expect("a file");
    let checked = Service::run("producer", ["--config", &config.display().to_string(), "check"], &[]);
    let printed = &checked.expect(1).stdout;
    assert_eq!(printed.matches("cannot be reached at 127.0.0.1:1").count(), 1, "{printed}");
    assert!(
        printed.contains("Fetch Api Keys: not tried, because the Admin API does not answer"),
        "{printed}"
    );
}

#[test]
fn a_program_without_a_configuration_says_how_to_give_one_unless_it_needs_none() {
    let bare = |arguments: &[&str]| Service::run("anthropic-graph", arguments, &[]);
    let asked = bare(&["who-can"]);
    assert!(
        asked.expect(2).stderr.contains("no configuration: name a file with --config FILE"),
        "{}",
        asked.stderr
    );
    let stored = bare(&["who-can", "--store", "/nowhere/store.sqlite"]);
    assert!(stored.code != Some(0) && stored.stderr.contains("/nowhere/store.sqlite"), "{}", stored.stderr);
}

/// Whether it has warnings at most: a broker that has just started refuses some requests, which are repeated.
fn is_quiet(stderr: &str) -> bool {
    stderr.lines().all(|line| line.contains(" WARN "))
}

#[test]
fn a_command_takes_an_organization_by_name_or_id_and_only_warns() {
    let world = World::start();
    let config = world.config().display().to_string();
    for (service, arguments) in [
        ("producer", &["poll"][..]),
        ("processor", &["run", "--until-end"]),
        ("sink", &["run", "--until-end"]),
        ("sink", &["check"]),
    ] {
        // The configuration may come after the command.
        let done = Service::run(service, [arguments, &["--config", &config]].concat(), &[]);
        assert!(is_quiet(&done.expect(0).stderr), "{service} {arguments:?}: {}", done.stderr);
    }
    let id = world.anthropic[0].organization_id();
    for command in [
        &["status"][..],
        &["changes", "--from", "earliest", "--until-end"],
        &["holds", "list"],
        &["sync", "status"],
        &["sync", "parked"],
        &["sync", "approve"],
        &["sync", "resync"],
        &["verify"],
    ] {
        let asked = |name: &str| world.ask(&[command, &["--organization", name]].concat());
        let named = asked("organization-1");
        assert!(is_quiet(&named.expect(0).stderr), "{command:?}: {}", named.stderr);
        let answer = asked(&id);
        assert!(is_quiet(&answer.expect(0).stderr), "{command:?}: {}", answer.stderr);
        assert!(!answer.stdout.is_empty(), "{command:?}");
        let unknown = asked("elsewhere");
        assert!(unknown.expect(2).stderr.contains("organization-1"), "{command:?}: {}", unknown.stderr);
    }
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
    for from in ["yesterday", "2999-01-01T00:00:00Z"] {
        world.run("anthropic-graph", &["changes", "--from", from]).expect(2);
        world.run("anthropic-graph", &["replay", "--into", "x", "--from", from]).expect(2);
    }
    let unasked = world.run("anthropic-graph", &["verify", "--organization", "elsewhere"]);
    assert_eq!(unasked.stdout, "");
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
fn a_graph_topic_with_a_delete_policy_stops_the_services_with_the_command_that_fixes_it() {
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
