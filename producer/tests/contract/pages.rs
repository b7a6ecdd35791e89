//! Whole listings.

use std::collections::BTreeSet;

use schemas::collection::Collection;
use simulator::anthropic::{IncludeDefault, Mutation, Settings};

use crate::end::End;

#[tokio::test]
async fn each_collection_is_listed_whole() {
    let mut end = End::start(Settings { users: 2500, api_keys: 1000, ..Settings::default() }).await;
    let truth = end.anthropic.truth();
    let workspace_id = truth.members.iter().max_by_key(|(_, members)| members.len()).expect("members").0;
    let expected: [(Collection, BTreeSet<&String>, i64); 4] = [
        (Collection::Users, truth.users.keys().collect(), 3),
        (Collection::Workspaces, truth.workspaces.keys().collect(), 1),
        (Collection::ApiKeys, truth.api_keys.keys().collect(), 1),
        (Collection::Members(workspace_id.clone()), truth.members[workspace_id].keys().collect(), 1),
    ];
    for (collection, ids, pages) in expected {
        let listing = end.list(&collection).await.expect("a whole listing");
        let listed: Vec<String> =
            listing.resources.iter().map(|(resource, _)| resource.id().to_owned()).collect();
        assert_eq!(listed.len(), ids.len(), "{collection}");
        assert!(listed.iter().all(|id| ids.contains(id)), "{collection}");
        assert_eq!(listing.pages, pages, "{collection}");
        assert_eq!(listing.last_cursor.as_ref(), listed.last(), "{collection}");
        assert_eq!(listing.first_cursor.as_ref(), listed.first(), "{collection}");
        assert_eq!(listing.parameters["limit"], "1000");
        assert!(listing.first_request_id.is_some() && listing.started_ts_ms <= listing.ended_ts_ms);
    }
    let requests = end.requests();
    let users: Vec<&str> =
        requests.iter().filter(|it| it.path.ends_with("/users")).map(|it| it.query.as_str()).collect();
    assert_eq!(users[0], "limit=1000");
    assert!(users[1].starts_with("limit=1000&after_id=user_"), "{}", users[1]);
}

#[tokio::test]
async fn a_million_api_keys_fit_into_little_memory() {
    let mut end = End::start(Settings { api_keys: 3000, ..Settings::default() }).await;
    let listing = end.list(&Collection::ApiKeys).await.expect("a whole listing");
    let bytes = listing.resources.held() * (1_000_000 / listing.resources.len());
    assert!(bytes < 256 * 1024 * 1024, "{bytes} bytes for a million");
}

#[tokio::test]
async fn me_is_a_listing_of_one() {
    let mut end = End::start(Settings::default()).await;
    let listing = end.list(&Collection::Organization).await.expect("a whole listing");
    let ids: Vec<String> = listing.resources.iter().map(|(resource, _)| resource.id().to_owned()).collect();
    assert_eq!(ids, [end.anthropic.organization_id()]);
    assert_eq!(end.requests()[0].query, "");
}

#[tokio::test]
async fn the_manifest_names_the_parameters_that_were_honoured() {
    for (behaviour, honoured, requests) in [
        // Once without the parameter: what is lacking then is the default workspace.
        (IncludeDefault::Known, true, 2),
        (IncludeDefault::Ignored, false, 1),
        (IncludeDefault::Rejected, false, 2),
    ] {
        let settings = Settings { include_default: Some(behaviour), ..Settings::default() };
        let mut end = End::start(settings).await;
        let listing = end.list(&Collection::Workspaces).await.expect("a whole listing");
        assert_eq!(listing.parameters["include_archived"], "true");
        assert_eq!(listing.parameters.contains_key("include_default"), honoured, "{behaviour:?}");
        assert_eq!(end.requests().len(), requests, "{behaviour:?}");
        // A server that rejected it once is not asked again.
        end.list(&Collection::Workspaces).await.expect("a whole listing");
        assert_eq!(end.requests().len(), requests + 1, "{behaviour:?}");
    }
}

/// Lists the workspaces, and returns whether `include_default` was honoured, and the default workspace.
async fn list_workspaces(end: &mut End) -> (bool, Option<String>) {
    let listing = end.list(&Collection::Workspaces).await.expect("a whole listing");
    (listing.parameters.contains_key("include_default"), listing.default_workspace_id)
}

#[tokio::test]
async fn a_workspace_that_a_user_named_default_is_not_the_default_workspace() {
    for (behaviour, is_known) in [(IncludeDefault::Ignored, false), (IncludeDefault::Known, true)] {
        let mut end = End::start(Settings { include_default: Some(behaviour), ..Settings::default() }).await;
        let id = "wrkspc_of_a_user".to_owned();
        let make = Mutation::MakeWorkspace { id: Some(id.clone()), name: Some("Default".to_owned()) };
        end.anthropic.mutate(make).expect("a new workspace");
        let default = Some(end.anthropic.truth().default_workspace_id).filter(|_| is_known);
        assert_eq!(list_workspaces(&mut end).await, (is_known, default.clone()), "{behaviour:?}");
        end.anthropic.mutate(Mutation::ArchiveWorkspace { id }).expect("the workspace");
        let archived = list_workspaces(&mut end).await;
        assert_eq!(archived, (is_known, default), "{behaviour:?}: no listing is narrower than another");
    }
}

#[tokio::test]
async fn an_empty_list_is_whole() {
    let settings = Settings { users: 0, workspaces: 0, api_keys: 0, ..Settings::default() };
    let mut end = End::start(settings).await;
    let listing = end.list(&Collection::ApiKeys).await.expect("a whole listing");
    assert_eq!((listing.resources.len(), listing.pages), (0, 1));
    assert_eq!((listing.first_cursor, listing.last_cursor), (None, None));
}
