//! Taking changes.

use std::{collections::BTreeMap, path::Path};

use foldhash::fast::FixedState;
use graph::access::{DEFAULT_WORKSPACE, inherited_role, is_about_access, proved_whole};
use hashbrown::HashMap;
use rusqlite::{Connection, Transaction, params};
use schemas::{
    change::{Envelope, Op, Reason},
    element::{ApiKey, Content, Element, ElementType},
    encoded::EncodedChange,
};

use super::{
    Bookmark, Organization, StoreError,
    schema::{self, TABLES, VERSION, special, type_number},
};

/// Element ids that are remembered while reading (count): enough for a large organization.
const REMEMBERED: usize = 500_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// What `creator_type` and `principal_type` of a key say of a user.
const USER: &str = "user";

/// Properties on which no description of an element depends.
const NOT_DESCRIBED: [&str; 6] = ["active", "archivedOn", "createdOn", "displayColor", "expiresOn", "status"];

/// A change as it was read.
#[derive(Debug, Clone)]
pub struct Read {
    pub offset: i64,
    pub change: EncodedChange,
}

/// The one writer of the store.
#[derive(Debug)]
pub struct Writer {
    connection: Connection,
    topic: String,
    known: Known,
}

/// What the next change is compared with, as it is in the tables.
#[derive(Debug, Default)]
struct Known {
    newest_change: i64,
    organizations: BTreeMap<String, Progress>,
    elements: BTreeMap<i64, HashMap<String, KnownElement, FixedState>>,
    /// The newest row of `whole` by organization and collection.
    whole: BTreeMap<(i64, String), (Option<i64>, Option<i64>)>,
}

/// An element, as it is after the last change.
#[derive(Debug, Clone, Copy)]
struct KnownElement {
    id: i64,
    is_there: bool,
}

#[derive(Debug, Clone)]
struct Progress {
    organization: Organization,
    high_ts_ms: i64,
    is_dirty: bool,
}

impl Writer {
    /// Opens the file, and empties it if it is of another topic, if another version wrote it, or if it is damaged.
    pub(super) fn open(path: &Path, topic: &str) -> Result<Self, StoreError> {
        match Self::try_open(path, topic) {
            Ok(writer) => Ok(writer),
            Err(rusqlite::Error::SqliteFailure(error, _))
                if matches!(
                    error.code,
                    rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase
                ) =>
            {
                delete(path)?;
                Ok(Self::try_open(path, topic)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn try_open(path: &Path, topic: &str) -> rusqlite::Result<Self> {
        let mut connection = Connection::open(path)?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A crash of the system loses the end of it, never its consistency.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "cache_size", -64_000)?;
        // In pages: 64 MiB. Changes are written at random places, so most pages are written again and again.
        connection.pragma_update(None, "wal_autocheckpoint", 16_000)?;
        if schema::origin(&connection)?.as_deref() != Some(topic) {
            empty(&mut connection, topic)?;
        }
        let known = Known::load(&connection)?;
        Ok(Self { connection, topic: topic.to_owned(), known })
    }

    pub fn clear(&mut self) -> Result<(), StoreError> {
        empty(&mut self.connection, &self.topic)?;
        self.known = Known::default();
        Ok(())
    }

    /// Moves what was written from the log into the file, as far as no reader needs the log: a reader looks for each page
    /// in the log first, for as long as that has any.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        Ok(self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?)
    }

    /// How far each partition was read.
    pub fn bookmarks(&self) -> Result<BTreeMap<i32, Bookmark>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT partition, first_offset, next_offset, last_offset, last_change FROM bookmark",
        )?;
        let rows = statement.query_map([], |row| {
            let last: (Option<i64>, Option<String>) = (row.get(3)?, row.get(4)?);
            let bookmark =
                Bookmark { first_offset: row.get(1)?, next_offset: row.get(2)?, last: last.0.zip(last.1) };
            Ok((row.get(0)?, bookmark))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Takes the next changes of a partition, and sets its bookmark, in one transaction. Returns the id of the newest change.
    pub fn take(
        &mut self,
        partition: i32,
        first_offset: i64,
        next_offset: i64,
        changes: &[Read],
    ) -> Result<i64, StoreError> {
        let transaction = self.connection.transaction()?;
        let written = write(&transaction, &mut self.known, partition, changes)
            .and_then(|()| set_bookmark(&transaction, partition, first_offset, next_offset, changes.last()))
            .and_then(|()| transaction.commit());
        if let Err(error) = written {
            // What is known may be ahead of the tables.
            self.known = Known::load(&self.connection)?;
            return Err(error.into());
        }
        Ok(self.known.newest_change)
    }
}

fn delete(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::File { path: path.to_owned(), source });
            }
            _ => {}
        }
    }
    Ok(())
}

fn empty(connection: &mut Connection, topic: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let tables: Vec<(String, String)> = transaction
        .prepare("SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (kind, name) in tables {
        transaction.execute_batch(&format!("DROP {kind} \"{}\"", name.replace('"', "\"\"")))?;
    }
    transaction.execute_batch(TABLES)?;
    transaction.execute("INSERT INTO origin VALUES (?1)", [topic])?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

impl Known {
    fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut known = Self::default();
        let newest: Option<i64> = connection.query_row("SELECT max(id) FROM change", [], |row| row.get(0))?;
        known.newest_change = newest.unwrap_or_default();
        for organization in schema::organizations(connection)? {
            let high_ts_ms = connection.query_row(
                "SELECT max(high_ts_ms) FROM change WHERE organization = ?1",
                [organization.key],
                |row| row.get::<_, Option<i64>>(0),
            )?;
            let high_ts_ms = high_ts_ms.unwrap_or(i64::MIN);
            let id = organization.id.clone();
            known.organizations.insert(id, Progress { organization, high_ts_ms, is_dirty: false });
        }
        let mut statement = connection.prepare(
            "SELECT organization, collection, whole_ts_ms, not_before_ts_ms, max(change) FROM whole
             WHERE change > (SELECT coalesce(max(id), 0) FROM change
                             WHERE change.organization = whole.organization AND reason = 'forgotten')
             GROUP BY organization, collection",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            known.whole.insert((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?));
        }
        Ok(known)
    }

    /// The organization of a change, with its newest revision and time moved on.
    fn advance(&mut self, change: &Envelope) -> (i64, i64, i64) {
        let next_key = i64::try_from(self.organizations.len() + 1).expect("few organizations");
        let source = &change.source;
        let progress = self.organizations.entry(source.organization_id.clone()).or_insert_with(|| Progress {
            organization: Organization {
                key: next_key,
                id: source.organization_id.clone(),
                name: source.name.clone(),
                // A notice has the revision of the change before it, which is not there.
                first_revision: change.revision + i64::from(change.op == Op::Notice),
                first_ts_ms: change.ts_ms,
                newest_revision: change.revision,
                newest_ts_ms: change.ts_ms,
                longest_window_ms: 0,
            },
            high_ts_ms: i64::MIN,
            is_dirty: true,
        });
        progress.is_dirty = true;
        progress.high_ts_ms = progress.high_ts_ms.max(change.ts_ms);
        let organization = &mut progress.organization;
        if organization.name != source.name {
            organization.name.clone_from(&source.name);
        }
        organization.newest_revision = organization.newest_revision.max(change.revision);
        organization.newest_ts_ms = change.ts_ms;
        if let Some(not_before_ts_ms) = change.not_before_ts_ms {
            let window = progress.high_ts_ms.saturating_sub(not_before_ts_ms);
            organization.longest_window_ms = organization.longest_window_ms.max(window);
        }
        (organization.key, organization.newest_revision, progress.high_ts_ms)
    }
}

fn set_bookmark(
    transaction: &Transaction<'_>,
    partition: i32,
    first_offset: i64,
    next_offset: i64,
    last: Option<&Read>,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO bookmark VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (partition) DO UPDATE SET
         next_offset = ?3, last_offset = coalesce(?4, last_offset), last_change = coalesce(?5, last_change)",
    )?;
    let last_offset = last.map(|read| read.offset);
    let last_change = last.map(|read| read.change.envelope.id.as_str());
    statement.execute((partition, first_offset, next_offset, last_offset, last_change))?;
    Ok(())
}

fn write(
    transaction: &Transaction<'_>,
    known: &mut Known,
    partition: i32,
    changes: &[Read],
) -> rusqlite::Result<()> {
    let mut days: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
    for Read { offset, change: read } in changes {
        let change = &read.envelope;
        let (organization, high_revision, high_ts_ms) = known.advance(change);
        known.newest_change += 1;
        let id = known.newest_change;
        let mut one = OneChange { transaction, known, organization, id, change: read };
        let kind = ElementType::parse(&change.element_type);
        let element = one.element(&change.element_key, kind)?;
        one.insert(element.id, high_revision, high_ts_ms, partition, *offset)?;
        one.prove_whole()?;
        if change.op != Op::Notice {
            one.store_image(element)?;
            let (count, newest) = days.entry((organization, change.ts_ms.div_euclid(DAY_MS))).or_default();
            *count += 1;
            *newest = (*newest).max(change.revision);
        }
    }
    let mut statement = transaction.prepare_cached(
        "INSERT INTO day VALUES (?1, ?2, ?3, ?4) ON CONFLICT (organization, day) DO UPDATE SET
         changes = changes + ?3, newest_revision = max(newest_revision, ?4)",
    )?;
    for ((organization, day), (count, newest)) in days {
        statement.execute((organization, day, count, newest))?;
    }
    store_organizations(transaction, known)
}

fn store_organizations(transaction: &Transaction<'_>, known: &mut Known) -> rusqlite::Result<()> {
    let mut statement = transaction
        .prepare_cached("INSERT OR REPLACE INTO organization VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    for Progress { organization: it, is_dirty, .. } in known.organizations.values_mut() {
        if std::mem::take(is_dirty) {
            statement.execute(params![
                it.key,
                it.id,
                it.name,
                it.first_revision,
                it.first_ts_ms,
                it.newest_revision,
                it.newest_ts_ms,
                it.longest_window_ms
            ])?;
        }
    }
    Ok(())
}

/// One change on its way into the tables.
struct OneChange<'a> {
    transaction: &'a Transaction<'a>,
    known: &'a mut Known,
    organization: i64,
    id: i64,
    change: &'a EncodedChange,
}

impl OneChange<'_> {
    /// The element of that key.
    fn element(&mut self, key: &str, kind: Option<ElementType>) -> rusqlite::Result<KnownElement> {
        let remembered = self.known.elements.entry(self.organization).or_default();
        if let Some(known) = remembered.get(key) {
            return Ok(*known);
        }
        let known = if let Some(id) = schema::element_id(self.transaction, self.organization, key)? {
            let last = schema::last_change(self.transaction, id, self.id)?;
            KnownElement { id, is_there: last.is_some_and(|(_, is_there)| is_there) }
        } else {
            let mut statement = self
                .transaction
                .prepare_cached("INSERT INTO element (organization, key, type) VALUES (?1, ?2, ?3)")?;
            let id = statement.insert((self.organization, key, kind.map_or(0, type_number)))?;
            KnownElement { id, is_there: false }
        };
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(key.to_owned(), known);
        Ok(known)
    }

    fn insert(
        &self,
        element: i64,
        high_revision: i64,
        high_ts_ms: i64,
        partition: i32,
        offset: i64,
    ) -> rusqlite::Result<()> {
        let change = &self.change.envelope;
        let about_access = match &self.change.before {
            _ if change.op == Op::Notice || !is_about_access(change) => 0,
            None => 1,
            Some(_) => 2,
        };
        let is_there = (change.op != Op::Notice).then_some(self.change.after.is_some());
        let changed = (!change.changed.is_empty()).then(|| change.changed.join("\n"));
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO change VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )?;
        statement.execute(params![
            self.id,
            self.organization,
            element,
            change.revision,
            change.ts_ms,
            high_revision,
            high_ts_ms,
            change.op.as_str(),
            change.reason.as_ref().map(Reason::as_str),
            change.source.collection,
            change.source.listing_id,
            change.source.decision_by,
            changed,
            change.not_before_ts_ms,
            change.not_after_ts_ms,
            about_access,
            is_there,
            partition,
            offset,
        ])?;
        Ok(())
    }

    /// Notes when the collection was listed whole, where that is new.
    fn prove_whole(&mut self) -> rusqlite::Result<()> {
        let change = &self.change.envelope;
        let key = (self.organization, change.source.collection.clone());
        let before = self.known.whole.get(&key).copied();
        let whole = proved_whole(change).max(before.and_then(|(whole, _)| whole));
        let now = (whole, change.not_before_ts_ms);
        if now != (None, None) && before != Some(now) {
            let mut statement =
                self.transaction.prepare_cached("INSERT INTO whole VALUES (?1, ?2, ?3, ?4, ?5)")?;
            statement.execute((self.organization, &key.1, self.id, whole, change.not_before_ts_ms))?;
            self.known.whole.insert(key, now);
        }
        if change.op != Op::Notice && self.change.after.is_none() && is_forgotten(change) {
            self.known.whole.retain(|(organization, _), _| *organization != self.organization);
        }
        Ok(())
    }

    /// Stores what the element is from now on. `element` is as it was.
    fn store_image(&mut self, element: KnownElement) -> rusqlite::Result<()> {
        let KnownElement { id, is_there } = element;
        let EncodedChange { before, after, .. } = self.change;
        if let Some(before) = before.as_ref().filter(|_| !is_there) {
            let mut statement = self.transaction.prepare_cached("INSERT INTO cut_version VALUES (?1, ?2)")?;
            statement.execute((self.id, before.bytes()))?;
            self.describe(id, &before.decode())?;
        }
        let remembered = self.known.elements.entry(self.organization).or_default();
        if let Some(known) = remembered.get_mut(&self.change.envelope.element_key) {
            known.is_there = after.is_some();
        }
        let Some(after) = after else { return Ok(()) };
        let mut statement = self.transaction.prepare_cached("INSERT INTO image VALUES (?1, ?2)")?;
        statement.execute((self.id, after.bytes()))?;
        // Most updates change nothing of what is described, and need not be decoded.
        if is_there && before.is_some() && self.leaves_description() {
            return Ok(());
        }
        self.describe(id, &after.decode())
    }

    /// Whether nothing that is described depends on the properties that changed.
    fn leaves_description(&self) -> bool {
        let Some(kind) = ElementType::parse(&self.change.envelope.element_type) else { return false };
        let changed = &self.change.envelope.changed;
        let is_left = |name: &String| {
            NOT_DESCRIBED.contains(&name.as_str()) || name == "role" && kind != ElementType::User
        };
        // The ends of a relationship are in its key.
        kind.is_relationship() || !changed.is_empty() && changed.iter().all(is_left)
    }

    /// What the element names, what names it, and what is special about it. Nothing of that is ever taken back.
    fn describe(&mut self, element: i64, value: &Element) -> rusqlite::Result<()> {
        let ends: Vec<&str> = value.ends().collect();
        for end in ends {
            self.mention(element, end)?;
        }
        match &value.content {
            Content::User(user) => {
                if inherited_role(user).is_some() {
                    self.mark(element, special::INHERITING_USER)?;
                }
                let email = user.email.first().map(String::as_str);
                self.name(element, [Some(user.id.as_str()), Some(&user.name), email])
            }
            Content::Workspace(workspace) => {
                if workspace.name == DEFAULT_WORKSPACE {
                    self.mark(element, special::NAMED_DEFAULT)?;
                }
                self.name(element, [Some(workspace.id.as_str()), Some(&workspace.name)])
            }
            Content::ApiKey(key) => self.describe_key(element, key),
            Content::Account(_)
            | Content::AccountHasUser(_)
            | Content::AccountHasWorkspace(_)
            | Content::UserAssignedWorkspace(..)
            | Content::UserCreatedApiKey(_)
            | Content::WorkspaceHasApiKey(_)
            | Content::Other(_) => Ok(()),
        }
    }

    fn describe_key(&mut self, element: i64, key: &ApiKey) -> rusqlite::Result<()> {
        match &key.workspace_id {
            Some(id) => self.mention(element, &ElementType::Workspace.entity_key(id))?,
            None => self.mark(element, special::WIDE_KEY)?,
        }
        if key.scope.as_deref() == Some("organization") {
            self.mark(element, special::WIDE_KEY)?;
        }
        for (id, kind) in [(&key.created_by, &key.creator_type), (&key.principal_id, &key.principal_type)] {
            if let Some(id) = id.as_deref().filter(|_| kind.as_deref() == Some(USER)) {
                self.mention(element, &ElementType::User.entity_key(id))?;
            }
        }
        self.name(element, [Some(key.id.as_str()), Some(&key.name), key.partial_key_hint.as_deref()])
    }

    fn mention(&mut self, element: i64, target: &str) -> rusqlite::Result<()> {
        let kind = target.split_once(':').and_then(|(kind, _)| ElementType::parse(kind));
        let target = self.element(target, kind)?.id;
        let mut statement =
            self.transaction.prepare_cached("INSERT OR IGNORE INTO mention VALUES (?1, ?2)")?;
        statement.execute((target, element)).map(drop)
    }

    fn mark(&self, element: i64, kind: i64) -> rusqlite::Result<()> {
        let mut statement =
            self.transaction.prepare_cached("INSERT OR IGNORE INTO special VALUES (?1, ?2, ?3)")?;
        statement.execute((self.organization, kind, element)).map(drop)
    }

    fn name<'n>(
        &self,
        element: i64,
        texts: impl IntoIterator<Item = Option<&'n str>>,
    ) -> rusqlite::Result<()> {
        let mut statement =
            self.transaction.prepare_cached("INSERT OR IGNORE INTO name VALUES (?1, ?2, ?3)")?;
        for text in texts.into_iter().flatten().filter(|text| !text.is_empty()) {
            statement.execute((self.organization, element, text.to_lowercase()))?;
        }
        Ok(())
    }
}

fn is_forgotten(change: &Envelope) -> bool {
    change.reason == Some(Reason::Forgotten)
}
