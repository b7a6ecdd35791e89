//! What a simulated organization is made from, and the switches of its API.

use serde::{Deserialize, Serialize};

/// What an organization is made from: the seed and the sizes decide every id, name and date.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The same seed and sizes give the same organization and the same life.
    pub seed: u64,
    /// Members at the start.
    pub users: usize,
    /// Workspaces at the start, archived ones counted, the default workspace not.
    pub workspaces: usize,
    /// API keys at the start, of every status.
    pub api_keys: usize,
    /// Generation of the wire format, 1 to 4. Generation 4 answers in the API version that the request names
    /// ([`ApiVersion`]), the others know one version.
    pub generation: u8,
    /// What the workspace list does with `include_default`; `None`: what the generation did.
    pub include_default: Option<IncludeDefault>,
    /// Whether requests beyond `requests_per_minute` are answered 429.
    pub enforce_rate_limit: bool,
    /// Requests a minute that all Admin endpoints share (Anthropic's user management guide: 100).
    pub requests_per_minute: u32,
    /// What an archived workspace answers to `members`.
    pub archived_members: ArchivedMembers,
    /// What the default workspace answers to `members`.
    pub default_members: DefaultMembers,
    /// The order of workspaces, members and API keys, which Anthropic does not document.
    pub order: Order,
    /// What an unknown `after_id` or `before_id` gets.
    pub unknown_cursor: UnknownCursor,
    /// What an unknown `anthropic-version` gets.
    pub unknown_version: UnknownVersion,
    /// Whether workspaces and keys may vanish as the organization lives. The real API keeps them, archived; tests want
    /// the graph to survive it.
    pub vanishing: bool,
    /// Whether people look at it: then the clock is the machine's, and the first workspace keeps its name and is not
    /// archived, so that examples about it stay true.
    pub demonstration: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            users: 40,
            workspaces: 8,
            api_keys: 60,
            generation: 4,
            include_default: None,
            enforce_rate_limit: false,
            requests_per_minute: 100,
            archived_members: ArchivedMembers::Last,
            default_members: DefaultMembers::Empty,
            order: Order::NewestFirst,
            unknown_cursor: UnknownCursor::BadRequest,
            unknown_version: UnknownVersion::BadRequest,
            vanishing: true,
            demonstration: false,
        }
    }
}

impl Settings {
    pub(super) fn switches(&self) -> Switches {
        Switches {
            generation: self.generation,
            include_default: self.include_default,
            enforce_rate_limit: self.enforce_rate_limit,
            requests_per_minute: self.requests_per_minute,
            archived_members: self.archived_members,
            default_members: self.default_members,
            order: self.order,
            unknown_cursor: self.unknown_cursor,
            unknown_version: self.unknown_version,
        }
    }
}

/// How the API behaves now; everything in it can be changed while it runs (`POST /_simulator/settings`).
/// [`Settings`] says what each means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switches {
    pub generation: u8,
    pub include_default: Option<IncludeDefault>,
    pub enforce_rate_limit: bool,
    pub requests_per_minute: u32,
    pub archived_members: ArchivedMembers,
    pub default_members: DefaultMembers,
    pub order: Order,
    pub unknown_cursor: UnknownCursor,
    pub unknown_version: UnknownVersion,
}

impl Switches {
    /// What the workspace list does with `include_default`: as set, else as the generation did.
    pub fn include_default(&self) -> IncludeDefault {
        self.include_default.unwrap_or(if self.generation >= 3 {
            IncludeDefault::Known
        } else {
            IncludeDefault::Ignored
        })
    }
}

/// A version of the API, by the request's header `anthropic-version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiVersion {
    /// `2023-06-01`. An API key has `workspace_id` in addition to `scope`.
    V20230601,
    /// `2026-10-21`. An API key has `scope` only.
    V20261021,
}

impl ApiVersion {
    /// The version of that name, if an API of this generation knows it.
    pub fn parse(name: &str, generation: u8) -> Option<Self> {
        match name {
            "2023-06-01" => Some(Self::V20230601),
            "2026-10-21" if generation >= 4 => Some(Self::V20261021),
            _ => None,
        }
    }
}

/// What an unknown `anthropic-version` gets. Anthropic does not document it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownVersion {
    BadRequest,
    /// An answer in version `2023-06-01`.
    Ignored,
}

/// What the workspace list does with `include_default`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncludeDefault {
    /// Lists the default workspace when it is `true`.
    Known,
    /// Takes it for an unknown parameter and ignores it.
    Ignored,
    /// Answers 400.
    Rejected,
}

/// What an archived workspace answers to `members`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchivedMembers {
    /// The members it had when it was archived.
    Last,
    Empty,
    NotFound,
    BadRequest,
}

/// What the default workspace, which has no members of its own, answers to `members`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefaultMembers {
    Empty,
    NotFound,
}

/// The order of a list. Users are always listed newest first, as documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// By creation, newest first.
    NewestFirst,
    /// By creation, oldest first.
    OldestFirst,
    Id,
}

/// What an unknown cursor gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownCursor {
    BadRequest,
    /// An empty last page.
    Empty,
}
