//! What a person types, and the name that an element has.

use std::collections::BTreeMap;

use graph::access::{self, Moment, NotOne};
use rusqlite::OptionalExtension as _;
use schemas::{
    codec::decode,
    element::{Content, Element, ElementType},
};

use super::{
    Organization, StoreError, View,
    schema::{self, type_number},
};

/// Most matches that a search looks at (count).
const LOOKED_AT: i64 = 500;

/// What a page can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NamedType {
    Workspace,
    User,
    ApiKey,
}

/// Something with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub kind: NamedType,
    pub id: String,
    pub name: String,
    /// E-mail address of a person, hint of a key.
    pub detail: Option<String>,
    /// Whether it was there at the moment.
    pub is_there: bool,
    /// Status of a key; role of a person; whether a workspace is archived.
    pub state: Option<String>,
}

impl NamedType {
    /// Its parameter in a URL.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::User => "user",
            Self::ApiKey => "api_key",
        }
    }

    /// ID of what a name means among so many.
    pub fn find(self, organization: &access::Organization, text: &str) -> Result<String, NotOne> {
        match self {
            Self::Workspace => organization.find_workspace(text),
            Self::User => organization.find_user(text),
            Self::ApiKey => organization.find_api_key(text),
        }
    }

    /// The type of these elements.
    pub fn element_type(self) -> ElementType {
        match self {
            Self::Workspace => ElementType::Workspace,
            Self::User => ElementType::User,
            Self::ApiKey => ElementType::ApiKey,
        }
    }
}

impl View<'_> {
    /// What has the text in its name, e-mail address, hint or ID, or once had. Exact matches come first, then beginnings.
    pub fn search(
        &self,
        organization: &Organization,
        text: &str,
        moment: Moment,
        most: usize,
    ) -> Result<Vec<Named>, StoreError> {
        let text = text.trim().to_lowercase();
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let position = self.position(organization, moment)?;
        let mut statement = self.connection.prepare_cached(
            "SELECT element, min(CASE WHEN text = ?2 THEN 0 WHEN instr(text, ?2) = 1 THEN 1 ELSE 2 END) AS rank
             FROM name WHERE organization = ?1 AND instr(text, ?2) > 0 GROUP BY element ORDER BY rank, element LIMIT ?3",
        )?;
        let found = statement
            .query_map((organization.key, &text, LOOKED_AT), |row| Ok((row.get(1)?, row.get(0)?)))?
            .collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
        let mut named = Vec::new();
        for (rank, element) in found {
            if let Some(it) = self.named(element, position.change)? {
                named.push((rank, !it.is_there, it.kind, it.name.to_lowercase(), it));
            }
        }
        named.sort_by(|one, other| (one.0, one.1, one.2, &one.3).cmp(&(other.0, other.1, other.2, &other.3)));
        Ok(named.into_iter().map(|(_, _, _, _, it)| it).take(most).collect())
    }

    /// The thing of that type and ID, as it was at the moment, or was known last, or first.
    pub fn find(
        &self,
        organization: &Organization,
        kind: NamedType,
        id: &str,
        moment: Moment,
    ) -> Result<Option<Named>, StoreError> {
        let key = kind.element_type().entity_key(id);
        let Some(element) = schema::element_id(self.connection, organization.key, &key)? else {
            return Ok(None);
        };
        let position = self.position(organization, moment)?;
        let named = self.named(element, position.change)?;
        let unknown = || Named {
            kind,
            id: id.to_owned(),
            name: id.to_owned(),
            detail: None,
            is_there: false,
            state: None,
        };
        Ok(Some(named.unwrap_or_else(unknown)))
    }

    /// Everything of a type at the moment, by name.
    pub fn list(
        &self,
        organization: &Organization,
        kind: NamedType,
        moment: Moment,
    ) -> Result<Vec<Named>, StoreError> {
        let position = self.position(organization, moment)?;
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT i.value FROM element e JOIN image i ON i.change = {}
             WHERE e.organization = ?1 AND e.type = ?3",
            schema::image_at("e.id")
        ))?;
        let mut rows =
            statement.query((organization.key, position.change, type_number(kind.element_type())))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let value: Element = decode(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)?;
            all.extend(named(&value, true));
        }
        all.sort_by_cached_key(|it| (it.name.to_lowercase(), it.id.clone()));
        Ok(all)
    }

    /// How many there are of a type at the moment.
    pub fn count(
        &self,
        organization: &Organization,
        kind: NamedType,
        moment: Moment,
    ) -> Result<usize, StoreError> {
        let position = self.position(organization, moment)?;
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT count(*) FROM element e WHERE e.organization = ?1 AND e.type = ?3 AND {} IS NOT NULL",
            schema::image_at("e.id")
        ))?;
        let kind = type_number(kind.element_type());
        let count: i64 = statement.query_row((organization.key, position.change, kind), |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// How many members a workspace lists, and how many keys belong to it.
    pub fn inhabitants(
        &self,
        organization: &Organization,
        workspace_id: &str,
        moment: Moment,
    ) -> Result<(usize, usize), StoreError> {
        let key = ElementType::Workspace.entity_key(workspace_id);
        let Some(workspace) = schema::element_id(self.connection, organization.key, &key)? else {
            return Ok((0, 0));
        };
        let position = self.position(organization, moment)?;
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT count(*) FROM mention m JOIN element e ON e.id = m.element
             WHERE m.target = ?1 AND e.type = ?3 AND {} IS NOT NULL",
            schema::image_at("e.id")
        ))?;
        let mut count = |kind| -> Result<usize, StoreError> {
            let parameters = (workspace, position.change, type_number(kind));
            let count: i64 = statement.query_row(parameters, |row| row.get(0))?;
            Ok(usize::try_from(count).unwrap_or_default())
        };
        Ok((count(ElementType::UserAssignedWorkspace)?, count(ElementType::WorkspaceHasApiKey)?))
    }

    /// Names of elements by their ids, as they were at a change or were known last.
    pub(super) fn names_at(
        &self,
        elements: impl IntoIterator<Item = i64>,
        change: i64,
    ) -> Result<BTreeMap<i64, Named>, StoreError> {
        let mut names = BTreeMap::new();
        for element in elements {
            if let Some(named) = self.named(element, change)? {
                names.insert(element, named);
            }
        }
        Ok(names)
    }

    fn named(&self, element: i64, change: i64) -> Result<Option<Named>, StoreError> {
        let is_there =
            schema::last_change(self.connection, element, change)?.is_some_and(|(_, is_there)| is_there);
        let mut found = schema::last_image(self.connection, element, change)?;
        if found.is_none() {
            let mut first = self.connection.prepare_cached(
                "SELECT i.value FROM change c JOIN image i ON i.change = c.id
                 WHERE c.element = ?1 AND c.is_there ORDER BY c.id LIMIT 1",
            )?;
            found = first.query_row([element], |row| row.get(0)).optional()?;
        }
        let Some(value) = found else { return Ok(None) };
        Ok(named(&decode(&value)?, is_there))
    }
}

fn named(element: &Element, is_there: bool) -> Option<Named> {
    Some(match &element.content {
        Content::User(user) => {
            let detail = user.email.first().filter(|email| **email != user.name).cloned();
            let (id, name, state) = (user.id.clone(), user.name.clone(), user.role.clone());
            Named { kind: NamedType::User, id, name, detail, is_there, state }
        }
        Content::Workspace(workspace) => {
            let state = (!workspace.active).then(|| "archived".to_owned());
            let (id, name) = (workspace.id.clone(), workspace.name.clone());
            Named { kind: NamedType::Workspace, id, name, detail: None, is_there, state }
        }
        Content::ApiKey(key) => {
            let (id, name, state) = (key.id.clone(), key.name.clone(), key.status.clone());
            let detail = key.partial_key_hint.clone();
            Named { kind: NamedType::ApiKey, id, name, detail, is_there, state }
        }
        Content::Account(_)
        | Content::AccountHasUser(_)
        | Content::AccountHasWorkspace(_)
        | Content::UserAssignedWorkspace(..)
        | Content::UserCreatedApiKey(_)
        | Content::WorkspaceHasApiKey(_)
        | Content::Other(_) => return None,
    })
}
