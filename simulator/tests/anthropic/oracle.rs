use std::fs;

use serde_json::{Value, json};
use simulator::anthropic::{IncludeDefault, Settings, Truth};
use simulator::jupiterone::data_model::violations;
use simulator::oracle::{Graph, Options, compare, expected};

use crate::client::client;

fn truth() -> Truth {
    let text = include_str!("organization.json");
    serde_json::from_str(text).expect("organization.json is a truth")
}

/// Its graph, written by hand from `docs/mapping.md`.
fn graph(name: &str) -> Graph {
    let path = format!("{}/tests/anthropic/{name}", env!("CARGO_MANIFEST_DIR"));
    let text: Value = serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON");
    let elements = |kind: &str| {
        let list = text[kind].as_array().expect("an array").iter();
        list.map(|element| element.as_object().expect("an object").clone()).collect()
    };
    Graph::uploaded(elements("entities"), elements("relationships"))
}

fn tagged() -> Options {
    Options { account_name: Some("Nimbus".to_owned()), ..Options::default() }
}

#[test]
fn the_hand_written_organization_gives_the_hand_written_graph() {
    assert_eq!(compare(&graph("graph.json"), &expected(&truth(), &tagged())), Vec::<String>::new());
}

#[test]
fn in_generation_one_it_gives_the_poorer_hand_written_graph() {
    let mut truth = truth();
    truth.switches.generation = 1;
    let options = Options::default();
    assert_eq!(compare(&graph("graph-generation-1.json"), &expected(&truth, &options)), Vec::<String>::new());
}

#[test]
fn what_the_default_workspace_owns_is_withheld_where_it_is_not_listed() {
    let mut truth = truth();
    let whole = expected(&truth, &tagged());
    truth.switches.include_default = Some(IncludeDefault::Rejected);
    let without = expected(&truth, &tagged());
    let missing: Vec<&String> =
        whole.entities.keys().filter(|key| !without.entities.contains_key(*key)).collect();
    assert_eq!(missing, ["anthropic_workspace:wrkspc_default"]);
    let gone = |key: &&String| !without.relationships.contains_key(*key);
    let missing: Vec<&String> = whole.relationships.keys().filter(gone).collect();
    assert_eq!(
        missing,
        [
            "anthropic_account:3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e|has|anthropic_workspace:wrkspc_default",
            "anthropic_workspace:wrkspc_default|has|anthropic_api_key:apikey_legacy",
        ]
    );
}

#[test]
fn differences_name_element_property_and_both_values() {
    let whole = graph("graph.json");
    assert_eq!(compare(&whole, &whole), Vec::<String>::new());
    let mut other = whole.clone();
    other.entities.remove("anthropic_user:user_raj");
    let ada = other.entities.get_mut("anthropic_user:user_ada").expect("Ada");
    ada.insert("role".to_owned(), json!("user"));
    ada.remove("emailDomain");
    ada.insert("firstName".to_owned(), Value::Null);
    other.relationships.insert("a|has|b".to_owned(), serde_json::Map::new());
    assert_eq!(
        compare(&whole, &other),
        [
            r#"entity anthropic_user:user_ada: emailDomain should be ["nimbus.example"] and is absent"#,
            r#"entity anthropic_user:user_ada: firstName should be "Ada María" and is null"#,
            r#"entity anthropic_user:user_ada: role should be "admin" and is "user""#,
            "entity anthropic_user:user_raj is missing",
            "relationship a|has|b is unexpected",
        ]
    );
}

#[test]
fn properties_that_jupiterone_adds_are_not_a_difference() {
    let whole = graph("graph.json");
    let stored = |elements: std::collections::BTreeMap<String, serde_json::Map<String, Value>>| {
        let mut stored: Vec<_> = elements.into_values().collect();
        for element in &mut stored {
            element.insert("_id".to_owned(), json!("4711"));
            element.insert("_scope".to_owned(), json!("nimbus"));
        }
        stored
    };
    let Graph { entities, relationships } = whole.clone();
    assert_eq!(Graph::uploaded(stored(entities), stored(relationships)), whole);
}

#[tokio::test]
async fn what_is_expected_is_what_jupiterones_data_model_wants() {
    for seed in 0..5 {
        let client =
            client(Settings { seed, users: 200, workspaces: 40, api_keys: 300, ..Settings::default() }).await;
        client.anthropic.live(500);
        for generation in 1..=4 {
            client.anthropic.switch(|switches| switches.generation = generation);
            let graph = expected(&client.anthropic.truth(), &tagged());
            for element in graph.entities.values().chain(graph.relationships.values()) {
                assert_eq!(violations(element), Vec::<String>::new(), "{}", element["_key"]);
            }
        }
    }
}

#[tokio::test]
async fn no_more_than_fifty_differences_are_listed() {
    let client = client(Settings { users: 200, ..Settings::default() }).await;
    let whole = expected(&client.anthropic.truth(), &Options::default());
    assert_eq!(compare(&whole, &Graph::default()).len(), 50);
}

#[tokio::test]
async fn every_relationship_has_both_ends_in_every_generation() {
    let client = client(Settings::default()).await;
    client.anthropic.live(200);
    for generation in 1..=4 {
        client.anthropic.switch(|switches| switches.generation = generation);
        let graph = expected(&client.anthropic.truth(), &Options::default());
        for relationship in graph.relationships.values() {
            for end in ["_fromEntityKey", "_toEntityKey"] {
                assert!(graph.entities.contains_key(relationship[end].as_str().expect("a key")));
            }
        }
    }
}
