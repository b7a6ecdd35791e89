//! One example of each record, with every field set that can be.

use std::collections::BTreeMap;

use schemas::{
    change::{Envelope, Kind, Op, SnapshotRecord, Source},
    coverage::{Coverage, Hold, HoldState, Latest, Poll, WholeListing, Withheld},
    element::{ApiKey, Content, Element, ElementType, Other, User, UserAssignedWorkspace, Workspace},
    raw::{
        self, Actor, Configuration, DataResidency, Decision, ListingOutcome, Manifest, Mark, RawBody,
        RawRecord, Resource, Scope,
    },
    sync::{Approval, Finished, Found, Intent, Parked, ParkedState, Sync, Wait},
};

const ORGANIZATION: &str = "3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e";

#[expect(clippy::unnecessary_wraps, reason = "most fields are nullable")]
pub(crate) fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Raw records of all kinds, with every field set: a mark, a manifest, a decision, and the five resources.
pub(crate) fn raw_records() -> [RawRecord; 8] {
    let [organization, user, workspace, api_key, member] = resources().map(RawBody::Resource);
    let mark = RawBody::Mark(mark());
    let manifest = RawBody::Manifest(manifest());
    let decision = RawBody::Decision(decision());
    [mark, manifest, decision, organization, user, workspace, api_key, member].map(|body| RawRecord {
        organization_id: ORGANIZATION.to_owned(),
        organization_name: "nimbus".to_owned(),
        collection: "api_keys".to_owned(),
        poll_id: some("p-1"),
        listing_id: some("l-1"),
        observed_ts_ms: 1_795_468_246_445,
        body,
    })
}

fn mark() -> Mark {
    Mark {
        kind: raw::MarkKind::End,
        trigger: raw::Trigger::Interval,
        outcomes: vec![ListingOutcome {
            collection: "users".to_owned(),
            outcome: raw::Outcome::Failed,
            reason: some("403"),
            http_status: Some(403),
            request_id: some("req_1"),
            listing_id: None,
        }],
        complete: false,
        reason: some("closed"),
    }
}

fn manifest() -> Manifest {
    Manifest {
        count: 3,
        pages: 1,
        parameters: map(&[("limit", "1000")]),
        first_cursor: some("apikey_01"),
        last_cursor: some("apikey_03"),
        first_request_id: some("req_1"),
        last_request_id: some("req_2"),
        started_ts_ms: 1,
        ended_ts_ms: 2,
        configuration: Configuration {
            account_name: some("Nimbus Labs"),
            tag_account_name: true,
            max_deleted_fraction: 0.3,
            max_deleted_count: 20,
        },
    }
}

fn decision() -> Decision {
    Decision {
        kind: raw::DecisionKind::Approve,
        collection: some("users"),
        element_key: some("anthropic_user:user_01"),
        listing_id: some("l-1"),
        by: "ada".to_owned(),
        why: some("left"),
        decided_ts_ms: 5,
    }
}

fn resources() -> [Resource; 5] {
    let actor = Actor { id: some("user_01"), kind: some("user") };
    [
        Resource::Organization(Box::new(raw::Organization {
            id: ORGANIZATION.to_owned(),
            kind: some("organization"),
            name: some("Nimbus"),
            extra: map(&[("tier", "4")]),
        })),
        Resource::User(Box::new(raw::User {
            id: "user_01".to_owned(),
            kind: some("user"),
            email: some("ada@nimbus.example"),
            name: some("Ada Diaz"),
            role: some("admin"),
            added_at: some("2025-11-04T09:12:44.108213Z"),
            extra: map(&[("mfa", "true")]),
        })),
        Resource::Workspace(Box::new(raw::Workspace {
            id: "wrkspc_01".to_owned(),
            kind: some("workspace"),
            name: some("Production"),
            display_color: some("#6C5BB9"),
            created_at: some("2025-03-18T08:00:11.512903Z"),
            archived_at: None,
            compartment_id: some("c"),
            external_key_id: some("ekey_01"),
            data_residency: Some(DataResidency {
                workspace_geo: some("us"),
                default_inference_geo: some("global"),
                allowed_inference_geos: vec!["us".to_owned()],
            }),
            tags: map(&[("env", "prod")]),
            inference_data_retention: some("disabled"),
            user_profile_id: None,
            extra: map(&[]),
        })),
        Resource::ApiKey(Box::new(raw::ApiKey {
            id: "apikey_01".to_owned(),
            kind: some("api_key"),
            name: some("ci"),
            status: some("active"),
            created_at: some("2026-05-01T10:00:00Z"),
            expires_at: None,
            created_by: Some(actor.clone()),
            partial_key_hint: some("sk-ant-api03-R2D...igAA"),
            principal: Some(actor),
            scope: Some(Scope { kind: some("workspace"), workspace_id: some("wrkspc_01") }),
            workspace_id: some("wrkspc_01"),
            extra: map(&[("last_used_at", "null")]),
        })),
        Resource::Member(Box::new(raw::Member {
            user_id: "user_01".to_owned(),
            workspace_id: "wrkspc_01".to_owned(),
            kind: some("workspace_member"),
            workspace_role: some("workspace_user"),
            extra: map(&[]),
        })),
    ]
}

pub(crate) fn element() -> Element {
    Element {
        key: ElementType::User.entity_key("user_01"),
        display_name: "Ada Diaz".to_owned(),
        organization_id: ORGANIZATION.to_owned(),
        collection: "users".to_owned(),
        digest: "00.11".to_owned(),
        account_name: some("Nimbus Labs"),
        content: Content::Other(Box::new(Other {
            kind: ElementType::User.name().to_owned(),
            class: ElementType::User.class().to_owned(),
            from_key: some("a"),
            to_key: some("b"),
            account: Some(schemas::element::Account {
                id: ORGANIZATION.to_owned(),
                name: "Nimbus".to_owned(),
                vendor: "Anthropic".to_owned(),
            }),
            user: Some(Box::new(User {
                id: "user_01".to_owned(),
                name: "Ada Diaz".to_owned(),
                email: vec!["ada@nimbus.example".to_owned()],
                first_name: some("Ada"),
                is_admin: true,
                created_on: Some(1_762_247_564_108),
                ..User::default()
            })),
            workspace: Some(Box::new(Workspace {
                tags: map(&[("env", "prod")]),
                archived_on: Some(2),
                allowed_inference_geos: vec!["us".to_owned()],
                user_profile_id: some("uprof_01"),
                ..Workspace::default()
            })),
            api_key: Some(Box::new(ApiKey {
                status: some("active"),
                expires_on: Some(3),
                ..ApiKey::default()
            })),
            user_assigned_workspace: Some(UserAssignedWorkspace { role: some("workspace_admin") }),
        })),
    }
}

pub(crate) fn envelope() -> Envelope {
    Envelope {
        id: "0123".to_owned(),
        op: Op::Update,
        before: Some(element()),
        after: Some(element()),
        ts_ms: 7,
        source: Source {
            version: "0.1.0".to_owned(),
            connector: "anthropic-graph".to_owned(),
            name: "nimbus".to_owned(),
            ts_ms: 7,
            snapshot: SnapshotRecord::False,
            organization_id: ORGANIZATION.to_owned(),
            collection: "users".to_owned(),
            listing_id: some("l-1"),
            decision_by: None,
        },
        revision: 12,
        kind: Kind::Entity,
        element_key: "anthropic_user:user_01".to_owned(),
        element_type: "anthropic_user".to_owned(),
        changed: vec!["role".to_owned()],
        reason: None,
        not_before_ts_ms: Some(1),
        not_after_ts_ms: Some(2),
    }
}

pub(crate) fn coverage() -> Coverage {
    Coverage {
        organization_id: ORGANIZATION.to_owned(),
        organization_name: "nimbus".to_owned(),
        collection: "users".to_owned(),
        whole: Some(WholeListing {
            listing_id: "l-1".to_owned(),
            raw_offset: 41,
            started_ts_ms: 1,
            ended_ts_ms: 2,
            count: 3,
            parameters: map(&[("limit", "1000")]),
        }),
        latest: Some(Latest {
            outcome: raw::Outcome::Whole,
            reason: None,
            poll_id: some("p-1"),
            raw_offset: 41,
            ended_ts_ms: 2,
        }),
        not_whole_since_ts_ms: None,
        poll: Some(Poll {
            revision: 12,
            element_count: 9,
            partition_count: 12,
            raw_offset: Some(42),
            ..Poll::default()
        }),
    }
}

pub(crate) fn hold() -> Hold {
    Hold {
        organization_id: ORGANIZATION.to_owned(),
        element_key: "anthropic_user:user_01".to_owned(),
        collection: "users".to_owned(),
        listing_id: "l-2".to_owned(),
        raw_offset: 77,
        proposed_ts_ms: 8,
        state: HoldState::Proposed,
        agreeing: 1,
    }
}

pub(crate) fn withheld() -> Withheld {
    Withheld { organization_id: ORGANIZATION.to_owned(), element: element(), missing: vec!["b".to_owned()] }
}

pub(crate) fn sync() -> Sync {
    Sync {
        organization_id: ORGANIZATION.to_owned(),
        organization_name: "nimbus".to_owned(),
        target: "nimbus/anthropic-graph".to_owned(),
        intent: Some(Intent { job_id: "j-2".to_owned(), revision: 13, started_ts_ms: 9, asks: true }),
        finished: Some(Finished {
            job_id: "j-1".to_owned(),
            revision: 12,
            ended_ts_ms: 8,
            counts: BTreeMap::from([("anthropic_user".to_owned(), 4)]),
            partial_types: vec!["anthropic_api_key".to_owned()],
            incomplete: vec!["users: 403".to_owned()],
            held: BTreeMap::from([("anthropic_user".to_owned(), 1)]),
            samples: BTreeMap::from([("anthropic_user".to_owned(), vec![-7, 7])]),
            held_samples: BTreeMap::from([("anthropic_user".to_owned(), vec![-7])]),
            unwritten: 2,
            tried_all_ts_ms: 7,
            nhi_class: Some(true),
        }),
        parked: vec![Parked {
            element_key: "k".to_owned(),
            element_type: "anthropic_user".to_owned(),
            digest: "00.11".to_owned(),
            reason: "400".to_owned(),
            since_ts_ms: 3,
            state: ParkedState::Stripped,
        }],
        paused: some("401"),
        approval: Some(Approval {
            revision: 13,
            finished_job_id: some("j-1"),
            deletions: BTreeMap::from([("anthropic_user".to_owned(), 2)]),
            takes_target: true,
            by: "ada".to_owned(),
            why: some("left"),
            approved_ts_ms: 10,
        }),
        found: Some(Found::Objects),
        wait: Some(Wait {
            reason: "401".to_owned(),
            since_ts_ms: 11,
            until_ts_ms: Some(12),
            revision: Some(13),
            failures: 2,
        }),
    }
}
