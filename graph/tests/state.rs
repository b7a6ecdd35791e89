//! Laws of `Graph::apply`, `Graph::diff` and the fold of the graph topic.

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
    fn applying_the_difference_leads_there(a in graph(), b in graph()) {
        let mut reached = a.clone();
        for change in a.diff(&b) {
            reached.apply(&change);
        }
        prop_assert_eq!(reached, b);
    }

    #[test]
    fn a_graph_does_not_differ_from_itself(a in graph()) {
        prop_assert!(a.diff(&a).is_empty());
    }

    #[test]
    fn every_change_says_what_was_and_what_is(a in graph(), b in graph()) {
        for change in a.diff(&b) {
            prop_assert_eq!(a.get(change.key()), change.before.as_ref());
            prop_assert_eq!(b.get(change.key()), change.after.as_ref());
            prop_assert_ne!(change.before, change.after);
        }
    }

    #[test]
    fn at_no_point_of_the_way_does_a_relationship_lack_an_end(a in graph(), b in graph()) {
        let workspace = || element(ElementType::Workspace, ElementType::Workspace.entity_key("w"), None, "w");
        let with_workspace = |graph: &Graph| graph.elements().cloned().chain([workspace()]).collect::<Graph>();
        let (mut now, goal) = (with_workspace(&a), with_workspace(&b));
        for change in now.clone().diff(&goal) {
            now.apply(&change);
            for relationship in now.elements().filter(|element| element.is_relationship()) {
                prop_assert!(relationship.ends().all(|end| now.contains(end)), "{}", relationship.key);
            }
        }
    }

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
    let before: Graph = [user(1, "a")].into_iter().collect();
    let after: Graph = [Element { digest: "1.1".to_owned(), ..user(1, "a") }].into_iter().collect();
    assert!(before.diff(&after).is_empty());
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
