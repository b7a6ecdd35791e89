//! A processor group whose offsets are lost: brokers drop those of a group that has been away for a week.

use schemas::raw::DecisionKind;
use schemas::topics::Topic;
use simulator::anthropic::{ROUND, Settings};
use tests::comparison::{agree, changes};
use tests::kafka;
use tests::world::{PARTITIONS, World};

use super::content;

fn group(world: &World) -> String {
    format!("{}.processor", world.prefix)
}

#[test]
fn a_group_without_offsets_reads_everything_again_and_nothing_changes_twice() {
    let world = World::of(vec![Settings { users: 6, workspaces: 2, api_keys: 6, ..Settings::default() }]);
    world.round();
    // What was decided and what came after it must not be undone by reading the decision again.
    let id = world.anthropic[0].organization_id();
    world.ask(&["forget", "--organization-id", &id, "--confirm", "--by", "ada"]).expect(0);
    world.anthropic[0].live(ROUND);
    world.round();
    let (known, graph) = (changes(&world, 0).len(), world.read(Topic::Graph).len());
    kafka::delete_group(&world.bootstrap_servers, &group(&world));
    world.run("processor", &["run", "--until-end"]).expect(0);
    assert_eq!((changes(&world, 0).len(), world.read(Topic::Graph).len()), (known, graph));
    world.anthropic[0].live(ROUND);
    world.round();
    content(&world);
    let forgets = world.read(Topic::Raw).into_iter().filter_map(|record| record.value);
    let forgets = forgets
        .filter_map(|value| schemas::codec::decode::<schemas::raw::RawRecord>(&value).ok()?.body.decision());
    assert_eq!(forgets.filter(|it| it.kind == DecisionKind::Forget).count(), 1);
}

#[test]
fn a_group_without_offsets_stops_where_raw_begins_behind_what_was_read() {
    let world = World::of(vec![Settings { users: 6, workspaces: 2, api_keys: 6, ..Settings::default() }]);
    let (servers, raw) = (&world.bootstrap_servers, world.topic(Topic::Raw));
    world.round();
    world.anthropic[0].live(ROUND);
    world.run("producer", &["poll"]).expect(0);
    let (home, last) = world
        .read(Topic::Raw)
        .into_iter()
        .map(|it| (it.partition, it.offset))
        .max_by_key(|it| it.1)
        .expect("records");
    kafka::delete_group(servers, &group(&world));
    kafka::delete_records(servers, &raw, &[(home, last)]);
    let known = changes(&world, 0).len();
    let refused = world.run("processor", &["run", "--until-end"]);
    let said = &refused.expect(1).stderr;
    assert!(said.contains("may never have been read") && said.contains("--to-earliest"), "{said}");
    assert_eq!(changes(&world, 0).len(), known);

    kafka::commit(servers, &group(&world), &raw, home, last);
    world.run("processor", &["run", "--until-end"]);
    world.round();
    agree(&world, 0);
}

/// Runs the processor to the end, and holds it to one warning, of this offset, or to none.
fn warns(world: &World, unread: Option<i64>) {
    let ended = world.run("processor", &["run", "--until-end"]);
    let lines = ended.expect(0).stderr.lines();
    let warnings = lines.filter(|line| line.contains("retention deleted one offset that was not read yet"));
    let offsets: Vec<Option<i64>> = warnings
        .map(|line| {
            assert!(line.contains(" WARN "), "{line}");
            let (_, offset) = line.split_once(" offset=").expect("the line has the offset");
            offset.split(' ').next().and_then(|offset| offset.parse().ok())
        })
        .collect();
    assert_eq!(offsets, Vec::from_iter(unread.map(Some)), "{}", ended.stderr);
}

#[test]
fn an_offset_that_retention_deleted_unread_is_reported_as_a_marker_or_a_decision() {
    let world = World::of(vec![Settings { users: 6, workspaces: 2, api_keys: 6, ..Settings::default() }]);
    let (servers, raw, group) = (&world.bootstrap_servers, world.topic(Topic::Raw), group(&world));
    let id = world.anthropic[0].organization_id();
    let home = schemas::topics::partition(&id, PARTITIONS);
    let committed = || kafka::committed(servers, &group, &raw)[&home];
    world.round();
    warns(&world, None);
    // Behind the last record is the marker of its transaction.
    let marker = committed();
    kafka::delete_records(servers, &raw, &[(home, marker + 1)]);
    warns(&world, Some(marker));
    kafka::delete_group(servers, &group);
    warns(&world, Some(marker));

    world.ask(&["forget", "--organization-id", &id, "--confirm", "--by", "ada"]).expect(0);
    warns(&world, Some(marker));
    warns(&world, None);
    // A decision is written outside any transaction, so one that follows another has no marker before it.
    let decision = world.read(Topic::Raw).pop().expect("the decision");
    let (key, value, unread) = (decision.key_text(), decision.value.as_deref(), committed());
    assert_eq!((decision.partition, decision.offset), (home, unread - 1));
    kafka::write(servers, &raw, home, key, value, &[]);
    kafka::delete_records(servers, &raw, &[(home, unread + 1)]);
    warns(&world, Some(unread));
    world.anthropic[0].live(ROUND);
    world.round();
    content(&world);
}
