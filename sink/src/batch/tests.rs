use proptest::prelude::*;
use serde_json::Value;

use super::{Kind, TooLarge, batches};
use crate::fixture::Organization;

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
        let batches = batches(organization.elements.values(), max_bytes).expect("each fits alone");
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
        let whole = batches(organization.elements.values(), usize::MAX).expect("no bound").remove(0);
        let (first, second) = whole.clone().halves().expect("more than one object");
        prop_assert!(first.objects.len().abs_diff(second.objects.len()) <= 1);
        prop_assert_eq!([first.objects, second.objects].concat(), whole.objects);
    }
}

#[test]
fn a_body_may_have_the_bound_s_bytes_and_not_one_more() {
    let organization = with_users(&["ada".to_owned()]);
    let relationships: Vec<_> =
        organization.elements.values().filter(|element| element.is_relationship()).collect();
    let exact = batches(relationships.iter().copied(), usize::MAX).expect("no bound")[0].body_bytes();
    assert_eq!(batches(relationships.iter().copied(), exact).expect("it fits").len(), 1);
    let error = batches(relationships.iter().copied(), exact - 1).expect_err("it does not fit");
    assert_eq!(error, TooLarge { key: relationships[0].key.clone(), bytes: exact });
}

#[test]
fn one_object_alone_has_no_halves_but_a_key() {
    let organization = with_users(&[]);
    let batch = batches(organization.elements.values(), usize::MAX).expect("no bound").remove(0);
    assert_eq!(batch.halves(), Err("anthropic_account:3f0b6c1e".to_owned()));
}
