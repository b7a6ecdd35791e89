//! A build that maps more than the one before it writes the new properties at the next whole listing.

use graph::{change::Cause, state::GraphKey};
use schemas::{
    change::Op,
    collection::Collection,
    element::{Content, Element},
    graph_value::GraphValue,
    raw::Resource,
};

use crate::world::{Book, PARTITIONS, World, altered, elements};

/// The state as a build left it that knew one property fewer: no `status` of keys.
fn written_by_an_older_build(world: &World) -> Book {
    let mut book = Book::of(world);
    for mut element in elements(&book.state) {
        if let Content::ApiKey(api_key) = &mut element.content {
            api_key.status = None;
        }
        // The resource's digest, and that of another mapping.
        let (resource, _) = element.digest.split_once('.').expect("two digests");
        element.digest = format!("{resource}.of-another-version");
        let key = GraphKey::Element(element.key.clone());
        book.state.fold(&key, Some(GraphValue::Element(element.into()))).expect("an element");
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
    for change in &reconciled.changes {
        assert_eq!((&change.op, change.cause), (&Op::Update, Cause::Config));
        let change = change.envelope();
        assert_eq!(change.changed, ["status"]);
        let status = |element: &Option<Element>| match element.as_ref().map(|element| &element.content) {
            Some(Content::ApiKey(api_key)) => api_key.status.clone(),
            other => panic!("{other:?} is no API key"),
        };
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
    let listing = altered(book.listing(&world, &Collection::ApiKeys), |resource| {
        let Resource::ApiKey(api_key) = resource else { panic!("no API key") };
        api_key.name = Some("renamed".to_owned());
    });
    let reconciled = graph::reconcile::reconcile(&book.state, &listing, PARTITIONS);
    let live: Vec<_> = reconciled.changes.iter().filter(|change| change.cause == Cause::Live).collect();
    assert_eq!(live.len(), 1);
    assert!(live[0].changed.contains(&"name".to_owned()), "{:?}", live[0].changed);
}

#[test]
fn the_same_mapping_under_another_version_changes_nothing() {
    let world = World::small();
    let mut book = written_by_an_older_build(&world);
    assert_eq!(book.list(&world, &Collection::Users), []);
    assert_eq!(book.list(&world, &Collection::Workspaces), []);
}
