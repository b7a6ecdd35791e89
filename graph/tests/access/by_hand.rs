//! The rules one by one, in a hand-written organization.

use graph::access::{Difference, Flag, Flags, Kind, Organization, Path, Question, access, difference};
use schemas::{
    element::{Content, Element, ElementType},
    raw::{self, Actor, Scope},
};
use simulator::anthropic::{DataResidency, User, Workspace};

use crate::elements::{member, raw_api_key, user, workspace};

/// 2026-06-01 (ms since 1970).
const AT_MS: i64 = 1_780_272_000_000;
const PRODUCTION: &str = "wrkspc_p";

/// Four people, a workspace with two members, an archived one, the default one, and a key of each kind.
fn nimbus() -> Organization {
    let people = [("ada", "admin"), ("bob", "developer"), ("cy", "billing"), ("dee", "user")];
    let mut elements: Vec<Element> = people.into_iter().flat_map(|(id, role)| person(id, role)).collect();
    elements.extend(space(PRODUCTION, "Production", None));
    elements.extend(space("wrkspc_o", "Old", Some("2026-05-01T00:00:00Z")));
    elements.extend(space("wrkspc_d", "Default", None));
    elements.extend(member(PRODUCTION, "user_bob", "workspace_developer"));
    elements.extend(member(PRODUCTION, "user_ada", "workspace_user"));
    elements.extend(member("wrkspc_o", "user_dee", "workspace_user"));
    elements.extend(key("ci", Some("user_bob"), None, Some(PRODUCTION)));
    elements.extend(key("ghost", Some("user_gone"), None, Some(PRODUCTION)));
    elements.extend(key("svc", Some("user_ada"), Some("svac_1"), Some(PRODUCTION)));
    elements.extend(key("old", Some("user_dee"), None, Some("wrkspc_o")));
    elements.extend(key("lost", Some("user_dee"), None, Some("wrkspc_gone")));
    elements.extend(key("mine", Some("user_bob"), Some("user_bob"), None));
    elements.extend(key("lent", Some("user_ada"), Some("user_dee"), None));
    elements.extend(key("robot", Some("svac_1"), Some("svac_1"), None));
    elements.extend(key("nobody", None, None, Some(PRODUCTION)));
    elements.into_iter().collect()
}

fn person(id: &str, role: &str) -> Vec<Element> {
    user(User {
        id: format!("user_{id}"),
        email: format!("{id}@nimbus.example"),
        name: id.to_owned(),
        role: role.to_owned(),
        added_at: "2026-01-01T00:00:00Z".to_owned(),
    })
}

fn space(id: &str, name: &str, archived_at: Option<&str>) -> Vec<Element> {
    workspace(Workspace {
        id: id.to_owned(),
        name: name.to_owned(),
        created_at: "2026-01-01T00:00:00Z".to_owned(),
        archived_at: archived_at.map(str::to_owned),
        display_color: String::new(),
        compartment_id: String::new(),
        external_key_id: None,
        data_residency: DataResidency {
            workspace_geo: String::new(),
            default_inference_geo: String::new(),
            allowed_inference_geos: None,
        },
        tags: [].into(),
        inference_data_retention: None,
        user_profile_id: None,
    })
}

/// An active key; without a workspace it is the organization's.
fn key(id: &str, creator: Option<&str>, principal: Option<&str>, workspace_id: Option<&str>) -> Vec<Element> {
    let actor = |id: &str| Actor { id: Some(id.to_owned()), kind: None };
    raw_api_key(raw::ApiKey {
        id: id.to_owned(),
        name: Some(id.to_owned()),
        status: Some("active".to_owned()),
        created_by: creator.map(actor),
        principal: principal.map(actor),
        scope: Some(Scope {
            kind: Some(if workspace_id.is_some() { "workspace" } else { "organization" }.to_owned()),
            workspace_id: workspace_id.map(str::to_owned),
        }),
        ..raw::ApiKey::default()
    })
}

fn by_workspace(id: &str) -> Question {
    Question { workspace: Some(id.to_owned()), ..Question::default() }
}

fn by_user(id: &str) -> Question {
    Question { user: Some(id.to_owned()), ..Question::default() }
}

fn by_key(id: &str) -> Question {
    Question { api_key: Some(id.to_owned()), ..Question::default() }
}

fn lines(organization: &Organization, question: &Question) -> Vec<String> {
    access(organization, AT_MS, question).iter().map(line).collect()
}

fn line(path: &Path<'_>) -> String {
    let user = path.user.map_or("-", |user| user.id);
    let place = path.workspace.map_or("-", |place| place.id);
    let key = path.api_key.map_or("-", |key| &key.id);
    let role = path.role.unwrap_or("-");
    let state = if path.usable { "usable" } else { "unusable" };
    let flags: Vec<&str> = path.flags.iter().map(Flag::name).collect();
    let line = format!(
        "{} {user} {place} {key} {role} {state}: {} {}",
        path.kind.name(),
        path.because,
        flags.join(" ")
    );
    line.trim_end().to_owned()
}

#[test]
fn a_workspace_is_reached_by_its_members_by_roles_and_through_keys() {
    assert_eq!(
        lines(&nimbus(), &by_workspace(PRODUCTION)),
        [
            "member user_ada wrkspc_p - workspace_user usable: member of the workspace",
            "implicit user_ada wrkspc_p - workspace_admin usable: admin of the organization",
            "member user_bob wrkspc_p - workspace_developer usable: member of the workspace",
            "implicit user_cy wrkspc_p - workspace_billing usable: billing of the organization",
            "key user_gone wrkspc_p ghost - usable: created the key creator_left outlives_creator",
            "key user_ada wrkspc_p svc - usable: created the key, which acts as svac_1 acts_for_other",
            "key user_bob wrkspc_p ci - usable: created the key",
            "key user_bob wrkspc_p mine - usable: created the key organization_wide",
            "key - wrkspc_p nobody - usable: key without a recorded creator creator_unknown",
            "key - wrkspc_p robot - usable: key acts as svac_1 organization_wide reach_unknown",
        ]
    );
}

#[test]
fn a_person_reaches_what_lists_them_the_default_workspace_and_what_their_keys_reach() {
    assert_eq!(
        lines(&nimbus(), &by_user("user_dee")),
        [
            "implicit user_dee wrkspc_d - user usable: default workspace",
            "member user_dee wrkspc_o - workspace_user unusable: member of the workspace workspace_archived",
            "key user_dee wrkspc_gone lost - usable: created the key workspace_not_listed",
            "key user_dee wrkspc_d lent - usable: key acts as this person acts_for_other organization_wide",
            "key user_dee wrkspc_o lent - unusable: key acts as this person acts_for_other organization_wide \
             workspace_archived",
            "key user_dee wrkspc_o old - unusable: created the key workspace_archived",
        ]
    );
}

#[test]
fn a_key_is_held_by_its_creator_and_by_whom_it_acts_as() {
    assert_eq!(
        lines(&nimbus(), &by_key("lent")),
        [
            "key user_ada wrkspc_d lent - usable: created the key, which acts as user_dee acts_for_other \
             organization_wide",
            "key user_dee wrkspc_d lent - usable: key acts as this person acts_for_other organization_wide",
            "key user_ada wrkspc_o lent - unusable: created the key, which acts as user_dee acts_for_other \
             organization_wide workspace_archived",
            "key user_dee wrkspc_o lent - unusable: key acts as this person acts_for_other organization_wide \
             workspace_archived",
        ]
    );
}

#[test]
fn questions_are_combined() {
    let both = Question { user: Some("user_bob".to_owned()), ..by_workspace("wrkspc_d") };
    assert_eq!(
        lines(&nimbus(), &both),
        [
            "implicit user_bob wrkspc_d - developer usable: default workspace",
            "key user_bob wrkspc_d mine - usable: created the key organization_wide",
        ]
    );
}

#[test]
fn a_key_works_until_it_expires_or_is_not_active() {
    let cases: [(&str, Option<&str>, bool, bool); 7] = [
        ("active", None, true, false),
        ("active", Some("2026-06-01T00:00:00.001Z"), true, false),
        ("active", Some("2026-06-01T00:00:00Z"), false, true),
        ("inactive", None, false, false),
        ("archived", None, false, false),
        ("expired", None, false, true),
        ("a status of tomorrow", None, false, false),
    ];
    for (status, expires_at, usable, is_expired) in cases {
        let elements = raw_api_key(raw::ApiKey {
            id: "k".to_owned(),
            status: Some(status.to_owned()),
            expires_at: expires_at.map(str::to_owned),
            workspace_id: Some(PRODUCTION.to_owned()),
            ..raw::ApiKey::default()
        });
        let organization: Organization =
            space(PRODUCTION, "Production", None).into_iter().chain(elements).collect();
        let paths = access(&organization, AT_MS, &Question::default());
        assert_eq!(paths.len(), 1, "{status}");
        assert_eq!(
            (paths[0].usable, paths[0].flags.has(Flag::Expired)),
            (usable, is_expired),
            "{status} {expires_at:?}"
        );
    }
}

#[test]
fn a_key_of_an_early_api_may_belong_anywhere_unless_an_earlier_listing_named_its_workspace() {
    let early =
        || raw::ApiKey { id: "k".to_owned(), status: Some("active".to_owned()), ..raw::ApiKey::default() };
    let spaces =
        || space(PRODUCTION, "Production", None).into_iter().chain(space("wrkspc_r", "Research", None));
    let organization: Organization = spaces().chain(raw_api_key(early())).collect();
    let anywhere = lines(&organization, &Question::default());
    let tail = "k - usable: key without a recorded creator creator_unknown reach_unknown workspace_unknown";
    assert_eq!(anywhere, [format!("key - wrkspc_p {tail}"), format!("key - wrkspc_r {tail}")]);
    // The relationship of a listing that named the place stays.
    let elements = raw_api_key(raw::ApiKey { workspace_id: Some("wrkspc_r".to_owned()), ..early() });
    let has = elements.into_iter().filter(|element| element.kind() == ElementType::WorkspaceHasApiKey.name());
    let organization: Organization = spaces().chain(raw_api_key(early())).chain(has).collect();
    assert_eq!(
        lines(&organization, &Question::default()),
        ["key - wrkspc_r k - usable: key without a recorded creator creator_unknown"]
    );
}

#[test]
fn a_key_that_reaches_no_known_workspace_is_shown_too() {
    let organization: Organization = key("k", Some("user_x"), Some("user_x"), None).into_iter().collect();
    assert_eq!(
        lines(&organization, &by_key("k")),
        [
            "key user_x - k - usable: created the key creator_left organization_wide outlives_creator principal_left \
          reach_unknown"
        ]
    );
    assert_eq!(lines(&organization, &by_workspace(PRODUCTION)), Vec::<String>::new());
}

#[test]
fn the_default_workspace_is_the_oldest_of_its_name_unless_it_is_archived_or_has_members() {
    let named = |id: &str, created_at: &str, archived_at: Option<&str>| {
        let mut elements = space(id, "Default", archived_at);
        for element in &mut elements {
            if let Content::Workspace(workspace) = &mut element.content {
                workspace.created_on = Some(created_at.len().try_into().expect("short"));
            }
        }
        elements
    };
    let default = |elements: Vec<Vec<Element>>| {
        let organization: Organization = elements.into_iter().flatten().collect();
        organization.default_workspace().map(|(_, workspace)| workspace.id.clone())
    };
    let (old, young) = (|| named("wrkspc_a", "1", None), || named("wrkspc_b", "22", None));
    assert_eq!(default(vec![young(), old()]).as_deref(), Some("wrkspc_a"));
    assert_eq!(default(vec![named("wrkspc_a", "1", Some("2026-01-01T00:00:00Z")), young()]), None);
    let with_member = vec![old(), person("ada", "user"), member("wrkspc_a", "user_ada", "workspace_user")];
    assert_eq!(default(with_member), None);
    assert_eq!(default(vec![space(PRODUCTION, "Production", None)]), None);
}

#[test]
fn what_is_doubted_or_held_is_marked_on_the_paths_made_of_it_and_no_others() {
    let mut organization = nimbus();
    organization.doubt("anthropic_user:user_bob|assigned|anthropic_workspace:wrkspc_p");
    organization.hold("anthropic_api_key:ghost");
    let marked = |flag: Flag| -> Vec<String> {
        let paths = access(&organization, AT_MS, &Question::default());
        paths.iter().filter(|path| path.flags.has(flag)).map(line).collect()
    };
    assert_eq!(
        marked(Flag::Uncertain),
        ["member user_bob wrkspc_p - workspace_developer usable: member of the workspace uncertain"]
    );
    assert_eq!(
        marked(Flag::DeletionHeld),
        [
            "key user_gone wrkspc_p ghost - usable: created the key creator_left deletion_held outlives_creator"
        ]
    );
}

#[test]
fn a_difference_shows_what_was_gained_lost_and_changed() {
    let (before, mut after, mut doubted) = (nimbus(), nimbus(), nimbus());
    for element in person("dee", "admin").into_iter().chain(member(PRODUCTION, "user_bob", "workspace_admin"))
    {
        after.put(element);
    }
    for element in key("ci", None, None, Some(PRODUCTION)) {
        after.remove(&element, false);
    }
    // Another name does not mean other access.
    for mut element in key("svc", Some("user_ada"), Some("svac_1"), Some(PRODUCTION)) {
        if let Content::ApiKey(key) = &mut element.content {
            "renamed".clone_into(&mut key.name);
        }
        after.put(element);
    }
    let question = by_workspace(PRODUCTION);
    let (was, is) = (access(&before, AT_MS, &question), access(&after, AT_MS, &question));
    let found = difference(&was, &is);
    let all = |paths: &[Path<'_>]| paths.iter().map(line).collect::<Vec<_>>();
    assert_eq!(
        all(&found.gained),
        [
            "implicit user_dee wrkspc_p - workspace_admin usable: admin of the organization",
            "key user_ada wrkspc_p lent - usable: created the key, which acts as user_dee acts_for_other \
             organization_wide",
            "key user_dee wrkspc_p lent - usable: key acts as this person acts_for_other organization_wide",
        ]
    );
    assert_eq!(all(&found.lost), ["key user_bob wrkspc_p ci - usable: created the key"]);
    let changed: Vec<_> = found.changed.iter().map(|(before, after)| (before.role, after.role)).collect();
    assert_eq!(changed, [(Some("workspace_developer"), Some("workspace_admin"))]);
    assert_eq!(difference(&is, &is).changed, []);
    // Nor is what is known by now.
    doubted.doubt("anthropic_user:user_cy");
    assert_eq!(difference(&access(&doubted, AT_MS, &question), &was), Difference::default());
}

#[test]
fn flags_are_listed_by_name() {
    let mut flags = Flags::default();
    for flag in Flag::ALL.into_iter().rev() {
        flags.set(flag, true);
    }
    let names: Vec<&str> = flags.iter().map(Flag::name).collect();
    assert!(names.is_sorted(), "{names:?}");
    assert_eq!(names.len(), Flag::ALL.len());
    assert!(Kind::Member < Kind::Implicit && Kind::Implicit < Kind::Key);
}
