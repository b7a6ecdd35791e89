//! Topics that are deleted, re-created, grown or cut under the services.

use std::time::Duration;

use schemas::change::Op;
use schemas::topics::{Retention, Topic};
use simulator::anthropic::{Mutation, ROUND, Settings};
use tests::comparison::{agree, changes};
use tests::kafka::{self, OpenTransaction, Record};
use tests::services::Service;
use tests::world::{PARTITIONS, World};

use super::{caught_up, content};

/// Where there is a partition without records, there is no organization to refuse.
fn small() -> Settings {
    Settings { users: 8, workspaces: 3, api_keys: 8, ..Settings::default() }
}

fn remake(world: &World, topic: Topic) {
    kafka::delete_topic(&world.bootstrap_servers, &world.topic(topic));
    make(world, topic);
}

fn make(world: &World, topic: Topic) {
    let settings = topic.settings(&Retention::default());
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    kafka::create_topic(&world.bootstrap_servers, &world.topic(topic), PARTITIONS, &settings);
}

/// The partition that has the organization's records.
fn home(world: &World) -> i32 {
    schemas::topics::partition(&world.anthropic[0].organization_id(), PARTITIONS)
}

#[test]
fn a_re_created_graph_or_changes_topic_is_refused_and_nothing_is_written() {
    for topic in [Topic::Graph, Topic::Changes] {
        let world = World::of(vec![small()]);
        world.round();
        let (held, known) = (world.graph(0), changes(&world, 0).len());
        remake(&world, topic);
        world.anthropic[0].live(ROUND);
        world.run("producer", &["poll"]).expect(0);
        let refused = world.run("processor", &["run", "--until-end"]);
        let said = &refused.expect(1).stderr;
        assert!(said.contains("re-created") && said.contains("kafka.topic_prefix"), "{said}");
        let left = if topic == Topic::Changes { 0 } else { known };
        assert_eq!(changes(&world, 0).len(), left, "nothing is written behind a gap");
        world.run("sink", &["run", "--until-end"]).expect(0);
        assert_eq!(world.graph(0).entities, held.entities, "JupiterOne keeps what it has");
    }
}

/// An open transaction hides the changes that follow its first record, which looks as if they were lost.
#[test]
fn a_restore_waits_until_no_transaction_is_open_in_the_changes() {
    let world = World::of(vec![small()]);
    world.round();
    let other = OpenTransaction::begin(&world.bootstrap_servers, &world.topic(Topic::Changes), home(&world));
    world.anthropic[0].live(ROUND);
    world.run("producer", &["poll"]).expect(0);
    let mut processor = world.spawn("processor", &["run"]);
    caught_up(&world, &mut processor);
    processor.terminate().expect(0);

    let mut processor = world.spawn("processor", &["run"]);
    let partitions = usize::try_from(PARTITIONS).expect("few");
    processor.logged_times("opened the task of partition", partitions - 1);
    processor.logged("no transaction before that offset is open any more");
    other.abort();
    processor.logged_times("opened the task of partition", partitions);
    processor.terminate().expect(0);
    world.run("sink", &["run", "--until-end"]).expect(0);
    content(&world);
}

#[test]
fn a_log_or_a_graph_that_lost_its_last_transactions_alone_is_refused_with_the_way_to_recover() {
    for topic in [Topic::Changes, Topic::Graph] {
        let world = World::of(vec![small()]);
        world.round();
        let kept = world.read(topic);
        world.anthropic[0].live(ROUND);
        world.round();
        let (all, held) = (world.read(topic), world.graph(0));
        assert!(all.len() > kept.len(), "the second round writes to {topic:?}");
        let end = all.iter().map(|record| record.offset).max();
        remake(&world, topic);
        // The same record again instead of a transaction's marker: the copy ends where the topic ended, so that its
        // length shows nothing.
        let first = kept.first().expect("a record of the first round").clone();
        let lost = end.map_or(0, |end| usize::try_from(end).expect("an offset") + 1) - kept.len();
        let copy: Vec<Record> = std::iter::repeat_n(first, lost).chain(kept).collect();
        kafka::write_all(&world.bootstrap_servers, &world.topic(topic), &copy);
        let known = changes(&world, 0).len();
        world.anthropic[0].live(ROUND);
        world.run("producer", &["poll"]).expect(0);
        let refused = world.run("processor", &["run", "--until-end"]);
        let said = &refused.expect(1).stderr;
        let is_clear = said.contains("one of the two topics has lost records")
            && said.contains("restore that topic from a backup")
            && said.contains("`anthropic-graph reset`")
            && said.contains("`anthropic-graph replay --from earliest --into PREFIX`");
        assert!(is_clear, "{topic:?}: {said}");
        assert_eq!(changes(&world, 0).len(), known, "{topic:?}: nothing is written behind the loss");
        world.run("sink", &["run", "--until-end"]);
        assert_eq!(world.graph(0), held, "{topic:?}: JupiterOne keeps what it has");
    }
}

#[test]
fn a_re_created_raw_topic_is_refused_whether_shorter_or_longer_than_before() {
    let world = World::of(vec![small()]);
    world.round();
    let known = changes(&world, 0).len();
    remake(&world, Topic::Raw);
    for polls in [0, 1, 2] {
        for _ in 0..polls {
            world.anthropic[0].live(ROUND);
            world.run("producer", &["poll"]).expect(0);
        }
        let refused = world.run("processor", &["run", "--until-end"]);
        let said = &refused.expect(1).stderr;
        assert!(said.contains("re-created") && said.contains("kafka.topic_prefix"), "{said}");
        assert_eq!(changes(&world, 0).len(), known, "after {polls} polls more");
    }
}

#[test]
fn a_re_created_sync_topic_deletes_nothing_until_a_person_approves() {
    let world = World::of(vec![small()]);
    world.round();
    let before = world.graph(0);
    remake(&world, Topic::Sync);
    let user = world.anthropic[0].truth().users.into_keys().next().expect("a user");
    world.anthropic[0].mutate(Mutation::RemoveUser { id: user }).expect("a user");
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let mut sink = world.spawn("sink", &["run"]);
    let line = sink.logged("paused: ");
    assert!(line.contains("already contained this organization"), "{line}");
    assert_eq!(world.graph(0), before);
    let (_, rest) = line.split_once("--revision ").expect("a command");
    let revision = rest.split(' ').next().expect("a revision");
    let approve =
        ["sync", "approve", "--organization", "organization-1", "--revision", revision, "--by", "ada"];
    world.ask(&approve).expect(0);
    sink.logged("sync job finished");
    sink.terminate().expect(0);
    content(&world);
}

#[test]
fn a_topic_deleted_or_re_created_under_a_running_service_stops_it_or_closes_the_partition() {
    let cases = [
        (Topic::Raw, "processor", false),
        (Topic::Raw, "processor", true),
        (Topic::Changes, "processor", false),
        (Topic::Changes, "processor", true),
        (Topic::Graph, "processor", true),
        (Topic::Graph, "sink", false),
    ];
    for (topic, service, is_re_created) in cases {
        let mut world = World::of(vec![small()]);
        world.kafka = "properties.\"topic.metadata.propagation.max.ms\" = \"1000\"".to_owned();
        world.configure("");
        world.round();
        let mut running = world.spawn(service, &["run"]);
        running.ready();
        running.logged(if service == "sink" { "restored" } else { "opened the task of partition" });
        kafka::delete_topic(&world.bootstrap_servers, &world.topic(topic));
        if is_re_created {
            make(&world, topic);
        }
        world.anthropic[0].live(ROUND);
        // Something to write for the processor. A poll makes a graph topic that is missing, and an empty one is waited for.
        // One poll may make a raw topic exactly as long as what was read of the old one, which shows nothing yet.
        let polls = if topic == Topic::Changes || is_re_created { 3 } else { 0 };
        let closed = "the partition is closed";
        for _ in 0..polls {
            world.run("producer", &["poll"]);
            if running.ends_within(Duration::from_secs(10)) || running.has_logged(closed) {
                break;
            }
        }
        let is_over =
            |it: &Service| it.has_logged(closed) || it.has_logged("cannot continue without a person");
        if is_re_created {
            running.until("close the partition or end", is_over);
        }
        // A task that met the topic while it was gone ends the process; one that meets the new one closes its partition.
        if running.has_logged(closed) {
            let said = running.logged(closed);
            assert!(said.contains(&world.topic(topic)) || said.contains("re-created"), "{topic:?}: {said}");
            running.terminate().expect(0);
            continue;
        }
        let ended = running.finish();
        assert_eq!(ended.code, Some(1), "{topic:?}: {}", ended.stderr);
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert!(last.contains(&world.topic(topic)) || last.contains("re-created"), "{topic:?}: {last}");
    }
}

#[test]
fn a_producer_whose_topic_is_deleted_says_so_and_is_not_ready() {
    let mut world = World::of(vec![small()]);
    world.kafka = "properties.\"topic.metadata.propagation.max.ms\" = \"1000\"".to_owned();
    world.configure("");
    let mut producer = world.spawn("producer", &["run"]);
    producer.logged("\"polled ");
    producer.ready();
    kafka::delete_topic(&world.bootstrap_servers, &world.topic(Topic::Raw));
    let said = producer.logged("cannot poll organization-1");
    assert!(said.contains(&world.topic(Topic::Raw)), "{said}");
    producer.unready();
    producer.terminate().expect(0);
}

#[test]
fn topics_grown_to_more_partitions_are_refused_by_all_with_the_way_out() {
    let world = World::of(vec![small()]);
    world.round();
    let (raw, known) = (world.read(Topic::Raw).len(), changes(&world, 0).len());
    for topic in Topic::ALL {
        kafka::grow_topic(&world.bootstrap_servers, &world.topic(topic), PARTITIONS + 2);
    }
    let says = |service: &'static str, arguments: &[&str], code: i32| {
        let refused = world.run(service, arguments);
        let said = &refused.expect(code).stderr;
        assert!(said.contains("partitions") && said.contains("kafka.topic_prefix"), "{said}");
    };
    says("producer", &["poll"], 1);
    says("processor", &["run", "--until-end"], 1);
    says("anthropic-graph", &["sync", "resync"], 3);
    assert_eq!((world.read(Topic::Raw).len(), changes(&world, 0).len()), (raw, known));

    let one = World::of(vec![small()]);
    one.round();
    kafka::grow_topic(&one.bootstrap_servers, &one.topic(Topic::Raw), PARTITIONS + 2);
    let refused = one.run("processor", &["run", "--until-end"]);
    let said = &refused.expect(1).stderr;
    assert!(said.contains("kafka.topic_prefix") && said.contains(&one.topic(Topic::Raw)), "{said}");
}

#[test]
fn a_raw_topic_that_grows_under_a_running_processor_stops_it() {
    let mut world = World::of(vec![small()]);
    world.kafka = "properties.\"topic.metadata.refresh.interval.ms\" = \"500\"".to_owned();
    world.configure("");
    world.round();
    let mut running: Service = world.spawn("processor", &["run"]);
    running.logged("opened the task of partition");
    kafka::grow_topic(&world.bootstrap_servers, &world.topic(Topic::Raw), PARTITIONS + 2);
    let ended = running.finish();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("has grown"), "{}", ended.stderr);
}

#[test]
fn a_raw_topic_cut_below_the_committed_offset_loses_nothing_and_above_it_a_person_decides() {
    let world = World::of(vec![small()]);
    let (servers, raw, group) =
        (&world.bootstrap_servers, world.topic(Topic::Raw), format!("{}.processor", world.prefix));
    world.round();
    let committed = kafka::committed(servers, &group, &raw)[&home(&world)];
    kafka::delete_records(servers, &raw, &[(home(&world), committed - 1)]);
    world.anthropic[0].live(ROUND);
    world.round();
    agree(&world, 0);

    // Records of the next poll are lost before they are read: half of a listing, and all that lies before it.
    let committed = kafka::committed(servers, &group, &raw)[&home(&world)];
    world.anthropic[0].live(ROUND);
    world.run("producer", &["poll"]).expect(0);
    let cut = committed + 8;
    kafka::delete_records(servers, &raw, &[(home(&world), cut)]);
    let known = changes(&world, 0).len();
    let refused = world.run("processor", &["run", "--until-end"]);
    let said = &refused.expect(1).stderr;
    let is_clear = said.contains(&format!("the next to read is {committed}"))
        && said.contains(&format!("the offsets {cut} to"))
        && said.contains("--reset-offsets --to-earliest");
    assert!(is_clear, "{said}");
    assert_eq!(changes(&world, 0).len(), known);

    kafka::commit(servers, &group, &raw, home(&world), cut);
    let processed = world.run("processor", &["run", "--until-end"]);
    assert!(matches!(processed.code, Some(0 | 3)), "{}", processed.stderr);
    for change in changes(&world, 0).split_off(known).iter().filter(|it| it.op == Op::Delete) {
        let truth = tests::comparison::expected(&world.anthropic[0].truth(), 0);
        let key = &change.element_key;
        let is_there = truth.entities.contains_key(key) || truth.relationships.contains_key(key);
        assert!(!is_there, "{key} is deleted for want of a record");
    }
    world.round();
    content(&world);
}
