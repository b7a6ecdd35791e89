use std::collections::BTreeSet;

use simulator::anthropic::{Order, Settings};

use crate::client::{Client, client, ids_of};

/// More rows than the largest page has.
fn large() -> Settings {
    Settings { users: 1_205, workspaces: 130, api_keys: 2_310, ..Settings::default() }
}

const LISTS: [(&str, usize); 3] = [
    ("users?", 1_205),
    ("workspaces?include_archived=true&include_default=true&", 131),
    ("api_keys?", 2_310),
];

#[tokio::test]
async fn every_page_size_gives_every_row_once_and_in_one_order() {
    let client = client(large()).await;
    for (list, count) in LISTS {
        let whole = client.ids(list, 1_000).await;
        assert_eq!(whole.len(), count);
        assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), count, "a row twice in {list}");
        for limit in [20, 100, 999] {
            assert_eq!(client.ids(list, limit).await, whole, "{list} by {limit}");
        }
    }
}

#[tokio::test]
async fn paging_backward_meets_the_same_pages_in_the_same_order() {
    let client = client(large()).await;
    for (list, count) in LISTS {
        let whole = client.ids(list, 1_000).await;
        for limit in [7, 500, 1_000] {
            let mut ids: Vec<String> = vec![whole[count - 1].clone()];
            loop {
                let page = client.get(&format!("{list}limit={limit}&before_id={}", ids[0])).await.body;
                let rows = ids_of(&page);
                assert_eq!(page["first_id"].as_str(), rows.first().map(String::as_str));
                ids.splice(0..0, rows);
                if page["has_more"] == false {
                    break;
                }
            }
            assert_eq!(ids, whole, "{list} by {limit}");
        }
    }
}

#[tokio::test]
async fn a_page_has_twenty_rows_unless_the_request_says_otherwise() {
    let client = client(Settings::default()).await;
    let page = client.get("users").await.body;
    assert_eq!((ids_of(&page).len(), &page["has_more"]), (20, &true.into()));
}

#[tokio::test]
async fn an_empty_list_has_null_cursors() {
    let client = client(Settings { users: 0, ..Settings::default() }).await;
    let page = client.get("users").await.body;
    assert_eq!(page, serde_json::json!({ "data": [], "has_more": false, "first_id": null, "last_id": null }));
}

#[tokio::test]
async fn users_are_listed_newest_first() {
    let client = client(large()).await;
    let truth = client.anthropic.truth();
    let added = |id: &String| truth.users[id].added_at.parse::<jiff::Timestamp>().expect("a time");
    assert!(client.ids("users?", 1_000).await.is_sorted_by_key(|id| std::cmp::Reverse(added(id))));
}

#[tokio::test]
async fn the_undocumented_orders_are_a_switch() {
    let client = client(large()).await;
    let newest = client.ids("api_keys?", 1_000).await;
    client.anthropic.switch(|switches| switches.order = Order::Id);
    assert!(client.ids("api_keys?", 1_000).await.is_sorted());
    client.anthropic.switch(|switches| switches.order = Order::OldestFirst);
    let oldest = client.ids("api_keys?", 1_000).await;
    assert!(oldest != newest && oldest.iter().collect::<BTreeSet<_>>() == newest.iter().collect());
}

#[tokio::test]
async fn members_are_listed_by_workspace_and_found_by_id() {
    let client = client(large()).await;
    let truth = client.anthropic.truth();
    for (workspace_id, members) in &truth.members {
        let listed = client.ids(&format!("workspaces/{workspace_id}/members?"), 5).await;
        assert_eq!(listed.iter().collect::<BTreeSet<_>>(), members.keys().collect());
    }
    let (workspace_id, members) = truth.members.iter().next().expect("a workspace");
    let (user_id, role) = members.iter().next().expect("a member");
    let member = client.get(&format!("workspaces/{workspace_id}/members/{user_id}")).await.body;
    assert_eq!(
        member,
        serde_json::json!({
            "type": "workspace_member",
            "user_id": user_id,
            "workspace_id": workspace_id,
            "workspace_role": role,
        })
    );
}

#[tokio::test]
async fn each_row_is_also_found_by_its_id() {
    let client = client(Settings::default()).await;
    for list in ["users", "workspaces", "api_keys"] {
        let row = client.get(&format!("{list}?limit=1")).await.body["data"][0].clone();
        let id = row["id"].as_str().expect("an id");
        assert_eq!(client.get(&format!("{list}/{id}?beta=true")).await.body, row);
    }
}

async fn count(client: &Client, path: &str) -> usize {
    client.ids(path, 1_000).await.len()
}

#[tokio::test]
async fn archived_and_default_workspaces_are_listed_on_request_only() {
    let client = client(large()).await;
    let truth = client.anthropic.truth();
    let archived = truth.workspaces.values().filter(|workspace| workspace.archived_at.is_some()).count();
    assert!(archived > 0);
    assert_eq!(count(&client, "workspaces?").await, 130 - archived);
    assert_eq!(count(&client, "workspaces?include_archived=true&").await, 130);
    assert_eq!(count(&client, "workspaces?include_default=true&").await, 131 - archived);
    let ids: Vec<&str> = truth.workspaces.keys().take(3).map(String::as_str).collect();
    let wanted = format!("ids[]={}&", ids.join("&ids[]="));
    let flags = "include_archived=true&include_default=true&";
    assert_eq!(count(&client, &format!("workspaces?{flags}{wanted}")).await, 3);
    let default = client.get(&format!("workspaces/{}", truth.default_workspace_id)).await.body;
    assert_eq!(default["name"], "Default");
}

#[tokio::test]
async fn filters_find_what_the_truth_says() {
    let client = client(large()).await;
    let truth = client.anthropic.truth();
    let keys = |wanted: &dyn Fn(&simulator::anthropic::ApiKey) -> bool| {
        truth.api_keys.values().filter(|key| wanted(key)).count()
    };
    for status in ["active", "inactive", "archived", "expired"] {
        let wanted = keys(&|key| key.status == status);
        assert!(wanted > 0, "no key is {status}");
        assert_eq!(count(&client, &format!("api_keys?status={status}&")).await, wanted);
    }
    let default = Some(truth.default_workspace_id.clone());
    let listed = count(&client, &format!("api_keys?workspace_id={}&", truth.default_workspace_id)).await;
    assert_eq!(listed, keys(&|key| key.workspace_id == default));
    let creator = truth.api_keys.values().find_map(|key| key.created_by.clone()).expect("a creator");
    let listed = count(&client, &format!("api_keys?created_by_user_id={}&", creator.id)).await;
    assert_eq!(listed, keys(&|key| key.created_by.as_ref() == Some(&creator)));
    let admins = truth.users.values().filter(|user| user.role == "admin" || user.role == "owner").count();
    assert_eq!(count(&client, "users?roles[]=admin&roles[]=owner&").await, admins);
    let user = truth.users.values().find(|user| user.email.matches('@').count() == 1).expect("an address");
    let variant = user.email.to_uppercase().replacen('@', "%2Bhiring%40", 1);
    assert_eq!(count(&client, &format!("users?email={variant}&")).await, 1);
}
