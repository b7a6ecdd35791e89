//! What a person has to be granted by the broker: Write on `raw` to decide, Read to look, and nothing else.

use std::time::Duration;

use schemas::codec::decode;
use schemas::raw::DecisionKind;
use schemas::raw::RawRecord;
use schemas::topics::Topic;
use simulator::anthropic::Settings;
use tests::broker::guarded::GuardedBroker;
use tests::services::Service;
use tests::world::World;
use tests::{kafka, prefix};

use super::decisions::{LISTING, hold};

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
    let hold = hold(&world);
    broker.grant("ada", "WRITE", &world.topic(Topic::Raw)).expect("a grant");
    // A principal that may read everything may decide nothing.
    for topic in [Topic::Raw, Topic::Changes, Topic::Graph] {
        broker.grant("eve", "READ", &world.topic(topic)).expect("a grant");
    }
    let decide: [(DecisionKind, &[&str]); 3] = [
        (DecisionKind::Approve, &["holds", "approve", "--listing", LISTING]),
        (DecisionKind::Reject, &["holds", "reject", "--key", &hold.element_key, "--listing", LISTING]),
        (DecisionKind::Forget, &["forget", "--confirm"]),
    ];
    let run = |world: &World, command: &[&str]| {
        world.ask(&[command, &["--organization-id", &id, "--by", "ada"]].concat())
    };
    log_in(&mut world, &broker, "eve");
    for (kind, command) in &decide {
        let refused = run(&world, command);
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        assert!(refused.stderr.contains("Write on the topic"), "{kind}: {}", refused.stderr);
    }
    log_in(&mut world, &broker, "ada");
    for (_, command) in &decide {
        run(&world, command).expect(0);
    }
    let refused = world.ask(&["holds", "list"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);

    world.bootstrap_servers = broker.address().to_owned();
    let raw = world.read(Topic::Raw).into_iter();
    let written: Vec<DecisionKind> = raw
        .filter_map(|record| decode::<RawRecord>(&record.value?).expect("a raw record").body.decision())
        .map(|decision| decision.kind)
        .collect();
    assert_eq!(written, decide.map(|(kind, _)| kind), "each once");
}

#[test]
fn looking_needs_read_and_a_replay_needs_write_on_its_topics() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = GuardedBroker::start(folder.path(), &["audrey"]).expect("a broker starts");
    kafka::until_it_answers(broker.address(), BOUND);
    let mut world = World::on(broker.address().to_owned(), vec![Settings::default()]);
    world.round();
    let id = world.anthropic[0].organization_id();
    log_in(&mut world, &broker, "audrey");
    let refused = world.ask(&["verify"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    broker.grant("audrey", "READ", &world.topic(Topic::Changes)).expect("a grant");
    let asked = world.run("anthropic-graph", &["who-can"]);
    assert!(asked.expect(0).stdout.contains("admin of the organization"), "{}", asked.stdout);
    assert!(asked.stderr.contains("is known from changes only"), "{}", asked.stderr);
    for topic in [Topic::Raw, Topic::Changes, Topic::Graph, Topic::DeadLetters] {
        broker.grant("audrey", "READ", &world.topic(topic)).expect("a grant");
    }
    assert_eq!(world.run("anthropic-graph", &["who-can"]).expect(0).stderr, "");
    world.run("anthropic-graph", &["changes", "--from", "earliest", "--until-end"]).expect(0);
    let verified = world.ask(&["verify"]);
    assert!(verified.expect(0).stderr.contains("DescribeConfigs"), "{}", verified.stderr);
    let look: [&[&str]; 3] = [
        &["holds", "list"],
        &["verify", "--organization", "organization-1", "--json"],
        &["forget", "--organization-id", &id],
    ];
    for arguments in look {
        let looked = world.ask(arguments);
        assert_eq!(looked.code, Some(0), "{arguments:?}: {}", looked.stderr);
    }

    let into = prefix();
    let replay = ["replay", "--from", "earliest", "--into", &into];
    let refused = world.ask(&replay);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    broker.grant_under("audrey", &["Create", "Write"], "topic", &into).expect("a grant");
    broker.grant_under("audrey", &["Write"], "transactional-id", &into).expect("a grant");
    let config = world.config().display().to_string();
    let arguments = ["--config", &config].into_iter().chain(replay);
    let mut replaying = Service::spawn("anthropic-graph", arguments, &[("RUST_LOG", "info")]);
    // A broker that does not know a new topic yet answers as one that does not let its settings be seen.
    replaying.logged("asking for its settings again");
    broker.grant_under("audrey", &["DescribeConfigs"], "topic", &into).expect("a grant");
    replaying.finish().expect(0);
    assert!(!kafka::read(broker.address(), &Topic::Graph.name(&into)).is_empty());
}
