//! The elements on which an answer depends, and no others: `graph::access` finds the same paths in them as in all.

use std::collections::BTreeSet;

use graph::access::{self, Moment, Question, Snapshot, inherited_role};
use rusqlite::{OptionalExtension as _, Params};
use schemas::{
    codec::decode,
    collection::Collection,
    element::{Content, Element, ElementType},
};

use super::{
    NamedType, Organization, StoreError, View,
    moment::Position,
    schema::{self, image_at, special, type_number},
};

/// What `creator_type` and `principal_type` of a key say of a user, and the scope of a key of the organization.
const USER: &str = "user";
const ORGANIZATION: &str = "organization";

impl View<'_> {
    /// What is known of an organization at a moment, as far as the question's answer depends on it.
    pub fn snapshot(
        &self,
        organization: &Organization,
        question: &Question,
        moment: Moment,
    ) -> Result<Snapshot, StoreError> {
        let position = self.position(organization, moment)?;
        let snapshot = Snapshot {
            organization_id: organization.id.clone(),
            name: organization.name.clone(),
            revision: position.observed.map_or(0, |(revision, _)| revision),
            observed_ts_ms: position.observed.map(|(_, ts_ms)| ts_ms),
            newest_revision: organization.newest_revision,
            first_revision: Some(organization.first_revision),
            first_ts_ms: Some(organization.first_ts_ms),
            ..Snapshot::default()
        };
        let mut subgraph = Subgraph::new(self, organization, position, snapshot);
        subgraph.load_for(question)?;
        let moment_ms = match moment {
            Moment::Now => None,
            Moment::Revision(_) => subgraph.snapshot.observed_ts_ms,
            Moment::Time(ts_ms) => Some(ts_ms),
        };
        subgraph.prove_whole(question, moment_ms)?;
        if let Some(moment_ms) = moment_ms {
            subgraph.doubt(moment_ms)?;
        }
        Ok(subgraph.snapshot)
    }

    /// What a name may mean at a moment: a search for it among them finds what one in the whole organization finds.
    pub fn candidates(
        &self,
        organization: &Organization,
        kind: NamedType,
        text: &str,
        moment: Moment,
    ) -> Result<access::Organization, StoreError> {
        let position = self.position(organization, moment)?;
        let mut subgraph = Subgraph::new(self, organization, position, Snapshot::default());
        let (text, element_type) = (text.trim(), kind.element_type());
        // An ID means one thing, whatever has it for a name.
        if let Some(id) = subgraph.find(&element_type.entity_key(text))? {
            subgraph.candidate(element_type, id)?;
            if kind == NamedType::User {
                // Somebody who was never listed is known by the keys that name them.
                subgraph.naming(id)?;
            }
            if kind.find(&subgraph.snapshot.organization, text).is_ok() {
                return Ok(subgraph.snapshot.organization);
            }
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT DISTINCT n.element FROM name n JOIN element e ON e.id = n.element
             WHERE n.organization = ?1 AND e.type = ?2 AND instr(n.text, ?3) > 0",
        )?;
        let parameters = (organization.key, type_number(element_type), text.to_lowercase());
        let found = statement.query_map(parameters, |row| row.get(0))?;
        for id in found.collect::<rusqlite::Result<Vec<i64>>>()? {
            subgraph.candidate(element_type, id)?;
        }
        Ok(subgraph.snapshot.organization)
    }
}

struct Subgraph<'a> {
    view: &'a View<'a>,
    organization: &'a Organization,
    position: Position,
    /// Ids of the elements that were loaded.
    loaded: BTreeSet<i64>,
    /// Keys of the ends that were looked up.
    ends: BTreeSet<String>,
    /// Types of which all elements were loaded.
    complete: BTreeSet<ElementType>,
    snapshot: Snapshot,
}

impl<'a> Subgraph<'a> {
    fn new(
        view: &'a View<'a>,
        organization: &'a Organization,
        position: Position,
        snapshot: Snapshot,
    ) -> Self {
        let (loaded, ends, complete) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { view, organization, position, loaded, ends, complete, snapshot }
    }

    /// Loads what the answer depends on.
    fn load_for(&mut self, question: &Question) -> Result<(), StoreError> {
        if *question == Question::default() {
            return self.everything();
        }
        self.defaults()?;
        if let Some(id) = &question.workspace {
            self.workspace(id)?;
        }
        if let Some(id) = &question.user {
            self.user(id)?;
        }
        if let Some(id) = &question.api_key
            && let Some(key) = self.find(&ElementType::ApiKey.entity_key(id))?
        {
            self.keys(BTreeSet::from([key]))?;
        }
        Ok(())
    }

    fn everything(&mut self) -> Result<(), StoreError> {
        for kind in [
            ElementType::User,
            ElementType::Workspace,
            ElementType::ApiKey,
            ElementType::UserAssignedWorkspace,
            ElementType::WorkspaceHasApiKey,
        ] {
            self.all(kind)?;
        }
        // Those who left.
        let mut statement = self
            .view
            .connection
            .prepare_cached("SELECT id FROM element WHERE organization = ?1 AND type = ?2")?;
        let users = statement
            .query_map((self.organization.key, type_number(ElementType::User)), |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<i64>>>()?;
        for user in users {
            self.person(user)?;
        }
        Ok(())
    }

    /// The workspaces of which one may be the default one, and whether they have a member.
    fn defaults(&mut self) -> Result<(), StoreError> {
        for workspace in self.special(special::NAMED_DEFAULT)? {
            if self.element(workspace)?.is_some() {
                self.some_member(workspace)?;
            }
        }
        Ok(())
    }

    fn workspace(&mut self, id: &str) -> Result<(), StoreError> {
        let key = ElementType::Workspace.entity_key(id);
        let Some(workspace) = self.find(&key)? else { return Ok(()) };
        self.load(workspace)?;
        let is_default =
            self.snapshot.organization.default_workspace().is_some_and(|(default, _)| default == key);
        if is_default {
            self.all(ElementType::User)?;
        }
        for user in self.special(special::INHERITING_USER)? {
            self.person(user)?;
        }
        let mut keys = BTreeSet::from_iter(self.special(special::WIDE_KEY)?);
        for (id, value) in self.naming(workspace)? {
            match ElementType::parse(value.kind()) {
                Some(ElementType::UserAssignedWorkspace) => self.ends(&value)?,
                Some(ElementType::WorkspaceHasApiKey) => {
                    keys.extend(value.content.ends()[1].map(|key| self.find(key)).transpose()?.flatten());
                }
                Some(ElementType::ApiKey) => drop(keys.insert(id)),
                _ => {}
            }
        }
        self.keys(keys)
    }

    fn user(&mut self, id: &str) -> Result<(), StoreError> {
        let Some(user) = self.find(&ElementType::User.entity_key(id))? else { return Ok(()) };
        let naming = self.reach(user)?.into_iter();
        let keys = naming.filter(|(_, it)| ElementType::parse(it.kind()) == Some(ElementType::ApiKey));
        self.keys(keys.map(|(id, _)| id).collect())
    }

    /// A user with the workspaces that they reach. Returns what names the user, by id.
    fn reach(&mut self, user: i64) -> Result<Vec<(i64, Element)>, StoreError> {
        match self.element(user)? {
            Some(Element { content: Content::User(user), .. }) if inherited_role(&user).is_some() => {
                self.all(ElementType::Workspace)?;
            }
            Some(_) => {}
            None => self.former(user)?,
        }
        let naming = self.naming(user)?;
        for (_, value) in &naming {
            if ElementType::parse(value.kind()) == Some(ElementType::UserAssignedWorkspace) {
                self.ends(value)?;
            }
        }
        Ok(naming)
    }

    /// Keys with the people who can use them, and the workspaces that they reach.
    fn keys(&mut self, keys: BTreeSet<i64>) -> Result<(), StoreError> {
        for key in keys {
            let Some(value) = self.element(key)? else { continue };
            let Content::ApiKey(api_key) = value.content else { continue };
            let is_user = |kind: &Option<String>| kind.as_deref() == Some(USER);
            if let Some(id) = api_key.created_by.filter(|_| is_user(&api_key.creator_type))
                && let Some(user) = self.find(&ElementType::User.entity_key(&id))?
            {
                self.person(user)?;
            }
            let is_wide = api_key.scope.as_deref() == Some(ORGANIZATION);
            let mut has_reach = false;
            if let Some(id) = api_key.principal_id.filter(|_| is_user(&api_key.principal_type))
                && let Some(user) = self.find(&ElementType::User.entity_key(&id))?
            {
                if is_wide {
                    self.reach(user)?;
                    has_reach = self.snapshot.organization.user(&id).is_some();
                } else {
                    self.person(user)?;
                }
            }
            let mut has_place = false;
            if !is_wide {
                if let Some(id) = &api_key.workspace_id {
                    has_place = true;
                    if let Some(workspace) = self.find(&ElementType::Workspace.entity_key(id))? {
                        self.load(workspace)?;
                    }
                } else {
                    for (_, value) in self.naming(key)? {
                        if ElementType::parse(value.kind()) == Some(ElementType::WorkspaceHasApiKey) {
                            has_place = true;
                            self.ends(&value)?;
                        }
                    }
                }
            }
            if !has_place && !has_reach {
                self.all(ElementType::Workspace)?;
            }
        }
        Ok(())
    }

    /// The entities at the ends of a relationship.
    fn ends(&mut self, relationship: &Element) -> Result<(), StoreError> {
        for end in relationship.ends() {
            // Thousands of memberships can end at the same workspace.
            if !self.ends.contains(end) {
                self.ends.insert(end.to_owned());
                if let Some(id) = self.find(end)? {
                    self.load(id)?;
                }
            }
        }
        Ok(())
    }

    fn candidate(&mut self, kind: ElementType, id: i64) -> Result<(), StoreError> {
        if kind == ElementType::User { self.person(id) } else { self.load(id) }
    }

    /// A user; of one who left, what was known last.
    fn person(&mut self, id: i64) -> Result<(), StoreError> {
        if self.loaded.contains(&id) || self.element(id)?.is_some() { Ok(()) } else { self.former(id) }
    }

    /// What was known last of a user who left.
    fn former(&mut self, id: i64) -> Result<(), StoreError> {
        let left = schema::last_change(self.view.connection, id, self.position.change)?;
        if left.is_none_or(|(left, _)| left <= self.position.forgotten) {
            return Ok(());
        }
        let last = schema::last_image(self.view.connection, id, self.position.change)?;
        if let Some(value) = last {
            let value: Element = decode(&value)?;
            self.snapshot.organization.put(value.clone());
            self.snapshot.organization.remove(&value, false);
        }
        Ok(())
    }

    /// Loads an element as it was at the moment, unless it is loaded.
    fn load(&mut self, id: i64) -> Result<(), StoreError> {
        if self.loaded.contains(&id) { Ok(()) } else { self.element(id).map(drop) }
    }

    /// Loads an element as it was at the moment, and returns it, if it was there.
    fn element(&mut self, id: i64) -> Result<Option<Element>, StoreError> {
        let value = schema::image(self.view.connection, id, self.position.change)?;
        let Some(value) = value else { return Ok(None) };
        let value: Element = decode(&value)?;
        if self.loaded.insert(id) {
            self.snapshot.organization.put(value.clone());
        }
        Ok(Some(value))
    }

    /// Loads what names an element, and returns it by id.
    fn naming(&mut self, target: i64) -> Result<Vec<(i64, Element)>, StoreError> {
        let mut found = Vec::new();
        self.put_all(
            &format!(
                "SELECT m.element, i.value FROM mention m JOIN image i ON i.change = {} WHERE m.target = ?1",
                image_at("m.element")
            ),
            (target, self.position.change),
            |id, element| found.push((id, element.clone())),
        )?;
        Ok(found)
    }

    /// Loads one membership of a workspace, if there is any.
    fn some_member(&mut self, workspace: i64) -> Result<(), StoreError> {
        self.put_all(
            &format!(
                "SELECT m.element, i.value FROM mention m JOIN element e ON e.id = m.element
                 JOIN image i ON i.change = {} WHERE m.target = ?1 AND e.type = ?3 LIMIT 1",
                image_at("m.element")
            ),
            (workspace, self.position.change, type_number(ElementType::UserAssignedWorkspace)),
            |_, _| {},
        )
    }

    /// Loads all elements of a type.
    fn all(&mut self, kind: ElementType) -> Result<(), StoreError> {
        if !self.complete.insert(kind) {
            return Ok(());
        }
        self.put_all(
            &format!(
                "SELECT e.id, i.value FROM element e JOIN image i ON i.change = {}
                 WHERE e.organization = ?1 AND e.type = ?3",
                image_at("e.id")
            ),
            (self.organization.key, self.position.change, type_number(kind)),
            |_, _| {},
        )
    }

    /// Loads the elements that the rows give, and shows each to `look`.
    fn put_all(
        &mut self,
        sql: &str,
        parameters: impl Params,
        mut look: impl FnMut(i64, &Element),
    ) -> Result<(), StoreError> {
        let mut statement = self.view.connection.prepare_cached(sql)?;
        let mut rows = statement.query(parameters)?;
        while let Some(row) = rows.next()? {
            let (id, value) = (row.get(0)?, row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
            let value: Element = decode(value)?;
            look(id, &value);
            if self.loaded.insert(id) {
                self.snapshot.organization.put(value);
            }
        }
        Ok(())
    }

    fn special(&self, kind: i64) -> Result<Vec<i64>, StoreError> {
        let mut statement = self
            .view
            .connection
            .prepare_cached("SELECT element FROM special WHERE organization = ?1 AND kind = ?2")?;
        let rows = statement.query_map((self.organization.key, kind), |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn find(&self, key: &str) -> Result<Option<i64>, StoreError> {
        Ok(schema::element_id(self.view.connection, self.organization.key, key)?)
    }

    /// When each collection was last listed whole that the question's answer depends on.
    fn prove_whole(&mut self, question: &Question, moment_ms: Option<i64>) -> Result<(), StoreError> {
        let mut collections = vec![Collection::Users, Collection::Workspaces, Collection::ApiKeys];
        match &question.workspace {
            Some(id) => collections.push(Collection::Members(id.clone())),
            None => collections.extend(self.workspace_ids()?.into_iter().map(Collection::Members)),
        }
        for collection in collections.iter().map(ToString::to_string) {
            let Position { change, forgotten, .. } = self.position;
            let mut statement = self.view.connection.prepare_cached(
                "SELECT whole_ts_ms FROM whole WHERE organization = ?1 AND collection = ?2 AND change <= ?3 AND change > ?4
                 ORDER BY change DESC LIMIT 1",
            )?;
            let proved = statement
                .query_row((self.organization.key, &collection, change, forgotten), |row| {
                    row.get::<_, Option<i64>>(0)
                })
                .optional()?
                .flatten();
            // A later change says when the listing before it began.
            let mut statement = self.view.connection.prepare_cached(
                "SELECT max(not_before_ts_ms) FROM whole
                 WHERE organization = ?1 AND collection = ?2 AND not_before_ts_ms <= ?3 AND change > ?4",
            )?;
            let later: Option<i64> = match moment_ms {
                Some(moment_ms) => statement
                    .query_row((self.organization.key, &collection, moment_ms, forgotten), |row| {
                        row.get(0)
                    })?,
                None => None,
            };
            if let Some(whole) = proved.max(later) {
                self.snapshot.whole_ts_ms.insert(collection, whole);
            }
        }
        Ok(())
    }

    /// IDs of all workspaces.
    fn workspace_ids(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.view.connection.prepare_cached(&format!(
            "SELECT e.key FROM element e WHERE e.organization = ?1 AND e.type = ?3 AND {} IS NOT NULL",
            image_at("e.id")
        ))?;
        let kind = type_number(ElementType::Workspace);
        let keys = statement
            .query_map((self.organization.key, self.position.change, kind), |row| row.get::<_, String>(0))?;
        let id = |key: String| key.split_once(':').map_or_else(String::new, |(_, id)| plain_id(id));
        Ok(keys.map(|key| key.map(id)).collect::<rusqlite::Result<_>>()?)
    }

    /// What later changes may already have changed at the moment.
    fn doubt(&mut self, moment_ms: i64) -> Result<(), StoreError> {
        let mut statement = self.view.connection.prepare_cached(
            "SELECT c.about_access, e.key FROM change c JOIN element e ON e.id = c.element
             WHERE c.organization = ?1 AND c.high_ts_ms >= ?2 AND c.high_ts_ms < ?3 AND c.id > ?4
             AND c.not_before_ts_ms < ?5 AND c.about_access <> 0",
        )?;
        let Position { change, high_ts_ms, .. } = self.position;
        let until_ms = moment_ms.saturating_add(self.organization.longest_window_ms).saturating_add(1);
        let mut rows = statement.query((self.organization.key, high_ts_ms, until_ms, change, moment_ms))?;
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(0)? == 1 {
                self.snapshot.maybe_created += 1;
            } else {
                self.snapshot.maybe_changed += 1;
                self.snapshot.organization.doubt(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?);
            }
        }
        // It is unknown how long before their observation these happened.
        let mut statement = self.view.connection.prepare_cached(
            "SELECT count(*) FROM change
             WHERE organization = ?1 AND about_access = 1 AND id > ?2 AND not_before_ts_ms IS NULL AND op <> 'm'",
        )?;
        let created: i64 = statement.query_row((self.organization.key, change), |row| row.get(0))?;
        self.snapshot.maybe_created += usize::try_from(created).unwrap_or_default();
        let mut statement = self.view.connection.prepare_cached(
            "SELECT e.key FROM change c JOIN element e ON e.id = c.element
             WHERE c.organization = ?1 AND c.about_access = 2 AND c.id > ?2 AND c.not_before_ts_ms IS NULL AND c.op <> 'm'",
        )?;
        let mut rows = statement.query((self.organization.key, change))?;
        while let Some(row) = rows.next()? {
            self.snapshot.maybe_changed += 1;
            self.snapshot.organization.doubt(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?);
        }
        Ok(())
    }
}

/// An ID as the API gave it: in a key, `|` and `%` are escaped.
pub(super) fn plain_id(id: &str) -> String {
    id.replace("%7C", "|").replace("%25", "%")
}
