//! Some histories of a raw topic, written as the producer would; made here, so that they follow the schema.

use std::collections::BTreeMap;

use schemas::codec::encode;
use schemas::raw::{
    Actor, ApiKey, Configuration, Decision, ListingOutcome, Manifest, Mark, MarkKind, Member, Organization,
    RawBody, RawRecord, Resource, Scope, Workspace,
};

use crate::raw;

#[expect(clippy::unnecessary_wraps, reason = "most fields are nullable")]
fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn mark(kind: MarkKind, outcomes: &[(&str, &str)]) -> RawRecord {
    let outcomes = outcomes.iter().map(|(collection, outcome)| ListingOutcome {
        collection: (*collection).to_owned(),
        outcome: (*outcome).into(),
        reason: some("403"),
        http_status: Some(403),
        request_id: None,
        listing_id: None,
    });
    let mark = Mark { outcomes: outcomes.collect(), complete: true, ..raw::mark(kind) };
    raw::record("poll", None, RawBody::Mark(mark))
}

fn listing(collection: &str, listing_id: &str, resources: Vec<Resource>) -> Vec<RawRecord> {
    let record = |body| raw::record(collection, Some(listing_id), body);
    let manifest = Manifest {
        parameters: BTreeMap::from([("include_default".to_owned(), "true".to_owned())]),
        configuration: Configuration {
            account_name: some("Nimbus"),
            tag_account_name: true,
            max_deleted_fraction: 0.3,
            max_deleted_count: 1,
        },
        ..raw::manifest(i64::try_from(resources.len()).expect("few"))
    };
    let resources = resources.into_iter().map(|resource| record(RawBody::Resource(resource)));
    resources.chain([record(RawBody::Manifest(manifest))]).collect()
}

fn workspace(id: &str) -> Resource {
    let workspace = Workspace { id: id.to_owned(), name: some("Default"), ..Workspace::default() };
    Resource::Workspace(workspace.into())
}

fn member(workspace_id: &str, user_id: &str) -> Resource {
    let member =
        Member { user_id: user_id.to_owned(), workspace_id: workspace_id.to_owned(), ..Member::default() };
    Resource::Member(member.into())
}

fn api_key(id: &str, user_id: &str, workspace_id: &str) -> Resource {
    let api_key = ApiKey {
        id: id.to_owned(),
        created_at: some("2026-05-01T10:00:00Z"),
        created_by: Some(Actor { id: some(user_id), kind: some("user") }),
        scope: Some(Scope { kind: some("workspace"), workspace_id: some(workspace_id) }),
        ..ApiKey::default()
    };
    Resource::ApiKey(api_key.into())
}

fn organization() -> Resource {
    let organization = Organization { id: raw::ORGANIZATION.to_owned(), ..Organization::default() };
    Resource::Organization(organization.into())
}

/// A poll of an organization with these users, the first of which made the key and is a member.
fn poll(number: &str, users: &[&str], workspaces: &[&str]) -> Vec<RawRecord> {
    let id = |collection: &str| format!("{collection}-{number}");
    let mut records = vec![mark(MarkKind::Start, &[])];
    records.extend(listing("organization", &id("organization"), vec![organization()]));
    records.extend(listing("users", &id("users"), users.iter().map(|id| raw::user(id)).collect()));
    let listed = workspaces.iter().map(|id| workspace(id)).collect();
    records.extend(listing("workspaces", &id("workspaces"), listed));
    let first = users.first().copied().unwrap_or("nobody");
    for id_of_one in workspaces {
        records.extend(listing("api_keys", &id("api_keys"), vec![api_key("k1", first, id_of_one)]));
        let members = users.iter().map(|user| member(id_of_one, user)).collect();
        records.extend(listing(&format!("members/{id_of_one}"), &id(id_of_one), members));
    }
    records
        .push(mark(MarkKind::End, &[("users", "whole"), ("workspaces", "failed"), ("members/lab", "gone")]));
    records
}

fn decision(kind: &str) -> RawRecord {
    let decision = Decision {
        kind: kind.into(),
        collection: some("users"),
        element_key: None,
        listing_id: some("users-2"),
        by: "ada".to_owned(),
        why: None,
        decided_ts_ms: 5,
    };
    raw::record("decision", None, RawBody::Decision(decision))
}

/// The histories with their names.
pub(crate) fn histories() -> Vec<(String, Vec<u8>)> {
    let full = || poll("1", &["ada", "bo", "cy", "di"], &["prod", "lab"]);
    let histories = [
        ("one_poll", full()),
        ("all_leave", [full(), poll("2", &[], &[])].concat()),
        (
            "some_leave",
            [full(), poll("2", &["ada"], &["prod"]), poll("3", &["ada", "bo"], &["prod", "lab"])].concat(),
        ),
        ("approved", [full(), poll("2", &["ada"], &["prod"]), vec![decision("approve")]].concat()),
        (
            "rejected",
            [full(), poll("2", &["ada"], &["prod"]), vec![decision("reject"), decision("forget")]].concat(),
        ),
        (
            "hostile_ids",
            poll(
                "1",
                &["a|assigned|anthropic_workspace:prod", "coverage/poll", "hold/x", "a%7C"],
                &["a/b", "w|x"],
            ),
        ),
    ];
    let slash = |record| RawRecord { organization_id: "a/coverage".to_owned(), ..record };
    let with_slash = ("organization_with_a_slash", full().into_iter().map(slash).collect());
    let histories: Vec<(&str, Vec<RawRecord>)> = histories.into_iter().chain([with_slash]).collect();
    let bytes = |records: Vec<RawRecord>| records.iter().flat_map(encode).collect();
    histories.into_iter().map(|(name, records)| (name.to_owned(), bytes(records))).collect()
}
