//! What the graph says about access: the answer of `who-can`, counted.

use std::collections::BTreeSet;

use graph::access::{Flag, Organization, Question, access};
use graph::state::State;
use schemas::encoded::EncodedElement;
use serde::Serialize;

/// Who reaches something, what is reached, and with what (count).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct AccessCounts {
    /// People who reach a workspace: members, and those who left and created a key that works.
    pub(crate) people: usize,
    /// Those among them who are members of the organization.
    pub(crate) members: usize,
    /// Workspaces that a person or a key reaches.
    pub(crate) workspaces: usize,
    /// API keys that work.
    pub(crate) api_keys: usize,
    /// Those among them whose creator has left.
    pub(crate) keys_whose_creator_left: usize,
}

impl AccessCounts {
    /// At a time (ms since 1970).
    pub(crate) fn of(state: &State, at_ms: i64) -> Self {
        let mut organization = Organization::default();
        state.graph().elements().map(EncodedElement::decode).for_each(|element| organization.put(element));
        let paths = access(&organization, at_ms, &Question::default());
        let usable = || paths.iter().filter(|path| path.usable);
        let count = |ids: BTreeSet<&str>| ids.len();
        let keys = usable().filter_map(|path| path.api_key.map(|key| (key.id.as_str(), path.flags)));
        let people = || usable().filter_map(|path| path.user);
        Self {
            people: count(people().map(|user| user.id).collect()),
            members: count(people().filter(|user| user.role().is_some()).map(|user| user.id).collect()),
            workspaces: count(usable().filter_map(|path| path.workspace.map(|place| place.id)).collect()),
            api_keys: count(keys.clone().map(|(id, _)| id).collect()),
            keys_whose_creator_left: count(
                keys.filter(|(_, flags)| flags.has(Flag::CreatorLeft)).map(|(id, _)| id).collect(),
            ),
        }
    }

    /// People and workspaces, then API keys.
    pub(crate) fn lines(self) -> [String; 2] {
        let Self { people, members, workspaces, api_keys, keys_whose_creator_left } = self;
        [
            format!(
                "people {people} (members {members}, left {}) · workspaces they reach {workspaces}",
                people - members
            ),
            format!("active API keys {api_keys} · whose creator has left {keys_whose_creator_left}"),
        ]
    }
}
