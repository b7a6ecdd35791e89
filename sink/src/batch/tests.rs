use proptest::prelude::*;
use schemas::sync::{Parked, parked};
use serde_json::Value;

use super::{Batch, Kind, load};
use crate::fixture::Organization;

fn batches(organization: &Organization, max_bytes: usize) -> Vec<Batch> {
    let load = load(organization.elements.values(), &[], max_bytes);
    assert!(load.too_large.is_empty(), "each fits alone");
    load.batches
}

fn with_users(names: &[String]) -> Organization {
    let mut organization = Organization::empty("3f0b6c1e", "nimbus");
    organization.account();
    for name in names {
        organization.user(name);
    }
    organization
}

proptest! {
    #[test]
    fn every_element_is_in_exactly_one_body_of_its_kind_and_no_body_is_over_the_bound(
        names in prop::collection::vec("[a-zé\"\\\\]{1,40}", 0..60),
        max_bytes in 700_usize..5_000,
    ) {
        let organization = with_users(&names);
        let batches = batches(&organization, max_bytes);
        let mut keys = Vec::new();
        for batch in &batches {
            let body = batch.body();
            prop_assert!(body.len() <= max_bytes);
            prop_assert_eq!(body.len(), batch.body_bytes());
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            for object in body[batch.kind.name()].as_array().expect("an array of its kind") {
                prop_assert_eq!(object.get("_fromEntityKey").is_some(), batch.kind == Kind::Relationships);
                keys.push(object["_key"].as_str().expect("a key").to_owned());
            }
        }
        keys.sort();
        prop_assert_eq!(keys, organization.elements.keys().cloned().collect::<Vec<_>>());
    }

    #[test]
    fn halves_are_a_batch_cut_in_two(names in prop::collection::btree_set("[a-z]{1,8}", 2..40)) {
        let names: Vec<String> = names.into_iter().collect();
        let organization = with_users(&names);
        let whole = batches(&organization, usize::MAX).remove(0);
        let (first, second) = whole.clone().halves().expect("more than one object");
        prop_assert!(first.objects.len().abs_diff(second.objects.len()) <= 1);
        prop_assert_eq!([first.objects, second.objects].concat(), whole.objects);
    }
}

#[test]
fn a_body_may_have_the_bound_s_bytes_and_not_one_more() {
    let organization = with_users(&["ada".to_owned()]);
    let relationships = || organization.elements.values().filter(|element| element.is_relationship());
    let exact = load(relationships(), &[], usize::MAX).batches[0].body_bytes();
    assert_eq!(load(relationships(), &[], exact).batches.len(), 1);
    let over = load(relationships(), &[], exact - 1);
    assert_eq!((over.batches.len(), over.too_large.len()), (0, 1));
    assert_eq!(over.too_large[0].body_bytes(), exact);
}

#[test]
fn one_object_alone_has_no_halves() {
    let alone = batches(&with_users(&[]), usize::MAX).remove(0);
    assert_eq!(alone.clone().halves(), Err(alone));
}

#[test]
fn what_was_refused_is_stripped_or_left_out_as_it_was() {
    let organization = with_users(&["ada".to_owned(), "bob".to_owned()]);
    let refused = |key: &str, state: &str| Parked {
        element_key: key.to_owned(),
        state: state.to_owned(),
        ..Parked::default()
    };
    let refused =
        [refused("anthropic_user:ada", parked::PARKED), refused("anthropic_user:bob", parked::STRIPPED)];
    let load = load(organization.elements.values(), &refused, usize::MAX);
    let entities: Value = serde_json::from_slice(&load.batches[0].body()).expect("JSON");
    let entities = entities["entities"].as_array().expect("entities");
    assert_eq!(entities.len(), 2, "the account and bob");
    let names: Vec<&String> = entities[1].as_object().expect("an object").keys().collect();
    assert_eq!(names, ["_class", "_key", "_type", "displayName"]);
}
