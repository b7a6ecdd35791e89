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

/// Collections of one kind. In the order of the fields that a raw record has for their resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "as the collections")]
pub enum Family {
    Organization,
    Users,
    Workspaces,
    ApiKeys,
    Members,
}

/// The value of a raw record's `collection` for a poll's mark, and of a coverage's for the polls.
pub const POLL: &str = "poll";
/// The value of a raw record's `collection` for a decision.
pub const DECISION: &str = "decision";
/// The name in an end mark for the members of all workspaces that have no line of their own.
pub const MEMBERS: &str = Family::Members.name();

impl Family {
    /// Its name without a workspace's id, for metrics: their number is bounded.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Users => "users",
            Self::Workspaces => "workspaces",
            Self::ApiKeys => "api_keys",
            Self::Members => "members",
        }
    }
}

impl Collection {
    /// The collections of which an organization has one each, in the order in which a poll lists them. It also has the
    /// members of each workspace.
    pub const SINGLE: [Self; 4] = [Self::Organization, Self::Users, Self::Workspaces, Self::ApiKeys];

    /// The collection of that name; `None` where there is none.
    pub fn parse(name: &str) -> Option<Self> {
        let workspace_id = name.strip_prefix(MEMBERS).and_then(|rest| rest.strip_prefix('/'));
        match workspace_id {
            Some(workspace_id) => (!workspace_id.is_empty()).then(|| Self::Members(workspace_id.to_owned())),
            None => Self::SINGLE.into_iter().find(|single| single.family().name() == name),
        }
    }

    /// Which kind of collection it is.
    pub fn family(&self) -> Family {
        match self {
            Self::Organization => Family::Organization,
            Self::Users => Family::Users,
            Self::Workspaces => Family::Workspaces,
            Self::ApiKeys => Family::ApiKeys,
            Self::Members(_) => Family::Members,
        }
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.family().name())?;
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
