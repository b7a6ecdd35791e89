//! The rule against an oracle that asks each triple of a person, a workspace and a key, over random small organizations.

use std::collections::{BTreeMap, BTreeSet};

use graph::access::{Organization as Known, Question};
use proptest::{collection::btree_map, option, prelude::*, sample::select};
use simulator::{
    anthropic::{
        Actor, ApiKey, ArchivedMembers, DataResidency, DefaultMembers, Order, Organization, ROLES, Switches,
        Truth, UnknownCursor, UnknownVersion, User, WORKSPACE_ROLES, Workspace,
    },
    who_can::{self, Path},
};

use crate::elements::{elements, found_set};

const DEFAULT: &str = "wrkspc_0";
/// The moment that is asked about, 2026-06-01 (ms since 1970).
const AT_MS: i64 = 1_780_272_000_000;
/// When keys expire: before it, at it, after it.
const ENDS: [&str; 3] = ["2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn the_paths_are_those_of_brute_force(truth in truths(), question in questions()) {
        let known: Known = elements(&truth).into_values().collect();
        let all = who_can::paths(&truth, AT_MS);
        prop_assert_eq!(found_set(&known, AT_MS, &Question::default()), all.clone());
        let asked: BTreeSet<Path> = all.into_iter().filter(|path| is_asked(path, &question)).collect();
        prop_assert_eq!(found_set(&known, AT_MS, &question), asked);
    }
}

fn is_asked(path: &Path, question: &Question) -> bool {
    let is = |asked: &Option<String>, found: &Option<String>| asked.is_none() || asked == found;
    is(&question.user, &path.user)
        && is(&question.workspace, &path.workspace)
        && is(&question.api_key, &path.api_key)
}

fn questions() -> impl Strategy<Value = Question> {
    let id =
        |prefix: &'static str| option::of((0..5_u8).prop_map(move |number| format!("{prefix}_{number}")));
    (id("wrkspc"), id("user"), id("apikey")).prop_map(|(workspace, user, api_key)| Question {
        workspace,
        user,
        api_key,
    })
}

fn truths() -> impl Strategy<Value = Truth> {
    let users = btree_map(0..5_u8, select(&ROLES[..]), 0..5);
    let workspaces = btree_map(1..5_u8, any::<bool>(), 0..4);
    let keys = btree_map(0..5_u8, keys(), 0..5);
    let members = btree_map((0..5_u8, 0..5_u8), select(&WORKSPACE_ROLES[..]), 0..8);
    (users, workspaces, keys, members).prop_map(|(users, workspaces, keys, members)| {
        let mut truth = Truth {
            organization: Organization { id: "o".to_owned(), name: "Nimbus Labs".to_owned() },
            switches: switches(),
            now: "2026-06-01T00:00:00Z".to_owned(),
            default_workspace_id: DEFAULT.to_owned(),
            legacy_creator_id: "user_legacy".to_owned(),
            users: users.into_iter().map(|(number, role)| user(number, role)).collect(),
            workspaces: BTreeMap::from([workspace(0, false)]),
            api_keys: keys.into_iter().map(|(number, key)| named(number, key)).collect(),
            members: BTreeMap::new(),
        };
        truth.workspaces.extend(workspaces.into_iter().map(|(number, archived)| workspace(number, archived)));
        for ((within, who), role) in members {
            let (within, who) = (format!("wrkspc_{within}"), format!("user_{who}"));
            if within != DEFAULT && truth.workspaces.contains_key(&within) && truth.users.contains_key(&who) {
                truth.members.entry(within).or_default().insert(who, role.to_owned());
            }
        }
        truth
    })
}

fn switches() -> Switches {
    Switches {
        generation: 4,
        include_default: None,
        enforce_rate_limit: false,
        requests_per_minute: 100,
        archived_members: ArchivedMembers::Last,
        default_members: DefaultMembers::Empty,
        order: Order::Id,
        unknown_cursor: UnknownCursor::BadRequest,
        unknown_version: UnknownVersion::BadRequest,
    }
}

fn user(number: u8, role: &str) -> (String, User) {
    let id = format!("user_{number}");
    let user = User {
        id: id.clone(),
        email: format!("u{number}@nimbus.example"),
        name: format!("User {number}"),
        role: role.to_owned(),
        added_at: "2026-01-01T00:00:00Z".to_owned(),
    };
    (id, user)
}

fn workspace(number: u8, is_archived: bool) -> (String, Workspace) {
    let id = format!("wrkspc_{number}");
    let workspace = Workspace {
        id: id.clone(),
        // A younger one may have the default one's name.
        name: if number < 2 { "Default".to_owned() } else { format!("Workspace {number}") },
        created_at: format!("2026-01-0{}T00:00:00Z", number + 1),
        archived_at: is_archived.then(|| "2026-02-01T00:00:00Z".to_owned()),
        display_color: "#6C5BB9".to_owned(),
        compartment_id: String::new(),
        external_key_id: None,
        data_residency: DataResidency {
            workspace_geo: "us".to_owned(),
            default_inference_geo: "us".to_owned(),
            allowed_inference_geos: None,
        },
        tags: BTreeMap::new(),
        inference_data_retention: None,
        user_profile_id: None,
    };
    (id, workspace)
}

fn named(number: u8, key: ApiKey) -> (String, ApiKey) {
    let id = format!("apikey_{number}");
    (id.clone(), ApiKey { id, ..key })
}

fn keys() -> impl Strategy<Value = ApiKey> {
    let actor = || {
        let user = (0..5_u8).prop_map(|number| ("user", format!("user_{number}")));
        let service_account = (0..2_u8).prop_map(|number| ("service_account", format!("svac_{number}")));
        option::of(
            prop_oneof![3 => user, 1 => service_account]
                .prop_map(|(kind, id)| Actor { id, kind: kind.to_owned() }),
        )
    };
    let status = select(&["active", "inactive", "archived", "expired"][..]);
    (actor(), actor(), option::of(0..6_u8), status, option::of(select(&ENDS[..]))).prop_map(
        |(created_by, principal, workspace, status, expires_at)| ApiKey {
            id: String::new(),
            name: "key".to_owned(),
            status: status.to_owned(),
            created_at: "2026-01-01T00:00:00Z".to_owned(),
            expires_at: expires_at.map(str::to_owned),
            created_by,
            partial_key_hint: None,
            principal,
            workspace_id: workspace.map(|number| format!("wrkspc_{number}")),
        },
    )
}
