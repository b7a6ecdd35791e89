//! One workspace that answers 403 for ten polls, while others lose members.

use schemas::change::Op;
use schemas::coverage::Coverage;
use schemas::graph_value::GraphValue;
use schemas::topics::Topic;
use simulator::anthropic::{Answer, Fault, Mutation, Truth};
use tests::comparison::changes;
use tests::kafka;
use tests::world::World;

use super::content;

const POLLS: usize = 10;

/// A workspace with a member, and memberships of others, none of them archived or the default one.
fn memberships(truth: &Truth) -> ((String, String), Vec<(String, String)>) {
    let mut all = truth
        .members
        .iter()
        .filter(|(id, _)| truth.workspaces[*id].archived_at.is_none() && **id != truth.default_workspace_id)
        .flat_map(|(id, members)| members.keys().map(|user| (id.clone(), user.clone())));
    let frozen = all.next().expect("a membership");
    let others = all.filter(|(id, _)| *id != frozen.0).take(POLLS).collect();
    (frozen, others)
}

fn take(world: &World, (workspace_id, user_id): &(String, String)) {
    let mutation = Mutation::TakeMembership { user_id: user_id.clone(), workspace_id: workspace_id.clone() };
    world.anthropic[0].mutate(mutation).expect("a membership");
}

fn key((workspace_id, user_id): &(String, String)) -> String {
    format!("anthropic_user:{user_id}|assigned|anthropic_workspace:{workspace_id}")
}

fn coverage(world: &World, collection: &str) -> Coverage {
    let id = world.anthropic[0].organization_id();
    let mut graph = kafka::fold(world.read(Topic::Graph));
    let record = graph.remove(&format!("{id}/coverage/{collection}")).expect("a coverage");
    match GraphValue::decode(&record.value.expect("a fold has no tombstones")) {
        Ok(GraphValue::Coverage(coverage)) => *coverage,
        other => panic!("no coverage: {other:?}"),
    }
}

#[test]
fn ten_polls_without_one_workspace_take_exactly_the_others_memberships() {
    let world = World::start();
    world.round();
    let (frozen, others) = memberships(&world.anthropic[0].truth());
    assert_eq!(others.len(), POLLS);
    let (known, before) = (changes(&world, 0).len(), world.graph(0));
    let collection = format!("members/{}", frozen.0);
    let whole = coverage(&world, &collection).whole;

    world.anthropic[0].fault(Fault::on(&collection, Answer::Forbidden));
    take(&world, &frozen);
    let mut since = None;
    for (nth, gone) in others.iter().enumerate() {
        take(&world, gone);
        let polled = world.run("producer", &["poll"]);
        assert!(polled.expect(3).stderr.contains(&frozen.0), "{}", polled.stderr);
        let processed = world.run("processor", &["run", "--until-end"]);
        assert!(processed.expect(3).stderr.contains("403"), "{}", processed.stderr);
        let seen: Vec<_> =
            changes(&world, 0)[known..].iter().map(|it| (it.op.clone(), it.element_key.clone())).collect();
        let expected: Vec<_> = others[..=nth].iter().map(|it| (Op::Delete, key(it))).collect();
        assert_eq!(seen, expected);
        let covered = coverage(&world, &collection);
        assert_eq!(covered.whole, whole, "its last whole listing stays");
        assert!(covered.latest.and_then(|it| it.reason).is_some_and(|it| it.contains("403")));
        assert!(covered.not_whole_since_ts_ms.is_some());
        let since = since.get_or_insert(covered.not_whole_since_ts_ms);
        assert_eq!(*since, covered.not_whole_since_ts_ms, "since the first of these polls");
        assert_eq!(coverage(&world, &format!("members/{}", gone.0)).not_whole_since_ts_ms, None);
    }
    world.run("sink", &["run", "--until-end"]).expect(0);
    let after = world.graph(0);
    let mut missing: Vec<_> = before
        .relationships
        .iter()
        .filter(|it| !after.relationships.iter().any(|other| other["_key"] == it["_key"]))
        .map(|it| it["_key"].as_str().expect("a key").to_owned())
        .collect();
    missing.sort();
    let mut expected: Vec<_> = others.iter().map(key).collect();
    expected.sort();
    assert_eq!(missing, expected, "exactly these go from JupiterOne");

    world.anthropic[0].clear_faults();
    world.round();
    assert_eq!(changes(&world, 0).last().map(|it| it.element_key.clone()), Some(key(&frozen)));
    assert_eq!(coverage(&world, &collection).not_whole_since_ts_ms, None);
    content(&world);
}
