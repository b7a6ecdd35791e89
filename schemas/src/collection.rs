//! A collection: one list of the Admin API, the unit of completeness.

use std::fmt;

/// One list of the Admin API.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Collection {
    /// `GET /v1/organizations/me`
    Organization,
    /// `GET /v1/organizations/users`
    Users,
    /// `GET /v1/organizations/workspaces`
    Workspaces,
    /// `GET /v1/organizations/api_keys`
    ApiKeys,
    /// `GET /v1/organizations/workspaces/{id}/members`, with the workspace's id
    Members(String),
}

/// What stands in a raw record's `collection` for a poll's mark, and in a Coverage's for the polls.
pub const POLL: &str = "poll";
/// What stands in a raw record's `collection` for a decision.
pub const DECISION: &str = "decision";
/// What stands in an end mark for the members of all workspaces that the poll says nothing else of.
pub const MEMBERS: &str = "members";
const MEMBERS_OF: &str = "members/";

impl Collection {
    /// The collection of that name; `None` where there is none.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "organization" => Some(Self::Organization),
            "users" => Some(Self::Users),
            "workspaces" => Some(Self::Workspaces),
            "api_keys" => Some(Self::ApiKeys),
            _ => match name.strip_prefix(MEMBERS_OF) {
                Some(workspace_id) if !workspace_id.is_empty() => {
                    Some(Self::Members(workspace_id.to_owned()))
                }
                _ => None,
            },
        }
    }

    /// Its name without a workspace's id, for metrics: their number is bounded.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Users => "users",
            Self::Workspaces => "workspaces",
            Self::ApiKeys => "api_keys",
            Self::Members(_) => MEMBERS,
        }
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.family())?;
        if let Self::Members(workspace_id) = self {
            write!(f, "/{workspace_id}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Collection;

    #[test]
    fn a_name_is_parsed_back() {
        for name in ["organization", "users", "workspaces", "api_keys", "members/wrkspc_01"] {
            assert_eq!(Collection::parse(name).expect(name).to_string(), name);
        }
        assert_eq!(Collection::parse("members/"), None);
        assert_eq!(Collection::parse("poll"), None);
    }
}
