use std::io::Read as _;

use flate2::read::GzDecoder;
use graph::jupiterone::Members;
use proptest::prelude::*;
use schemas::element::{Content, Element};
use schemas::encoded::EncodedElement;
use schemas::sync::{Parked, ParkedState};
use serde_json::Value;

use super::{Batch, Kind, Load, Part};
use crate::fixture::Organization;

pub(crate) fn load<'a>(
    elements: impl Iterator<Item = &'a Element>,
    refused: &[Parked],
    max_bytes: usize,
) -> Load {
    let elements: Vec<EncodedElement> = elements.map(EncodedElement::of).collect();
    Load::new(elements.iter(), refused, None, max_bytes)
}

fn all_batches(load: &Load) -> Vec<Batch> {
    let batch = |part| match part {
        Part::Batch(batch) => batch,
        Part::TooLarge(_) => panic!("each fits alone"),
    };
    load.parts().map(batch).collect()
}

pub(crate) fn batches(organization: &Organization, max_bytes: usize) -> Vec<Batch> {
    all_batches(&load(organization.elements.values(), &[], max_bytes))
}

fn body(batch: &Batch) -> Vec<u8> {
    let mut body = Vec::new();
    GzDecoder::new(batch.gzip()).read_to_end(&mut body).expect("gzip");
    body
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
            let body = body(batch);
            prop_assert!(body.len() <= max_bytes);
            prop_assert_eq!(body.len(), batch.body_bytes);
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            let objects = body[batch.kind.name()].as_array().expect("an array of its kind");
            prop_assert_eq!(objects.len(), batch.objects.len());
            for object in objects {
                prop_assert_eq!(object.get("_fromEntityKey").is_some(), batch.kind == Kind::Relationships);
                keys.push(object["_key"].as_str().expect("a key").to_owned());
            }
        }
        keys.sort();
        prop_assert_eq!(keys, organization.elements.keys().cloned().collect::<Vec<_>>());
    }

    #[test]
    fn no_two_bodies_of_a_kind_would_fit_into_one(
        names in prop::collection::vec("[a-z]{1,40}", 0..60),
        max_bytes in 700_usize..5_000,
    ) {
        let batches = batches(&with_users(&names), max_bytes);
        for pair in batches.windows(2).filter(|pair| pair[0].kind == pair[1].kind) {
            prop_assert!(pair[0].body_bytes + pair[1].body_bytes > max_bytes);
        }
    }

    #[test]
    fn halves_are_a_batch_cut_in_two(names in prop::collection::btree_set("[a-z]{1,8}", 2..40)) {
        let names: Vec<String> = names.into_iter().collect();
        let organization = with_users(&names);
        let whole = batches(&organization, usize::MAX).remove(0);
        let (first, second) = whole.clone().halves().expect("more than one object");
        prop_assert!(first.objects.len().abs_diff(second.objects.len()) <= 1);
        let objects = |batch: &Batch| {
            let body: Value = serde_json::from_slice(&body(batch)).expect("JSON");
            body[batch.kind.name()].as_array().expect("an array").clone()
        };
        prop_assert_eq!([objects(&first), objects(&second)].concat(), objects(&whole));
        prop_assert_eq!([first.objects, second.objects].concat(), whole.objects);
    }
}

#[test]
fn a_body_may_have_the_bound_s_bytes_and_not_one_more() {
    let organization = with_users(&["ada".to_owned()]);
    let relationships = || organization.elements.values().filter(|element| element.is_relationship());
    let exact = all_batches(&load(relationships(), &[], usize::MAX))[0].body_bytes;
    assert_eq!(all_batches(&load(relationships(), &[], exact)).len(), 1);
    let over: Vec<Part> = load(relationships(), &[], exact - 1).parts().collect();
    let [Part::TooLarge(alone)] = &over[..] else { panic!("{over:?}") };
    assert_eq!(alone.body_bytes, exact);
}

#[test]
fn one_object_alone_has_no_halves() {
    let alone = batches(&with_users(&[]), usize::MAX).remove(0);
    assert_eq!(alone.clone().halves(), Err(alone));
}

fn refused(key: &str, state: ParkedState) -> Parked {
    Parked { element_key: key.to_owned(), state, ..Parked::default() }
}

#[test]
fn what_was_refused_is_stripped_or_left_out_as_it_was() {
    let organization = with_users(&["ada".to_owned(), "bob".to_owned()]);
    let refused = [
        refused("anthropic_user:ada", ParkedState::Parked),
        refused("anthropic_user:bob", ParkedState::Stripped),
    ];
    let load = load(organization.elements.values(), &refused, usize::MAX);
    let entities: Value = serde_json::from_slice(&body(&all_batches(&load)[0])).expect("JSON");
    let entities = entities["entities"].as_array().expect("entities");
    assert_eq!(entities.len(), 2, "the account and bob");
    let names: Vec<&String> = entities[1].as_object().expect("an object").keys().collect();
    assert_eq!(names, ["_class", "_key", "_type", "displayName"]);
}

#[test]
fn an_api_key_has_the_class_nhi_where_that_is_asked_for_unless_it_is_stripped() {
    let key = "anthropic_api_key:ci";
    let mut organization = Organization::whole("3f0b6c1e", "nimbus");
    if let Some(Content::ApiKey(api_key)) = organization.elements.get_mut(key).map(|it| &mut it.content) {
        (api_key.created_by, api_key.creator_type) = (Some("ada".to_owned()), Some("user".to_owned()));
    }
    let elements: Vec<EncodedElement> = organization.elements.values().map(EncodedElement::of).collect();
    let uploaded = |members, refused: &[Parked]| {
        let load = Load::new(elements.iter(), refused, members, usize::MAX);
        // What a batch is cut into is as it was.
        let (first, second) = all_batches(&load).remove(0).halves().expect("more than one object");
        let objects = [first, second].map(|batch| {
            let body: Value = serde_json::from_slice(&body(&batch)).expect("JSON");
            body["entities"].as_array().expect("entities").clone()
        });
        objects.concat().into_iter().find(|entity| entity["_key"] == key).expect("the key")
    };
    let members = || Some(Members::of(elements.iter()));
    assert_eq!(uploaded(members(), &[])["_class"], serde_json::json!(["AccessKey", "NHI"]));
    assert_eq!(uploaded(members(), &[])["owner"], "ada");
    for plain in [uploaded(None, &[]), uploaded(members(), &[refused(key, ParkedState::Stripped)])] {
        assert_eq!(plain["_class"], serde_json::json!(["AccessKey"]));
        assert!(plain.get("nhiType").is_none(), "{plain}");
    }
}

#[test]
fn a_relationship_of_two_refused_ends_counts_once_and_one_that_is_left_out_does_not() {
    let organization = with_users(&["ada".to_owned(), "bob".to_owned()]);
    let left_out = organization.elements.keys().find(|key| key.ends_with("|anthropic_user:bob")).unwrap();
    let load = load(organization.elements.values(), &[refused(left_out, ParkedState::Parked)], usize::MAX);
    assert_eq!(load.relationships_of(&[]), 0);
    assert_eq!(load.relationships_of(&["anthropic_account:3f0b6c1e", "anthropic_user:ada"]), 1);
    assert_eq!(load.relationships_of(&["anthropic_user:bob"]), 0);
}
