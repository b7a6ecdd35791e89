//! Every generation of the wire format, from the simulator's answers to resources.

use schemas::collection::Collection;
use schemas::raw::Resource;
use simulator::anthropic::Settings;

use crate::end::End;

/// A small organization, seen in one generation: what is telling of each collection.
async fn seen(generation: u8) -> Vec<Resource> {
    let settings = Settings { users: 3, workspaces: 3, api_keys: 6, generation, ..Settings::default() };
    let mut end = End::start(settings).await;
    let mut resources = Vec::new();
    for collection in
        [Collection::Organization, Collection::Users, Collection::Workspaces, Collection::ApiKeys]
    {
        let listing = end.list(&collection).await.expect("a whole listing");
        resources.extend(listing.resources.unpack().map(|(resource, _)| resource));
    }
    let truth = end.anthropic.truth();
    let workspace_id = truth.members.iter().find(|(_, members)| !members.is_empty()).map(|(id, _)| id);
    let collection = Collection::Members(workspace_id.expect("a member").clone());
    let listing = end.list(&collection).await.expect("a whole listing");
    resources.extend(listing.resources.unpack().map(|(resource, _)| resource));
    resources
}

#[tokio::test]
async fn generation_1_is_read_whole() {
    insta::assert_json_snapshot!(seen(1).await);
}

#[tokio::test]
async fn generation_2_is_read_whole() {
    insta::assert_json_snapshot!(seen(2).await);
}

#[tokio::test]
async fn generation_3_is_read_whole() {
    insta::assert_json_snapshot!(seen(3).await);
}

#[tokio::test]
async fn generation_4_is_read_whole() {
    insta::assert_json_snapshot!(seen(4).await);
}

#[tokio::test]
async fn no_generation_has_a_field_without_a_column() {
    for generation in 1..=4 {
        for resource in seen(generation).await {
            let text = serde_json::to_value(&resource).expect("JSON");
            let extra = text.as_object().expect("an object").values().find_map(|value| value.get("extra"));
            assert_eq!(extra, Some(&serde_json::json!({})), "{resource:?}");
        }
    }
}
