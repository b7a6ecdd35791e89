use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use schemas::{
    codec::Digest,
    element::{Content, Element, ElementType, Other},
    encoded::EncodedElement,
};

use super::Nodes;
use crate::fingerprint::Fingerprints;

/// What happens to one of a few keys.
#[derive(Debug, Clone, Copy)]
enum Step {
    Put(usize),
    Remove(usize),
    Withhold(usize),
    Release(usize),
}

/// The same, the simple way.
#[derive(Debug, Default)]
struct Model {
    elements: BTreeMap<String, Element>,
    withheld: BTreeMap<String, Element>,
}

impl Model {
    fn known(&self) -> BTreeMap<&String, &Element> {
        self.withheld.iter().chain(&self.elements).collect()
    }

    fn owned_by(&self, collection: &str) -> BTreeSet<String> {
        let known = self.known().into_values();
        known.filter(|element| element.collection == collection).map(|it| it.key.clone()).collect()
    }

    fn relationships_of(&self, end: &str) -> BTreeSet<String> {
        let known = self.known().into_values();
        known.filter(|element| element.ends().any(|it| it == end)).map(|it| it.key.clone()).collect()
    }
}

/// Three users, three relationships between them, and one that begins where it ends.
fn elements() -> Vec<Element> {
    let keys: Vec<String> = (0..3).map(|number| ElementType::User.entity_key(&number.to_string())).collect();
    let element = |key: String, collection: &str, ends: Option<(&String, &String)>| Element {
        key,
        ..Element::new(
            "o",
            collection,
            Content::Other(Box::new(Other {
                from_key: ends.map(|(from, _)| from.clone()),
                to_key: ends.map(|(_, to)| to.clone()),
                ..Other::default()
            })),
        )
    };
    let entities = keys.iter().map(|key| element(key.clone(), "users", None));
    let relationships = [(0, 1), (1, 2), (0, 2), (1, 1)]
        .into_iter()
        .map(|(from, to)| element(format!("{from}|has|{to}"), "members/w", Some((&keys[from], &keys[to]))));
    entities.chain(relationships).collect()
}

fn check(nodes: &Nodes, model: &Model) {
    let found: Vec<Element> = nodes.elements().map(EncodedElement::decode).collect();
    assert_eq!(found, model.elements.values().cloned().collect::<Vec<_>>());
    assert_eq!((nodes.element_count(), nodes.iter().count()), (found.len(), found.len()));
    for collection in ["users", "members/w"] {
        let owned: Vec<&str> = nodes.owned_by(collection).map(|id| nodes.key(id)).collect();
        let distinct: BTreeSet<String> = owned.iter().map(|key| (*key).to_owned()).collect();
        assert_eq!((owned.len(), &distinct), (distinct.len(), &model.owned_by(collection)));
    }
    for element in elements() {
        let found: BTreeSet<String> = nodes.relationships_of(&element.key).map(str::to_owned).collect();
        assert_eq!(found, model.relationships_of(&element.key), "of {}", element.key);
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..4, 0..elements().len()).prop_map(|(what, which)| match what {
        0 => Step::Put(which),
        1 => Step::Remove(which),
        2 => Step::Withhold(which),
        _ => Step::Release(which),
    });
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn elements_are_found_by_key_owner_and_end_whatever_came_and_went(steps in steps()) {
        let (mut nodes, mut model) = (Nodes::default(), Model::default());
        for step in steps {
            match step {
                Step::Put(which) => {
                    let element = elements().remove(which);
                    nodes.put(EncodedElement::of(&element));
                    model.elements.insert(element.key.clone(), element);
                }
                Step::Remove(which) => {
                    nodes.remove(&elements()[which].key);
                    model.elements.remove(&elements()[which].key);
                }
                Step::Withhold(which) => {
                    let element = elements().remove(which);
                    nodes.withhold(&EncodedElement::of(&element));
                    model.withheld.insert(element.key.clone(), element);
                }
                Step::Release(which) => {
                    nodes.release(&elements()[which].key);
                    model.withheld.remove(&elements()[which].key);
                }
            }
            check(&nodes, &model);
        }
        let mut built = Nodes::default();
        model.withheld.values().for_each(|element| built.withhold(&EncodedElement::of(element)));
        model.elements.values().for_each(|element| built.put(EncodedElement::of(element)));
        prop_assert!(nodes == built);
    }
}

type Change = fn(&mut Nodes, &[Element]);

#[test]
fn what_a_resource_was_mapped_to_is_forgotten_once_anything_of_it_changes() {
    let [one, other] = [b"1", b"2"].map(|text| Fingerprints::default().of(text));
    let [context, another] = [b"c", b"d"].map(|text| Digest::of([text.as_slice()]));
    let all = elements();
    let key = all[0].key.as_str();
    let changes: [(&str, Change); 5] = [
        ("it is put again", |nodes, all| nodes.put(EncodedElement::of(&all[0]))),
        ("it goes", |nodes, all| nodes.remove(&all[0].key)),
        ("a relationship comes", |nodes, all| nodes.put(EncodedElement::of(&all[3]))),
        ("a relationship is withheld", |nodes, all| nodes.withhold(&EncodedElement::of(&all[3]))),
        ("a hold begins", |nodes, all| nodes.touch_key(&all[0].key)),
    ];
    for (what, change) in changes {
        let mut nodes = Nodes::default();
        all[..3].iter().for_each(|element| nodes.put(EncodedElement::of(element)));
        nodes.set_mapped(key, 0, one, context);
        let id = nodes.find(key).expect("it was put");
        assert_eq!(nodes.mapped_from(id), Some(one));
        assert!(nodes.is_mapped(id, one, context) && !nodes.is_mapped(id, one, another));
        assert!(!nodes.is_mapped(id, other, context));
        change(&mut nodes, &all);
        assert_eq!(nodes.find(key).and_then(|id| nodes.mapped_from(id)), None, "{what}");
    }
}
