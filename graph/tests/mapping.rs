//! Resources of every generation of the Admin API as JupiterOne gets them: `docs/mapping.md`, by hand.

use std::collections::BTreeMap;

use graph::{
    jupiterone::{self, Members, properties},
    mapping::{self, Context},
};
use schemas::{
    collection::{Collection, Family},
    element::{self, Content, Element, ElementType},
    encoded::EncodedElement,
    raw::{
        Actor, ApiKey, Configuration, DataResidency, Member, Organization, Resource, Scope, User, Workspace,
    },
    resource::{encode_resource, resource_digest},
};
use serde_json::{Value, json};

const ORGANIZATION: &str = "3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e";

fn text(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

fn map(collection: &Collection, tag: bool, resource: &Resource) -> Vec<Value> {
    let configuration = Configuration {
        account_name: text("nimbus-prod"),
        tag_account_name: tag,
        max_deleted_fraction: 0.3,
        max_deleted_count: 20,
    };
    let context = Context::new(ORGANIZATION, collection, &configuration);
    let elements = mapping::elements(&context, resource, resource_digest(&encode_resource(resource)));
    elements.iter().map(|element| Value::Object(properties(element))).collect()
}

#[test]
fn an_organization_becomes_an_account_with_its_vendor() {
    let organization =
        Organization { id: ORGANIZATION.to_owned(), name: text("Nimbus Labs"), ..Organization::default() };
    let resource = Resource::Organization(organization.into());
    assert_eq!(
        map(&Collection::Organization, true, &resource),
        [json!({
            "_key": format!("anthropic_account:{ORGANIZATION}"), "_type": "anthropic_account", "_class": ["Account"],
            "id": ORGANIZATION, "name": "Nimbus Labs", "displayName": "Nimbus Labs", "vendor": "Anthropic",
            "tag.AccountName": "nimbus-prod",
        })]
    );
}

#[test]
fn a_user_has_what_the_class_requires_null_where_it_is_unknown() {
    let user = User {
        id: "user_01".to_owned(),
        email: text("Ada@Nimbus.example"),
        name: text("Ada Diaz"),
        role: text("primary_owner"),
        added_at: text("2025-11-04T09:12:44.108213Z"),
        ..User::default()
    };
    let account = format!("anthropic_account:{ORGANIZATION}");
    let key = format!("{account}|has|anthropic_user:user_01");
    assert_eq!(
        map(&Collection::Users, false, &Resource::User(user.into())),
        [
            json!({
                "_key": "anthropic_user:user_01", "_type": "anthropic_user", "_class": ["User"], "id": "user_01",
                "name": "Ada Diaz", "displayName": "Ada Diaz", "firstName": "Ada", "lastName": "Diaz",
                "email": ["ada@nimbus.example"], "username": ["ada@nimbus.example"], "shortLoginId": ["ada"],
                "emailDomain": ["nimbus.example"], "role": "primary_owner", "isAdmin": true, "isActive": true,
                "createdOn": 1_762_247_564_108_i64, "addedOn": 1_762_247_564_108_i64,
            }),
            json!({
                "_key": key, "_type": "anthropic_account_has_user", "_class": "HAS", "displayName": "HAS",
                "_fromEntityKey": account, "_toEntityKey": "anthropic_user:user_01",
            }),
        ]
    );
    let nameless = User { id: "user_02".to_owned(), role: text("new_role"), ..User::default() };
    let entity = map(&Collection::Users, false, &Resource::User(nameless.into())).remove(0);
    assert_eq!(
        entity,
        json!({
            "_key": "anthropic_user:user_02", "_type": "anthropic_user", "_class": ["User"], "id": "user_02",
            "name": "user_02", "displayName": "user_02", "firstName": null, "lastName": null, "email": null,
            "username": null, "shortLoginId": null, "role": "new_role", "isAdmin": false, "isActive": true,
        })
    );
}

#[test]
fn an_archived_workspace_of_a_later_generation_keeps_all_it_has() {
    let workspace = Workspace {
        id: "wrkspc_01".to_owned(),
        name: text("Claude Code"),
        display_color: text("#D97757"),
        created_at: text("2025-06-02T10:30:00Z"),
        archived_at: text("2026-01-15T12:00:00.000001Z"),
        compartment_id: text("c"),
        external_key_id: text("ekey_01"),
        data_residency: Some(DataResidency {
            workspace_geo: text("us"),
            default_inference_geo: text("global"),
            allowed_inference_geos: vec!["unrestricted".to_owned()],
        }),
        tags: BTreeMap::from([
            ("cost_center".to_owned(), "7".to_owned()),
            ("AccountName".to_owned(), "theirs".to_owned()),
        ]),
        inference_data_retention: text("disabled"),
        user_profile_id: text("uprof_01"),
        ..Workspace::default()
    };
    let resource = Resource::Workspace(workspace.into());
    assert_eq!(
        map(&Collection::Workspaces, true, &resource).remove(0),
        json!({
            "_key": "anthropic_workspace:wrkspc_01", "_type": "anthropic_workspace", "_class": ["Group"],
            "id": "wrkspc_01", "name": "Claude Code", "displayName": "Claude Code", "displayColor": "#D97757",
            "active": false, "createdOn": 1_748_860_200_000_i64, "archivedOn": 1_768_478_400_000_i64,
            "compartmentId": "c", "externalKeyId": "ekey_01", "workspaceGeo": "us", "defaultInferenceGeo": "global",
            "allowedInferenceGeos": ["unrestricted"], "inferenceDataRetention": "disabled",
            "userProfileId": "uprof_01", "tag.cost-center": "7", "tag.AccountName": "nimbus-prod",
        })
    );
}

#[test]
fn a_workspace_of_the_first_generation_omits_what_it_has_not() {
    let workspace = Workspace {
        id: "wrkspc_01".to_owned(),
        name: text("Production"),
        display_color: text("#6C5BB9"),
        created_at: text("2025-03-18T08:00:11.512903Z"),
        ..Workspace::default()
    };
    let resource = Resource::Workspace(workspace.into());
    assert_eq!(
        map(&Collection::Workspaces, false, &resource).remove(0),
        json!({
            "_key": "anthropic_workspace:wrkspc_01", "_type": "anthropic_workspace", "_class": ["Group"],
            "id": "wrkspc_01", "name": "Production", "displayName": "Production", "displayColor": "#6C5BB9",
            "active": true, "createdOn": 1_742_284_811_512_i64,
        })
    );
}

fn actor(kind: &str, id: &str) -> Actor {
    Actor { id: text(id), kind: text(kind) }
}

fn api_key() -> ApiKey {
    ApiKey {
        id: "apikey_01".to_owned(),
        name: text("ci-deploy"),
        status: text("active"),
        created_at: text("2026-05-01T10:00:00.000321Z"),
        created_by: Some(actor("user", "user_01")),
        partial_key_hint: text("sk-ant-api03-R2D...igAA"),
        workspace_id: text("wrkspc_01"),
        ..ApiKey::default()
    }
}

fn map_key(api_key: ApiKey) -> Vec<Value> {
    map(&Collection::ApiKeys, false, &Resource::ApiKey(api_key.into()))
}

#[test]
fn a_key_with_a_workspace_is_the_same_in_every_generation_but_for_fields_that_the_older_ones_lack() {
    let scope = Some(Scope { kind: text("workspace"), workspace_id: text("wrkspc_01") });
    let first = map_key(api_key());
    let second = map_key(ApiKey { principal: Some(actor("service_account", "svac_01")), ..api_key() });
    let third = map_key(ApiKey {
        principal: Some(actor("service_account_actor", "svac_01")),
        scope: scope.clone(),
        ..api_key()
    });
    let fourth = map_key(ApiKey {
        principal: Some(actor("service_account_actor", "svac_01")),
        scope,
        workspace_id: None,
        ..api_key()
    });
    let expected = json!({
        "_key": "anthropic_api_key:apikey_01", "_type": "anthropic_api_key", "_class": ["AccessKey"],
        "id": "apikey_01", "name": "ci-deploy", "displayName": "ci-deploy", "status": "active", "active": true,
        "partialKeyHint": "sk-ant-api03-R2D...igAA", "createdOn": 1_777_629_600_000_i64, "createdBy": "user_01",
        "creatorType": "user", "scope": "workspace", "workspaceId": "wrkspc_01",
    });
    assert_eq!(first[0], expected);
    let mut with_principal = expected;
    with_principal["principalId"] = json!("svac_01");
    with_principal["principalType"] = json!("service_account");
    assert_eq!(second[0], with_principal);
    assert_eq!(second, third);
    assert_eq!(third, fourth);
    let keys: Vec<&str> = fourth[1..].iter().filter_map(|it| it["_key"].as_str()).collect();
    assert_eq!(
        keys,
        [
            "anthropic_user:user_01|created|anthropic_api_key:apikey_01",
            "anthropic_workspace:wrkspc_01|has|anthropic_api_key:apikey_01",
        ]
    );
}

#[test]
fn a_key_of_the_whole_organization_and_one_whose_place_is_unknown_have_no_workspace() {
    let scope = Some(Scope { kind: text("organization"), workspace_id: None });
    let whole = map_key(ApiKey { scope, workspace_id: None, ..api_key() });
    assert_eq!((whole.len(), &whole[0]["scope"]), (2, &json!("organization")));
    let unknown = map_key(ApiKey { workspace_id: None, ..api_key() });
    assert_eq!((unknown.len(), unknown[0].get("scope"), unknown[0].get("workspaceId")), (2, None, None));
}

#[test]
fn only_a_user_is_linked_as_a_creator_and_an_expired_key_keeps_its_status() {
    let expired = ApiKey {
        status: text("expired"),
        expires_at: text("2026-09-08T10:00:00Z"),
        created_by: Some(actor("service_account", "svac_01")),
        partial_key_hint: None,
        workspace_id: None,
        ..api_key()
    };
    let elements = map_key(expired);
    assert_eq!(elements.len(), 1);
    assert_eq!(elements[0]["status"], json!("expired"));
    assert_eq!(elements[0]["active"], json!(false));
    assert_eq!(elements[0]["expiresOn"], json!(1_788_861_600_000_i64));
    assert_eq!(elements[0]["createdBy"], json!("svac_01"));
    assert_eq!(elements[0].get("partialKeyHint"), None);
    assert_eq!(map_key(ApiKey { created_by: None, ..api_key() }).len(), 2);
}

#[test]
fn an_actor_is_the_same_in_whatever_form_the_api_names_it() {
    let scope = Some(Scope { kind: text("organization"), workspace_id: None });
    let with = |created_by: Option<Actor>, extra: &[(&str, &str)]| {
        let extra = extra.iter().map(|(name, json)| ((*name).to_owned(), (*json).to_owned())).collect();
        let scope = scope.clone();
        map_key(ApiKey {
            principal: created_by.clone(),
            created_by,
            extra,
            scope,
            workspace_id: None,
            ..api_key()
        })
    };
    let first = with(Some(actor("user", "user_01")), &[]);
    assert_eq!((first.len(), &first[0]["creatorType"]), (2, &json!("user")));
    assert_eq!(with(Some(actor("user_actor", "user_01")), &[]), first);
    assert_eq!(with(Some(actor("", "user_01")), &[]), first, "the ID shows the type that is missing");
    let as_text = [("created_by", "\"user_01\""), ("principal", "\"user_01\"")];
    assert_eq!(with(None, &as_text), first);
    let service = with(Some(actor("service_account", "svac_01")), &[]);
    assert_eq!((service.len(), &service[0]["creatorType"]), (1, &json!("service_account")));
    assert_eq!(with(Some(actor("service_account_actor", "svac_01")), &[]), service);
    // What is not an actor's ID, or has a type of another kind, is not guessed.
    assert_eq!(with(None, &[("created_by", "\"system\""), ("principal", "7")])[0].get("createdBy"), None);
    let odd = with(Some(actor("", "user_01")), &[("created_by.type", "[]"), ("principal.type", "[]")]);
    assert_eq!((odd.len(), odd[0].get("creatorType")), (1, None));
}

#[test]
fn a_scope_without_an_id_falls_back_to_the_workspace_of_the_key() {
    let listed = map_key(api_key());
    let fallen = map_key(ApiKey { scope: Some(Scope::default()), ..api_key() });
    assert_eq!(fallen, listed);
    let named = Some(Scope { kind: text("workspaces"), workspace_id: None });
    let named = map_key(ApiKey { scope: named, ..api_key() });
    assert_eq!((named.len(), &named[0]["scope"]), (3, &json!("workspaces")));
    let whole = Some(Scope { kind: text("organization"), workspace_id: None });
    assert_eq!(map_key(ApiKey { scope: whole, ..api_key() })[0].get("workspaceId"), None);
}

#[test]
fn a_workspace_that_was_archived_at_whatever_is_not_active() {
    for archived_at in ["1736942400", "true", "{\"at\":1}"] {
        let extra = BTreeMap::from([("archived_at".to_owned(), archived_at.to_owned())]);
        let workspace = Workspace { id: "wrkspc_01".to_owned(), extra, ..Workspace::default() };
        let resource = Resource::Workspace(workspace.into());
        let entity = map(&Collection::Workspaces, false, &resource).remove(0);
        assert_eq!((&entity["active"], entity.get("archivedOn")), (&json!(false), None), "{archived_at}");
    }
}

#[test]
fn a_member_is_assigned_with_the_workspace_role() {
    let member = Member {
        user_id: "user_01".to_owned(),
        workspace_id: "wrkspc_01".to_owned(),
        workspace_role: text("workspace_developer"),
        ..Member::default()
    };
    let collection = Collection::Members("wrkspc_01".to_owned());
    assert_eq!(
        map(&collection, true, &Resource::Member(member.into())),
        [json!({
            "_key": "anthropic_user:user_01|assigned|anthropic_workspace:wrkspc_01",
            "_type": "anthropic_user_assigned_workspace", "_class": "ASSIGNED", "displayName": "ASSIGNED",
            "_fromEntityKey": "anthropic_user:user_01", "_toEntityKey": "anthropic_workspace:wrkspc_01",
            "role": "workspace_developer",
        })]
    );
}

/// A line of the documentation's table of relationships.
fn documented(kind: ElementType, [from, to]: [ElementType; 2]) -> String {
    let word = |kind: ElementType| match kind.name().trim_start_matches("anthropic_") {
        "api_key" => "API key".to_owned(),
        word => word.to_owned(),
    };
    let of_workspace = if kind.description().family == Family::Members { "/<workspace id>" } else { "" };
    let owner = kind.description().family.name();
    format!(
        "| `{}` | {} | {} → {} | `{owner}{of_workspace}` |",
        kind.name(),
        kind.class(),
        word(from),
        word(to)
    )
}

#[test]
fn the_documentation_describes_each_type_as_the_table_does() {
    let document = include_str!("../../docs/mapping.md");
    for kind in ElementType::ALL {
        let line = match kind.description().ends {
            Some(ends) => documented(kind, ends),
            None => format!("## `{}`, class {}, key `{}:<", kind.name(), kind.class(), kind.name()),
        };
        assert!(document.contains(&line), "docs/mapping.md lacks {line}");
    }
    let described =
        document.lines().filter(|line| line.starts_with("| `anthropic_") || line.starts_with("## `"));
    assert_eq!(described.count(), ElementType::ALL.len());
}

#[test]
fn an_api_key_of_the_class_nhi_is_owned_by_whom_it_acts_as_else_by_its_creator() {
    let user = |id: &str, email: &[&str]| element::User {
        id: id.to_owned(),
        name: "Ada Diaz".to_owned(),
        email: email.iter().map(|it| (*it).to_owned()).collect(),
        ..element::User::default()
    };
    let users = [user("user_ada", &["ada@nimbus.example"]), user("user_bob", &[])];
    let users = users.map(|user| Element::new(ORGANIZATION, "users", Content::User(user.into())));
    let users = users.map(|user| EncodedElement::of(&user));
    let members = Members::of(users.iter());
    let (ada, bob, left) = (Some(("user", "user_ada")), Some(("user", "user_bob")), Some(("user", "user_x")));
    let service = Some(("service_account", "svac_1"));
    for (principal, creator, status, owner) in [
        (None, ada, "assigned", Some("ada@nimbus.example")),
        (None, bob, "assigned", Some("Ada Diaz")),
        (bob, ada, "assigned", Some("Ada Diaz")),
        (service, ada, "assigned", Some("ada@nimbus.example")),
        (ada, left, "assigned", Some("ada@nimbus.example")),
        (left, ada, "orphaned", None),
        (None, left, "orphaned", None),
        (service, left, "orphaned", None),
        (service, service, "unassigned", None),
        (None, None, "unassigned", None),
    ] {
        let of = |actor: Option<(&str, &str)>| {
            (actor.map(|(kind, _)| kind.to_owned()), actor.map(|(_, id)| id.to_owned()))
        };
        let ((creator_type, created_by), (principal_type, principal_id)) = (of(creator), of(principal));
        let key = element::ApiKey {
            id: "apikey_1".to_owned(),
            name: "ci".to_owned(),
            creator_type,
            created_by,
            principal_type,
            principal_id,
            ..element::ApiKey::default()
        };
        let key = Element::new(ORGANIZATION, "api_keys", Content::ApiKey(key.into()));
        let mut json = Vec::new();
        jupiterone::write(&key, members.owner(&EncodedElement::of(&key)).as_ref(), |_| true, &mut json);
        let mut expected = properties(&key);
        expected.insert("_class".to_owned(), json!(["AccessKey", "NHI"]));
        for (name, value) in [
            ("nhiType", json!("api_key")),
            ("isAi", json!(true)),
            ("aiConfidence", json!("confirmed")),
            ("aiPlatform", json!("anthropic")),
            ("nhiOwnerStatus", json!(status)),
        ] {
            expected.insert(name.to_owned(), value);
        }
        expected.extend(owner.map(|owner| ("owner".to_owned(), json!(owner))));
        let found: Value = serde_json::from_slice(&json).expect("JSON");
        assert_eq!(found, Value::Object(expected), "{principal:?} {creator:?}");
    }
    assert_eq!(members.owner(&users[0]), None, "a user is not a machine identity");
}
