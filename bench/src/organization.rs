//! An organization of any size: the resources that its Admin API would return, worked out from their numbers.

use std::collections::BTreeMap;

use schemas::{
    collection::Collection,
    raw::{Actor, ApiKey, DataResidency, Organization as Root, Resource, Scope, User, Workspace},
};

/// API keys for each user.
const KEYS_OF_A_USER: u32 = 20;
/// API keys for each workspace.
const KEYS_OF_A_WORKSPACE: u32 = 500;
/// API keys of a hundred that belong to a workspace, the others to the whole organization: 2.64 elements for each key.
const KEYS_OF_WORKSPACES: u32 = 54;
/// The digits of the API's IDs.
const DIGITS: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// Characters of an ID after its prefix and `_01`.
const ID_LENGTH: usize = 22;

const ROLES: [&str; 5] = ["user", "developer", "billing", "claude_code_user", "admin"];

#[derive(Debug, Clone)]
pub(crate) struct Organization {
    pub(crate) id: String,
    pub(crate) name: String,
    api_keys: u32,
}

impl Organization {
    /// One of that ID and name with so many API keys.
    pub(crate) fn new(id: &str, name: &str, api_keys: u32) -> Self {
        Self { id: id.to_owned(), name: name.to_owned(), api_keys }
    }

    /// How many users it has.
    pub(crate) fn users(&self) -> u32 {
        (self.api_keys / KEYS_OF_A_USER).max(2)
    }

    /// How many workspaces it has.
    pub(crate) fn workspaces(&self) -> u32 {
        (self.api_keys / KEYS_OF_A_WORKSPACE).max(2)
    }

    /// How many resources one poll lists.
    pub(crate) fn resources(&self) -> u32 {
        1 + self.users() + self.workspaces() + self.api_keys
    }

    /// Its collections in the order of a poll, each with how many resources it has. Workspaces have no members.
    pub(crate) fn collections(&self) -> [(Collection, u32); 4] {
        [
            (Collection::Organization, 1),
            (Collection::Users, self.users()),
            (Collection::Workspaces, self.workspaces()),
            (Collection::ApiKeys, self.api_keys),
        ]
    }

    /// A collection's resource of that number.
    pub(crate) fn resource(&self, collection: &Collection, number: u32) -> Resource {
        match collection {
            Collection::Organization => Resource::Organization(Box::new(self.root())),
            Collection::Users => Resource::User(Box::new(user(number, 0))),
            Collection::Workspaces => Resource::Workspace(Box::new(workspace(number))),
            Collection::ApiKeys => Resource::ApiKey(Box::new(self.api_key(number))),
            Collection::Members(_) => unreachable!("its collections have none of them"),
        }
    }

    fn root(&self) -> Root {
        Root {
            id: self.id.clone(),
            kind: Some("organization".to_owned()),
            name: Some("Nimbus".to_owned()),
            extra: BTreeMap::new(),
        }
    }

    fn api_key(&self, number: u32) -> ApiKey {
        let id = id("apikey", number);
        let creator =
            Actor { id: Some(self::id("user", number % self.users())), kind: Some("user".to_owned()) };
        let is_of_a_workspace = number % 100 < KEYS_OF_WORKSPACES;
        let scope = Scope {
            kind: Some(if is_of_a_workspace { "workspace" } else { "organization" }.to_owned()),
            workspace_id: is_of_a_workspace.then(|| self::id("wrkspc", number % self.workspaces())),
        };
        ApiKey {
            partial_key_hint: Some(format!("sk-ant-api03-{}...{}", &id[10..13], &id[13..17])),
            id,
            kind: Some("api_key".to_owned()),
            name: Some(format!("service {number}")),
            status: Some("active".to_owned()),
            created_at: Some(time(number)),
            created_by: Some(creator),
            scope: Some(scope),
            ..ApiKey::default()
        }
    }
}

/// A user, whose role depends on the user's number and on how often it has changed.
pub(crate) fn user(number: u32, changes: u32) -> User {
    let role = ROLES[(number.wrapping_add(changes)) as usize % ROLES.len()];
    User {
        id: id("user", number),
        kind: Some("user".to_owned()),
        email: Some(format!("Ada.{number}@nimbus.example")),
        name: Some(format!("Ada Diaz{number}")),
        role: Some(role.to_owned()),
        added_at: Some(time(number)),
        extra: BTreeMap::new(),
    }
}

fn workspace(number: u32) -> Workspace {
    Workspace {
        id: id("wrkspc", number),
        kind: Some("workspace".to_owned()),
        name: Some(format!("Workspace {number}")),
        display_color: Some("#6C5BB9".to_owned()),
        created_at: Some(time(number)),
        data_residency: Some(DataResidency {
            workspace_geo: Some("us".to_owned()),
            default_inference_geo: Some("global".to_owned()),
            allowed_inference_geos: vec!["unrestricted".to_owned()],
        }),
        ..Workspace::default()
    }
}

/// An ID such as the API's: as hard to compress, and the same for the same number.
fn id(prefix: &str, number: u32) -> String {
    let mut id = format!("{prefix}_01");
    let mut state = u64::from(number);
    for _ in 0..ID_LENGTH {
        // SplitMix64 (https://prng.di.unimi.it/splitmix64.c).
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let digit = (mixed ^ (mixed >> 31)) % DIGITS.len() as u64;
        id.push(char::from(DIGITS[usize::try_from(digit).expect("a digit is small")]));
    }
    id
}

fn time(number: u32) -> String {
    let (minutes, seconds) = (number / 60 % 60, number % 60);
    format!(
        "2025-{:02}-{:02}T12:{minutes:02}:{seconds:02}Z",
        number / 86_400 % 12 + 1,
        number / 3_600 % 24 + 1
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Organization, id};

    #[test]
    fn no_two_resources_of_a_collection_have_one_id() {
        let organization = Organization::new("o", "nimbus", 10_000);
        for (collection, count) in organization.collections() {
            let ids: BTreeSet<String> =
                (0..count).map(|number| organization.resource(&collection, number).id().to_owned()).collect();
            assert_eq!(ids.len(), count as usize, "{collection}");
        }
        assert_eq!(id("user", 7).len(), "user_01".len() + 22);
    }
}
