//! The class rules of data-model 0.64.2.

use serde_json::{Map, Value, json};
use simulator::jupiterone::data_model::violations;

use crate::client::{set, without};

fn map(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else { panic!("an object") };
    map
}

fn account() -> Value {
    json!({"_key": "anthropic_account:org-1", "_type": "anthropic_account", "_class": ["Account"], "id": "org-1",
        "name": "Nimbus", "displayName": "Nimbus", "vendor": "Anthropic", "tag.AccountName": "nimbus-prod",
        "webLink": "https://platform.claude.com/settings/organization"})
}

fn user() -> Value {
    json!({"_key": "anthropic_user:user_01", "_type": "anthropic_user", "_class": ["User"], "id": "user_01",
        "name": "Ada Diaz", "displayName": "Ada Diaz", "firstName": "Ada", "lastName": null,
        "email": ["ada@nimbus.example"], "username": ["ada@nimbus.example"], "shortLoginId": ["ada"],
        "emailDomain": ["nimbus.example"], "role": "admin", "isAdmin": true, "isActive": true,
        "createdOn": 1_762_247_564_108_u64, "addedOn": 1_762_247_564_108_u64})
}

fn nhi() -> Value {
    json!({"_key": "anthropic_api_key:apikey_1", "_type": "anthropic_api_key", "_class": ["AccessKey", "NHI"],
        "id": "apikey_1", "name": "ci", "displayName": "ci", "nhiType": "api_key", "isAi": true,
        "aiConfidence": "confirmed", "aiPlatform": "anthropic", "owner": "ada@nimbus.example",
        "nhiOwnerStatus": "assigned"})
}

fn relationship() -> Value {
    json!({"_key": "anthropic_account:org-1|has|anthropic_user:user_01", "_type": "anthropic_account_has_user",
        "_class": "HAS", "displayName": "HAS", "_fromEntityKey": "anthropic_account:org-1",
        "_toEntityKey": "anthropic_user:user_01"})
}

#[test]
fn objects_as_they_should_be_violate_nothing() {
    let group = json!({"_key": "anthropic_workspace:w1", "_type": "anthropic_workspace", "_class": ["Group"],
        "id": "w1", "name": "Research", "displayName": "Research", "displayColor": "#6C5BB9", "active": false,
        "archivedOn": 1_751_328_000_000_u64, "allowedInferenceGeos": ["us", "eu"], "tag.cost-center": "7"});
    let key = json!({"_key": "anthropic_api_key:apikey_1", "_type": "anthropic_api_key", "_class": ["AccessKey"],
        "id": "apikey_1", "name": "ci", "displayName": "ci", "status": "active", "active": true});
    let nobody = ["email", "username", "shortLoginId", "firstName"].iter();
    let nobody = nobody.fold(user(), |user, name| set(user, name, Value::Null));
    for object in [account(), user(), nobody, group, key, nhi(), relationship()] {
        assert_eq!(violations(&map(object.clone())), Vec::<String>::new(), "{object}");
    }
}

#[test]
fn each_violation_is_found() {
    let cases = [
        (set(nhi(), "nhiType", json!("person")), "nhiType"),
        (set(nhi(), "aiConfidence", json!("sure")), "aiConfidence"),
        (set(nhi(), "nhiOwnerStatus", json!(1)), "nhiOwnerStatus"),
        (set(nhi(), "owner", json!(["ada"])), "owner"),
        (set(account(), "_key", json!("short")), "_key"),
        (set(account(), "_type", json!("x")), "_type"),
        (set(account(), "_class", json!([])), "_class"),
        (set(account(), "_class", json!(["Planet"])), "Planet"),
        (without(account(), "vendor"), "vendor"),
        (without(account(), "name"), "name"),
        (without(account(), "displayName"), "displayName"),
        (set(account(), "displayName", Value::Null), "displayName"),
        (set(account(), "webLink", json!("/settings")), "webLink"),
        (set(account(), "workspace_id", json!("x")), "workspace_id"),
        (set(account(), "tag.cost_center", json!("x")), "tag.cost_center"),
        (set(account(), "tag.x", json!(["x"])), "tag.x"),
        (set(account(), "nested", json!({})), "nested"),
        (set(account(), "mixed", json!([1, "x"])), "mixed"),
        (set(account(), "extra", Value::Null), "extra"),
        (without(user(), "firstName"), "firstName"),
        (without(user(), "lastName"), "lastName"),
        (without(user(), "email"), "email"),
        (without(user(), "username"), "username"),
        (without(user(), "shortLoginId"), "shortLoginId"),
        (set(user(), "email", json!("ada@nimbus.example")), "email"),
        (set(user(), "email", json!(["a@x.example", "a@x.example"])), "email"),
        (set(user(), "email", json!(["ada"])), "email"),
        (set(user(), "email", json!(["ada@localhost"])), "email"),
        (set(user(), "email", json!(["ada..d@nimbus.example"])), "email"),
        (set(user(), "username", json!([1])), "username"),
        (set(user(), "createdOn", json!("2026-01-01T00:00:00Z")), "createdOn"),
        (set(user(), "addedOn", json!("2026-01-01T00:00:00Z")), "addedOn"),
        (set(user(), "createdOn", Value::Null), "createdOn"),
        (set(user(), "status", json!(1)), "status"),
        (set(user(), "isAdmin", json!("yes")), "isAdmin"),
        (set(relationship(), "_class", json!("MEMBER_OF")), "_class"),
        (set(relationship(), "_class", json!(["HAS"])), "_class"),
        (without(relationship(), "_toEntityKey"), "_toEntityKey"),
        (without(relationship(), "displayName"), "displayName"),
        (set(relationship(), "roles", json!(["x"])), "roles"),
    ];
    for (object, name) in cases {
        let found = violations(&map(object.clone()));
        assert!(found.iter().any(|violation| violation.contains(name)), "{object}: {found:?}");
    }
}
