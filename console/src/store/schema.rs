//! The tables.

use rusqlite::{Connection, OptionalExtension as _, Row};

use schemas::element::ElementType;

use super::Organization;

/// Of the tables below and of what is derived when a change is read; another one is read from scratch.
pub(super) const VERSION: i64 = 4;

/// What makes an element worth loading for every question.
pub(super) mod special {
    /// A user whose role in the organization once was one that every workspace inherits.
    pub(in crate::store) const INHERITING_USER: i64 = 1;
    /// A key that once did not name its workspace.
    pub(in crate::store) const WIDE_KEY: i64 = 2;
    /// A workspace that once had the default workspace's name.
    pub(in crate::store) const NAMED_DEFAULT: i64 = 3;
}

pub(super) const TABLES: &str = "
-- The topic that is read.
CREATE TABLE origin (topic TEXT NOT NULL) STRICT;
CREATE TABLE bookmark (
    partition INTEGER PRIMARY KEY,
    -- The oldest offset that there was when reading began.
    first_offset INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    -- The newest change that was read: another topic has another change there.
    last_offset INTEGER,
    last_change TEXT
) STRICT;
CREATE TABLE organization (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    first_revision INTEGER NOT NULL,
    first_ts_ms INTEGER NOT NULL,
    newest_revision INTEGER NOT NULL,
    newest_ts_ms INTEGER NOT NULL,
    longest_window_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE element (
    id INTEGER PRIMARY KEY,
    organization INTEGER NOT NULL,
    key TEXT NOT NULL,
    type INTEGER NOT NULL,
    UNIQUE (organization, key)
) STRICT;
CREATE INDEX element_by_type ON element (organization, type);
-- One organization's changes have ascending ids.
CREATE TABLE change (
    id INTEGER PRIMARY KEY,
    organization INTEGER NOT NULL,
    element INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    ts_ms INTEGER NOT NULL,
    -- The highest so far, which only ascend.
    high_revision INTEGER NOT NULL,
    high_ts_ms INTEGER NOT NULL,
    op TEXT NOT NULL,
    reason TEXT,
    collection TEXT NOT NULL,
    listing TEXT,
    decision_by TEXT,
    changed TEXT,
    not_before_ts_ms INTEGER,
    not_after_ts_ms INTEGER,
    -- 0: access does not depend on it; 1: something is created; 2: something is updated or deleted.
    about_access INTEGER NOT NULL,
    -- Whether the element exists after the change, as its image says; NULL: a notice, after which it is as before.
    is_there INTEGER,
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL
) STRICT;
CREATE INDEX change_by_revision ON change (organization, high_revision);
CREATE INDEX change_by_time ON change (organization, high_ts_ms);
-- The only index that is written at random places: it alone says from when to when an image is valid.
CREATE INDEX change_by_element ON change (element, id, is_there);
CREATE INDEX change_forgotten ON change (organization) WHERE reason = 'forgotten';
CREATE INDEX change_undated ON change (organization, about_access) WHERE not_before_ts_ms IS NULL AND op <> 'm';
-- An element after a change. It is valid until the next change of the element, except for notices.
CREATE TABLE image (
    change INTEGER PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;
-- What an element was before a change, where retention has cut the change that says since when.
CREATE TABLE cut_version (
    change INTEGER PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;
-- The elements that name an element, or once did.
CREATE TABLE mention (
    target INTEGER NOT NULL,
    element INTEGER NOT NULL,
    PRIMARY KEY (target, element)
) STRICT, WITHOUT ROWID;
CREATE TABLE special (
    organization INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    element INTEGER NOT NULL,
    PRIMARY KEY (organization, kind, element)
) STRICT, WITHOUT ROWID;
-- What a person may type, in lower case.
CREATE TABLE name (
    organization INTEGER NOT NULL,
    element INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (organization, element, text)
) STRICT, WITHOUT ROWID;
-- When a collection was listed whole, as changes prove it: a row where that differs.
CREATE TABLE whole (
    organization INTEGER NOT NULL,
    collection TEXT NOT NULL,
    change INTEGER NOT NULL,
    whole_ts_ms INTEGER,
    not_before_ts_ms INTEGER,
    PRIMARY KEY (organization, collection, change)
) STRICT, WITHOUT ROWID;
CREATE INDEX whole_by_window ON whole (organization, collection, not_before_ts_ms);
CREATE TABLE day (
    organization INTEGER NOT NULL,
    -- Since 1970, in UTC.
    day INTEGER NOT NULL,
    changes INTEGER NOT NULL,
    newest_revision INTEGER NOT NULL,
    PRIMARY KEY (organization, day)
) STRICT, WITHOUT ROWID;
";

/// How far a partition was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bookmark {
    /// The oldest offset that there was when reading began.
    pub first_offset: i64,
    /// Everything before it was read.
    pub next_offset: i64,
    /// Offset and ID of the newest change that was read.
    pub last: Option<(i64, String)>,
}

pub(super) fn organizations(connection: &Connection) -> rusqlite::Result<Vec<Organization>> {
    let mut statement = connection.prepare_cached("SELECT * FROM organization ORDER BY key")?;
    let read = |row: &Row<'_>| {
        Ok(Organization {
            key: row.get("key")?,
            id: row.get("id")?,
            name: row.get("name")?,
            first_revision: row.get("first_revision")?,
            first_ts_ms: row.get("first_ts_ms")?,
            newest_revision: row.get("newest_revision")?,
            newest_ts_ms: row.get("newest_ts_ms")?,
            longest_window_ms: row.get("longest_window_ms")?,
        })
    };
    statement.query_map([], read)?.collect()
}

/// SQL for the change whose image an element is at the change `?2`; NULL if the element does not exist then. `element` is
/// SQL for the element's id.
pub(super) fn image_at(element: &str) -> String {
    format!(
        "(SELECT CASE WHEN last.is_there THEN last.id END FROM change last
          WHERE last.element = {element} AND last.id <= ?2 AND last.is_there IS NOT NULL
          ORDER BY last.id DESC LIMIT 1)"
    )
}

/// Of which topic a store of this version is; `None`: it is of another version.
pub(super) fn origin(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != VERSION {
        return Ok(None);
    }
    connection.query_row("SELECT topic FROM origin", [], |row| row.get(0)).optional()
}

/// A type as the tables have it; 0 is one of a newer version.
pub(super) fn type_number(kind: ElementType) -> i64 {
    match kind {
        ElementType::Account => 1,
        ElementType::User => 2,
        ElementType::Workspace => 3,
        ElementType::ApiKey => 4,
        ElementType::AccountHasUser => 5,
        ElementType::AccountHasWorkspace => 6,
        ElementType::UserAssignedWorkspace => 7,
        ElementType::UserCreatedApiKey => 8,
        ElementType::WorkspaceHasApiKey => 9,
    }
}

/// The type of that number.
pub(super) fn numbered_type(number: i64) -> Option<ElementType> {
    ElementType::ALL.into_iter().find(|kind| type_number(*kind) == number)
}

/// The last change of an element up to `until`, except for notices, and whether the element exists after it.
pub(super) fn last_change(
    connection: &Connection,
    element: i64,
    until: i64,
) -> rusqlite::Result<Option<(i64, bool)>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, is_there FROM change WHERE element = ?1 AND id <= ?2 AND is_there IS NOT NULL
         ORDER BY id DESC LIMIT 1",
    )?;
    statement.query_row((element, until), |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// What an element is after a change, if it exists then.
pub(super) fn image(connection: &Connection, element: i64, change: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    let sql = format!("SELECT value FROM image WHERE change = {}", image_at("?1"));
    connection.prepare_cached(&sql)?.query_row((element, change), |row| row.get(0)).optional()
}

/// What an element last was up to a change, whether or not it still exists.
pub(super) fn last_image(
    connection: &Connection,
    element: i64,
    until: i64,
) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached(
        "SELECT i.value FROM change c JOIN image i ON i.change = c.id
         WHERE c.element = ?1 AND c.id <= ?2 AND c.is_there ORDER BY c.id DESC LIMIT 1",
    )?;
    statement.query_row((element, until), |row| row.get(0)).optional()
}

/// The element's id, if it was ever named.
pub(super) fn element_id(
    connection: &Connection,
    organization: i64,
    key: &str,
) -> rusqlite::Result<Option<i64>> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM element WHERE organization = ?1 AND key = ?2")?;
    statement.query_row((organization, key), |row| row.get(0)).optional()
}
