//! Laws of the fold of the graph topic.

use graph::{
    elements::{Change, Graph},
    state::{GraphKey, State, States},
};
use proptest::{collection::btree_map, prelude::*};
use schemas::{
    codec::GraphValue,
    coverage::Withheld,
    element::{Element, ElementType},
};

const ORGANIZATION: &str = "3f0b6c1e";

fn element(kind: ElementType, key: String, ends: Option<(String, String)>, display_name: &str) -> Element {
    let (from_key, to_key) = ends.unzip();
    Element {
        key,
        kind: kind.name().to_owned(),
        class: kind.class().to_owned(),
        display_name: display_name.to_owned(),
        organization_id: ORGANIZATION.to_owned(),
        collection: if kind.is_relationship() { "members/w" } else { "users" }.to_owned(),
        digest: "0.0".to_owned(),
        from_key,
        to_key,
        account_name: None,
        account: None,
        user: None,
        workspace: None,
        api_key: None,
        user_assigned_workspace: None,
    }
}

fn user(id: u8, display_name: &str) -> Element {
    element(ElementType::User, ElementType::User.entity_key(&id.to_string()), None, display_name)
}

fn assigned(id: u8) -> Element {
    let (from, to) = (ElementType::User.entity_key(&id.to_string()), ElementType::Workspace.entity_key("w"));
    let kind = ElementType::UserAssignedWorkspace;
    element(kind, kind.relationship_key(&from, &to), Some((from, to)), "ASSIGNED")
}

prop_compose! {
    /// A graph of up to twenty users, each with one of three names and with a membership or none.
    fn graph()(users in btree_map(0u8..20, (0usize..3, any::<bool>()), 0..20)) -> Graph {
        users.into_iter().flat_map(|(id, (name, member))| {
            std::iter::once(user(id, ["a", "b", "c"][name])).chain(member.then(|| assigned(id)))
        }).collect()
    }
}

proptest! {
    #[test]
    fn folding_the_records_of_a_graph_gives_the_graph_and_tombstones_give_nothing(a in graph()) {
        let mut states = States::default();
        for element in a.elements() {
            let key = GraphKey::Element(element.key.clone()).format(ORGANIZATION);
            let value = GraphValue::Element(Box::new(element.clone())).encode();
            states.fold_record(&key, Some(&value)).expect("a record of the graph topic");
        }
        prop_assert_eq!(states.entry(ORGANIZATION).graph(), &a);
        for element in a.elements() {
            let key = GraphKey::Element(element.key.clone()).format(ORGANIZATION);
            states.fold_record(&key, None).expect("a tombstone");
        }
        prop_assert_eq!(states.entry(ORGANIZATION), &mut State::default());
    }
}

#[test]
fn elements_that_only_differ_in_their_digest_are_the_same() {
    let before = user(1, "a");
    assert!(before.same_as(&Element { digest: "1.1".to_owned(), ..before.clone() }));
    assert!(!before.same_as(&user(1, "b")));
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
        .fold(&GraphKey::Element(key.clone()), Some(GraphValue::Element(Box::new(relationship))))
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
    let gone = |element: Element| Change { before: Some(element), after: None };
    let here = |element: Element| Change { before: None, after: Some(element) };
    let ranks =
        [gone(assigned(1)), gone(user(1, "a")), here(user(1, "a")), here(assigned(1))].map(|it| it.rank());
    assert_eq!(ranks, [0, 1, 2, 3]);
}
