//! Which workspace, person or key a name means.

use graph::access::{Candidate, NotOne, Organization};
use schemas::element::{ApiKey, Content, Element, User, Workspace};

fn workspace(id: &str, name: &str, active: bool) -> Element {
    let workspace = Workspace { id: id.to_owned(), name: name.to_owned(), active, ..Workspace::default() };
    Element::new("o", "workspaces", Content::Workspace(Box::new(workspace)))
}

fn user(id: &str, name: &str, email: &str) -> Element {
    let user =
        User { id: id.to_owned(), name: name.to_owned(), email: vec![email.to_owned()], ..User::default() };
    Element::new("o", "users", Content::User(Box::new(user)))
}

fn api_key(id: &str, name: &str, hint: &str) -> Element {
    let api_key = ApiKey {
        id: id.to_owned(),
        name: name.to_owned(),
        partial_key_hint: Some(hint.to_owned()),
        status: Some("active".to_owned()),
        created_by: Some("user_gone".to_owned()),
        ..ApiKey::default()
    };
    Element::new("o", "api_keys", Content::ApiKey(Box::new(api_key)))
}

fn nimbus() -> Organization {
    let mut organization: Organization = [
        workspace("wrkspc_1", "Production", true),
        workspace("wrkspc_2", "production", true),
        workspace("wrkspc_3", "Claude Code", true),
        workspace("wrkspc_4", "Claude Code", false),
        workspace("wrkspc_5", "wrkspc_1", true),
        user("user_1", "Ada Diaz", "ada@nimbus.example"),
        user("user_2", "Ada Diaz", "ada2@nimbus.example"),
        user("user_3", "raj@nimbus.example", "raj@nimbus.example"),
        user("user_4", "Zoë Oz", "zoe@nimbus.example"),
        api_key("apikey_1", "ci", "sk-ant-api03-R2D...igAA"),
        api_key("apikey_2", "ci", "sk-ant-api03-XYZ...9QAA"),
    ]
    .into_iter()
    .collect();
    organization.remove(&user("user_4", "Zoë Oz", "zoe@nimbus.example"), false);
    organization
}

fn labels(result: Result<String, NotOne>) -> Vec<String> {
    let all = |candidates: Vec<Candidate>| candidates.into_iter().map(|it| format!("{} {}", it.id, it.label));
    match result {
        Ok(id) => vec![id],
        Err(NotOne::Several(candidates)) => {
            ["several".to_owned()].into_iter().chain(all(candidates)).collect()
        }
        Err(NotOne::Unknown(candidates)) => {
            ["unknown".to_owned()].into_iter().chain(all(candidates)).collect()
        }
    }
}

#[test]
fn a_workspace_is_meant_by_id_by_name_or_by_name_without_case() {
    let organization = nimbus();
    let find = |text: &str| labels(organization.find_workspace(text));
    assert_eq!(find("wrkspc_1"), ["wrkspc_1"], "an ID before a name");
    assert_eq!(find("Production"), ["wrkspc_1"]);
    assert_eq!(find(" production "), ["wrkspc_2"]);
    assert_eq!(find("PRODUCTION"), ["several", "wrkspc_1 Production", "wrkspc_2 production"]);
    assert_eq!(find("Claude Code"), ["several", "wrkspc_3 Claude Code", "wrkspc_4 Claude Code, archived"]);
    assert_eq!(find("claude"), ["unknown", "wrkspc_3 Claude Code", "wrkspc_4 Claude Code, archived"]);
    assert_eq!(find("Staging"), ["unknown"]);
    assert_eq!(find(""), ["unknown"]);
}

#[test]
fn a_person_is_meant_by_id_address_or_name_also_after_they_left() {
    let organization = nimbus();
    let find = |text: &str| labels(organization.find_user(text));
    assert_eq!(find("user_2"), ["user_2"]);
    assert_eq!(find("ADA2@nimbus.example"), ["user_2"]);
    assert_eq!(find("raj@nimbus.example"), ["user_3"]);
    assert_eq!(find("zoë oz"), ["user_4"]);
    assert_eq!(find("user_gone"), ["user_gone"], "only keys name them");
    assert_eq!(
        find("Ada Diaz"),
        ["several", "user_1 Ada Diaz <ada@nimbus.example>", "user_2 Ada Diaz <ada2@nimbus.example>"]
    );
    assert_eq!(find("zoe"), ["unknown", "user_4 Zoë Oz <zoe@nimbus.example>, left"]);
}

#[test]
fn a_key_is_meant_by_id_name_hint_or_the_end_of_its_hint() {
    let organization = nimbus();
    let find = |text: &str| labels(organization.find_api_key(text));
    assert_eq!(find("apikey_2"), ["apikey_2"]);
    assert_eq!(find("sk-ant-api03-R2D...igAA"), ["apikey_1"]);
    assert_eq!(find("9QAA"), ["apikey_2"]);
    assert_eq!(
        find("ci"),
        [
            "several",
            "apikey_1 ci (sk-ant-api03-R2D...igAA, active)",
            "apikey_2 ci (sk-ant-api03-XYZ...9QAA, active)"
        ]
    );
}
