//! What a person has to be granted by the broker: Write on `raw` to decide, Read to look, and nothing else.

use std::time::Duration;

use schemas::codec::decode_raw;
use schemas::raw::decision;
use schemas::topics::Topic;
use simulator::anthropic::Settings;
use tests::broker::guarded::GuardedBroker;
use tests::world::World;
use tests::{kafka, prefix};

/// How long the broker may take to come up.
const BOUND: Duration = Duration::from_mins(1);

/// The configuration of a user who logs in by name.
fn log_in(world: &mut World, broker: &GuardedBroker, user: &str) {
    world.bootstrap_servers = broker.guarded_address();
    world.kafka = format!(
        "properties = {{ \"security.protocol\" = \"SASL_PLAINTEXT\", \"sasl.mechanism\" = \"PLAIN\", \
         \"sasl.username\" = \"{user}\", \"sasl.password\" = {{ file = \"password\" }} }}"
    );
    std::fs::write(world.folder().join("password"), user).expect("a file");
    world.configure("");
}

#[test]
fn a_decision_needs_write_on_raw_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = GuardedBroker::start(folder.path(), &["ada", "eve"]).expect("a broker starts");
    kafka::until_it_answers(broker.address(), BOUND);
    let mut world = World::on(broker.address().to_owned(), vec![Settings::default()]);
    world.round();
    let id = world.anthropic[0].organization_id();
    broker.grant("ada", "WRITE", &world.topic(Topic::Raw)).expect("a grant");
    // Whoever may read everything decides about nothing.
    for topic in [Topic::Raw, Topic::Changes, Topic::Graph] {
        broker.grant("eve", "READ", &world.topic(topic)).expect("a grant");
    }
    let decide: [(&str, &[&str]); 3] = [
        (decision::APPROVE, &["--listing", "l"]),
        (decision::REJECT, &["--key", "anthropic_user:1", "--listing", "l"]),
        (decision::FORGET, &["--confirm"]),
    ];
    let run = |world: &World, command: &str, more: &[&str]| {
        let arguments = [command, "--organization-id", &id, "--by", "ada"];
        world.run("processor", &[&arguments[..], more].concat())
    };
    log_in(&mut world, &broker, "eve");
    for (command, more) in decide {
        let refused = run(&world, command, more);
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        assert!(refused.stderr.contains("Write on the topic"), "{command}: {}", refused.stderr);
    }
    log_in(&mut world, &broker, "ada");
    for (command, more) in decide {
        run(&world, command, more).expect(0);
    }
    let refused = world.run("processor", &["holds"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);

    world.bootstrap_servers = broker.address().to_owned();
    let raw = world.read(Topic::Raw).into_iter();
    let written: Vec<String> = raw
        .filter_map(|record| decode_raw(&record.value?).expect("a raw record").record.decision)
        .map(|decision| decision.kind)
        .collect();
    assert_eq!(written, decide.map(|(command, _)| command), "each once");
}

#[test]
fn whoever_looks_needs_read_and_whoever_replays_the_rights_to_write_what_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = GuardedBroker::start(folder.path(), &["audrey"]).expect("a broker starts");
    kafka::until_it_answers(broker.address(), BOUND);
    let mut world = World::on(broker.address().to_owned(), vec![Settings::default()]);
    world.round();
    let id = world.anthropic[0].organization_id();
    log_in(&mut world, &broker, "audrey");
    let refused = world.run("processor", &["verify"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    for topic in [Topic::Raw, Topic::Changes, Topic::Graph, Topic::DeadLetters] {
        broker.grant("audrey", "READ", &world.topic(topic)).expect("a grant");
    }
    let verified = world.run("processor", &["verify"]);
    assert!(verified.expect(0).stderr.contains("DescribeConfigs"), "{}", verified.stderr);
    let look: [&[&str]; 4] = [
        &["holds"],
        &["verify", "--organization", "organization-1", "--json"],
        &["forget", "--organization-id", &id],
        &["tail", "--from", "earliest", "--until-end"],
    ];
    for arguments in look {
        let looked = world.run("processor", arguments);
        assert_eq!(looked.code, Some(0), "{arguments:?}: {}", looked.stderr);
    }

    let into = prefix();
    let replay = ["replay", "--from", "earliest", "--into", &into];
    let refused = world.run("processor", &replay);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    broker.grant_under("audrey", &["Create", "Write"], "topic", &into).expect("a grant");
    broker.grant_under("audrey", &["Write"], "transactional-id", &into).expect("a grant");
    let mut replaying = world.spawn("processor", &replay);
    // A broker that does not know a new topic yet answers as one that does not let its settings be seen.
    replaying.logged("asking for its settings again");
    broker.grant_under("audrey", &["DescribeConfigs"], "topic", &into).expect("a grant");
    replaying.finish().expect(0);
    assert!(!kafka::read(broker.address(), &Topic::Graph.name(&into)).is_empty());
}
