//! A build that maps more than the one before it writes what is new at the next whole listing, by itself.

use graph::{reconcile::Cause, state::GraphKey};
use schemas::{
    codec::{GraphValue, Raw},
    collection::Collection,
    element::Element,
};

use crate::world::{Book, PARTITIONS, World};

/// The state as a build left it that knew one property fewer: no `status` of keys.
fn written_by_an_older_build(world: &World) -> Book {
    let mut book = Book::of(world);
    let elements: Vec<Element> = book.state.graph().elements().cloned().collect();
    for mut element in elements {
        if let Some(api_key) = &mut element.api_key {
            api_key.status = None;
        }
        // The resource's digest, and that of another mapping.
        let (resource, _) = element.digest.split_once('.').expect("two digests");
        element.digest = format!("{resource}.of-another-version");
        let key = GraphKey::Element(element.key.clone());
        book.state.fold(&key, Some(GraphValue::Element(Box::new(element)))).expect("an element");
    }
    book
}

#[test]
fn a_property_that_is_new_in_the_mapping_comes_with_the_next_whole_listing_because_of_the_mapping() {
    let world = World::small();
    let mut book = written_by_an_older_build(&world);
    let listing = book.listing(&world, &Collection::ApiKeys);
    let reconciled = graph::reconcile::reconcile(&book.state, &listing, PARTITIONS);
    assert_eq!(reconciled.changes.len(), listing.resources.len(), "each key, and none of its relationships");
    for (change, cause) in &reconciled.changes {
        assert_eq!((change.op.as_str(), *cause), ("u", Cause::Config));
        assert_eq!(change.changed, ["status"]);
        let status = |element: &Option<Element>| element.as_ref()?.api_key.as_ref()?.status.clone();
        assert_eq!((status(&change.before), status(&change.after).as_deref()), (None, Some("active")));
        assert_eq!(change.reason, None);
    }
    let fresh = Book::of(&world);
    book.take(&listing);
    for key in book.state.owned_by("api_keys").filter(|key| !key.contains('|')) {
        let today = fresh.state.graph().get(key).expect("as a build of today writes it");
        assert_eq!(book.state.graph().get(key), Some(today), "with the digest of today, too");
    }
    assert_eq!(book.list(&world, &Collection::ApiKeys), [], "once");
}

#[test]
fn a_resource_that_changed_as_well_is_live() {
    let world = World::small();
    let mut book = written_by_an_older_build(&world);
    let mut listing = book.listing(&world, &Collection::ApiKeys);
    let raw = listing.resources.values_mut().next().expect("a key");
    let api_key = raw.record.resource.as_mut().and_then(|it| it.api_key.as_mut()).expect("a key");
    api_key.name = Some("renamed".to_owned());
    let resource_digest = schemas::codec::resource_digest(raw.record.resource.as_ref());
    *raw = Raw { resource_digest, ..raw.clone() };
    let reconciled = graph::reconcile::reconcile(&book.state, &listing, PARTITIONS);
    let live: Vec<_> = reconciled.changes.iter().filter(|(_, cause)| *cause == Cause::Live).collect();
    assert_eq!(live.len(), 1);
    assert!(live[0].0.changed.contains(&"name".to_owned()), "{:?}", live[0].0.changed);
}

#[test]
fn a_mapping_that_says_the_same_under_another_version_is_no_change() {
    let world = World::small();
    let mut book = written_by_an_older_build(&world);
    assert_eq!(book.list(&world, &Collection::Users), []);
    assert_eq!(book.list(&world, &Collection::Workspaces), []);
}
