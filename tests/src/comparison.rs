//! What is compared: the truth, what JupiterOne holds, the fold of the graph topic, the fold of the changes.

use std::collections::BTreeMap;

use graph::{jupiterone::properties, state::GraphKey};
use schemas::{
    change::{Envelope, Op},
    codec::decode,
    element::Element,
    graph_value::GraphValue,
    topics::Topic,
};
use serde_json::{Map, Value};
use simulator::{
    anthropic::Truth,
    oracle::{self, Graph, Options},
};

use crate::{kafka, world::World};

/// What JupiterOne should hold for this truth, with the account name that a world configures.
pub fn expected(truth: &Truth, organization: usize) -> Graph {
    oracle::expected(truth, &options(organization, false))
}

fn options(organization: usize, nhi_class: bool) -> Options {
    Options { account_name: Some(format!("Organization {}", organization + 1)), nhi_class }
}

/// Holds everything that is known of an organization to its truth.
///
/// # Panics
/// With the differences, if there are any.
pub fn agree(world: &World, organization: usize) {
    let expected = expected(&world.anthropic[organization].truth(), organization);
    let id = world.anthropic[organization].organization_id();
    let held = world.graph(organization);
    let held = Graph::uploaded(held.entities, held.relationships);
    check("JupiterOne", &expected, &held);
    check("the fold of graph", &expected, &folded_graph(world, &id));
    check("the fold of changes", &expected, &folded_changes(&changes(world, organization)));
    assert_eq!(world.jupiterone.violations(), Vec::<String>::new(), "the data model of JupiterOne");
}

/// Holds what JupiterOne has of an organization to its truth, where API keys have the class NHI too.
///
/// # Panics
/// With the differences, if there are any.
pub fn agree_with_nhi(world: &World, organization: usize) {
    let truth = world.anthropic[organization].truth();
    let held = world.graph(organization);
    let held = Graph::uploaded(held.entities, held.relationships);
    check("JupiterOne", &oracle::expected(&truth, &options(organization, true)), &held);
    assert_eq!(world.jupiterone.violations(), Vec::<String>::new(), "the data model of JupiterOne");
}

fn check(what: &str, expected: &Graph, actual: &Graph) {
    let differences = oracle::compare(expected, actual);
    assert!(differences.is_empty(), "{what} differs from the truth:\n{}", differences.join("\n"));
}

/// The elements that the compacted topic leaves of an organization.
fn folded_graph(world: &World, organization_id: &str) -> Graph {
    let elements = kafka::fold(world.read(Topic::Graph)).into_iter().filter_map(|(key, record)| {
        let (id, key) = GraphKey::parse(&key).expect("a key of the graph topic");
        let value = GraphValue::decode(&record.value?).expect("a value of the graph topic");
        match (key, value) {
            (GraphKey::Element(_), GraphValue::Element(element)) if id == organization_id => {
                Some(element.decode())
            }
            _ => None,
        }
    });
    graph(elements)
}

/// All changes of an organization, in the order of the log.
///
/// # Panics
/// If a record is not a change.
pub fn changes(world: &World, organization: usize) -> Vec<Envelope> {
    let id = world.anthropic[organization].organization_id();
    let changes = world.read(Topic::Changes).into_iter().map(|record| {
        let change: Envelope = decode(&record.value.expect("a change has a value")).expect("a change");
        assert_eq!(record.key.as_deref(), Some(change.key().as_bytes()));
        change
    });
    changes.filter(|change| change.source.organization_id == id).collect()
}

/// Folds changes, and holds each to the laws of the log on the way.
fn folded_changes(changes: &[Envelope]) -> Graph {
    let mut elements: BTreeMap<String, Element> = BTreeMap::new();
    let mut revision = 0;
    for change in changes {
        revision += i64::from(change.op != Op::Notice);
        assert_eq!(change.revision, revision, "revisions have no gap");
        let key = &change.element_key;
        assert_eq!(
            elements.get(key),
            change.before.as_ref(),
            "{key}: the image before is the image after of before"
        );
        if change.op == Op::Notice {
            assert_eq!(change.before, change.after, "{key}: a notice changes nothing");
        }
        match &change.after {
            Some(after) => drop(elements.insert(key.clone(), after.clone())),
            None => drop(elements.remove(key)),
        }
    }
    graph(elements.into_values())
}

fn graph(elements: impl Iterator<Item = Element>) -> Graph {
    let mut graph = Graph::default();
    for element in elements {
        let place = if element.is_relationship() { &mut graph.relationships } else { &mut graph.entities };
        place.insert(element.key.clone(), properties(&element));
    }
    graph
}

/// One change as a person would predict it: op, image before, image after.
pub type Predicted = (Op, Option<Map<String, Value>>, Option<Map<String, Value>>);

/// The changes that lead from one truth to another, by element key. The members of a workspace that is new were created
/// too: it is known when the workspace was not there.
pub fn predicted(before: &Graph, after: &Graph) -> BTreeMap<String, Predicted> {
    let (before, after) = (elements(before), elements(after));
    let keys = before.keys().chain(after.keys()).cloned();
    keys.filter(|key| before.get(key) != after.get(key))
        .map(|key| {
            let images = (before.get(&key).cloned(), after.get(&key).cloned());
            let op = match &images {
                (None, _) => Op::Create,
                (Some(_), Some(_)) => Op::Update,
                (Some(_), None) => Op::Delete,
            };
            (key, (op, images.0, images.1))
        })
        .collect()
}

fn elements(graph: &Graph) -> BTreeMap<String, Map<String, Value>> {
    graph.entities.iter().chain(&graph.relationships).map(|(key, it)| (key.clone(), it.clone())).collect()
}

/// These changes as a person would have predicted them, by element key.
pub fn seen(changes: &[Envelope]) -> BTreeMap<String, Predicted> {
    changes
        .iter()
        .map(|change| {
            let images = (change.before.as_ref().map(properties), change.after.as_ref().map(properties));
            (change.element_key.clone(), (change.op.clone(), images.0, images.1))
        })
        .collect()
}
