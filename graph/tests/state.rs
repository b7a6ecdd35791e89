//! Laws of the fold of the graph topic.

use std::collections::BTreeMap;

use graph::{
    change::Images,
    state::{GraphKey, State, States},
};
use proptest::{collection::btree_map, prelude::*};
use schemas::{
    coverage::Withheld,
    element::{Content, Element, ElementType, Ends, User, UserAssignedWorkspace},
    encoded::EncodedElement,
    graph_value::GraphValue,
};

const ORGANIZATION: &str = "3f0b6c1e";

fn user(id: u8, name: &str) -> Element {
    let user = User { id: id.to_string(), name: name.to_owned(), ..User::default() };
    Element::new(ORGANIZATION, "users", Content::User(Box::new(user)))
}

fn assigned(id: u8) -> Element {
    let ends = Ends {
        from_key: ElementType::User.entity_key(&id.to_string()),
        to_key: ElementType::Workspace.entity_key("w"),
    };
    let content = Content::UserAssignedWorkspace(ends, UserAssignedWorkspace::default());
    Element::new(ORGANIZATION, "members/w", content)
}

prop_compose! {
    /// A graph of up to twenty users, each with one of three names and with a membership or none.
    fn graph()(users in btree_map(0u8..20, (0usize..3, any::<bool>()), 0..20)) -> BTreeMap<String, Element> {
        let elements = users.into_iter().flat_map(|(id, (name, member))| {
            std::iter::once(user(id, ["a", "b", "c"][name])).chain(member.then(|| assigned(id)))
        });
        elements.map(|element| (element.key.clone(), element)).collect()
    }
}

proptest! {
    #[test]
    fn folding_the_records_of_a_graph_gives_the_graph_and_tombstones_give_nothing(a in graph()) {
        let mut states = States::default();
        for element in a.values() {
            let key = GraphKey::Element(element.key.clone()).format(ORGANIZATION);
            let value = GraphValue::Element(element.clone().into()).encode();
            states.fold_record(&key, Some(&value)).expect("a record of the graph topic");
        }
        let found = states.entry(ORGANIZATION).graph().elements().map(EncodedElement::decode).collect::<Vec<_>>();
        prop_assert_eq!(found, a.values().cloned().collect::<Vec<_>>());
        for element in a.values() {
            let key = GraphKey::Element(element.key.clone()).format(ORGANIZATION);
            states.fold_record(&key, None).expect("a tombstone");
        }
        prop_assert_eq!(states.entry(ORGANIZATION), &mut State::default());
    }
}

#[test]
fn elements_that_only_differ_in_their_digest_are_the_same() {
    let before = user(1, "a");
    let (same, other) = (Element { digest: "1.10".to_owned(), ..before.clone() }, user(1, "b"));
    let [before, same, other] = [before, same, other].map(EncodedElement::from);
    assert!(before.same_as(&same) && before != same && !before.same_as(&other));
}

#[test]
fn a_relationship_is_found_by_its_ends_and_its_collection_whether_withheld_or_not() {
    let relationship = assigned(1);
    let key = relationship.key.clone();
    let withheld = Withheld {
        organization_id: ORGANIZATION.to_owned(),
        element: relationship.clone(),
        missing: vec!["anthropic_user:1".to_owned()],
    };
    let mut state = State::default();
    let found = |state: &State| {
        (state.relationships_of("anthropic_user:1").count(), state.owned_by("members/w").count())
    };
    state
        .fold(&GraphKey::Withheld(key.clone()), Some(GraphValue::Withheld(Box::new(withheld))))
        .expect("a withheld relationship");
    assert_eq!(found(&state), (1, 1));
    state
        .fold(&GraphKey::Element(key.clone()), Some(GraphValue::Element(relationship.into())))
        .expect("an element");
    state.fold(&GraphKey::Withheld(key.clone()), None).expect("a tombstone");
    assert_eq!(found(&state), (1, 1));
    state.fold(&GraphKey::Element(key), None).expect("a tombstone");
    assert_eq!(found(&state), (0, 0));
}

#[test]
fn a_key_is_parsed_back() {
    for key in [
        GraphKey::Element("anthropic_user:1|assigned|anthropic_workspace:2".to_owned()),
        GraphKey::Coverage("members/wrkspc_01".to_owned()),
        GraphKey::Hold("anthropic_user:1".to_owned()),
        GraphKey::Withheld("anthropic_user:1|assigned|anthropic_workspace:2".to_owned()),
    ] {
        assert_eq!(GraphKey::parse(&key.format(ORGANIZATION)), Some((ORGANIZATION, key.clone())));
    }
    assert_eq!(GraphKey::parse("no slash"), None);
}

#[test]
fn a_change_is_ranked_so_that_relationships_go_first_and_come_last() {
    let gone = |element: Element| Images { before: Some(element.into()), after: None };
    let here = |element: Element| Images { before: None, after: Some(element.into()) };
    let ranks =
        [gone(assigned(1)), gone(user(1, "a")), here(user(1, "a")), here(assigned(1))].map(|it| it.rank());
    assert_eq!(ranks, [0, 1, 2, 3]);
}
