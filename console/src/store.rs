//! The history of the changes topic in SQLite: a cache that may be deleted at any time, and is then read again.
//!
//! Every element has versions, each valid from one change to another. So the elements around a workspace, a person or a key
//! at any moment are a few look-ups in indexes. How far the topic was read is in the same transaction as what was read.

mod moment;
mod names;
mod relationships;
mod schema;
mod subgraph;
mod timeline;
mod write;

pub mod changes;

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};
use schemas::codec::DecodeError;
use thiserror::Error;

pub use names::{Named, NamedType};
pub use relationships::Relationship;
pub use schema::Bookmark;
pub use timeline::{Day, Timeline};
pub use write::{Read, Writer};

/// How long a reader waits while the file is prepared.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of the file a reader maps in place of copying its pages (bytes): the most that SQLite can.
const MAPPED: i64 = 0x7fff_0000;
/// Connections that are kept for the next page; more are opened when they are needed, and closed after.
const KEPT_READERS: usize = 8;

/// Why the store cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file or its folder cannot be used.
    #[error("cannot use {path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Another console uses it.
    #[error("another console uses {0}; set console.store to another file")]
    Taken(PathBuf),
    /// The file is not a store, or a store of another version.
    #[error("{0} is not a store of this version; `anthropic-graph console` makes one, or reads it again")]
    Version(PathBuf),
    /// The file is a store of another topic.
    #[error("{path} is a store of the topic {found}, not of {asked}")]
    Topic { path: PathBuf, found: String, asked: String },
    #[error("cannot use the console's store")]
    Sqlite(#[from] rusqlite::Error),
    /// A value that was stored is damaged.
    #[error("the console's store is damaged; delete its file, and the console reads the topic again")]
    Damaged(#[from] DecodeError),
}

/// The store, for those who read it. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    path: PathBuf,
    readers: Arc<Mutex<Vec<Connection>>>,
    /// Held by the one who writes, as long as the store is used.
    _lock: Option<Arc<File>>,
}

/// One consistent view of the store.
#[derive(Debug)]
pub struct View<'a> {
    connection: &'a Connection,
}

/// An organization that the changes topic knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    pub(crate) key: i64,
    pub id: String,
    /// In the configuration, by its newest change.
    pub name: String,
    /// Of the first change there is: retention has cut what was before, unless it is 1.
    pub first_revision: i64,
    /// When that was observed (ms since 1970).
    pub first_ts_ms: i64,
    /// Of the newest change.
    pub newest_revision: i64,
    /// When that was observed (ms since 1970).
    pub newest_ts_ms: i64,
    /// The longest time between the beginning of a change's exposure window and when it was observed (ms).
    pub(crate) longest_window_ms: i64,
}

impl Store {
    /// Opens the store of a topic, or makes an empty one where there is none, or one of another topic or version. The
    /// writer is the only one.
    pub fn open(path: &Path, topic: &str) -> Result<(Self, Writer), StoreError> {
        let failed = |source| StoreError::File { path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let lock = lock(path)?;
        // Names and e-mail addresses are in it.
        let own =
            |path: &Path| OpenOptions::new().write(true).create(true).mode(0o600).truncate(false).open(path);
        own(path).map_err(failed)?;
        let writer = Writer::open(path, topic)?;
        let store = Self { path: path.to_owned(), readers: Arc::default(), _lock: Some(Arc::new(lock)) };
        Ok((store, writer))
    }

    /// Opens the store of a topic only to read it, also while a console writes it.
    pub fn read(path: &Path, topic: &str) -> Result<Self, StoreError> {
        let failed = |source| StoreError::File { path: path.to_owned(), source };
        File::open(path).map_err(failed)?;
        let store = Self { path: path.to_owned(), readers: Arc::default(), _lock: None };
        match schema::origin(&store.connect()?) {
            Ok(Some(found)) if found == topic => Ok(store),
            Ok(Some(found)) => {
                Err(StoreError::Topic { path: path.to_owned(), found, asked: topic.to_owned() })
            }
            Ok(None) => Err(StoreError::Version(path.to_owned())),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
                Err(StoreError::Version(path.to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a consistent view to `query`.
    pub fn view<T>(&self, ask: impl FnOnce(&View<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let kept = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = kept.map_or_else(|| self.connect(), Ok)?;
        let transaction = connection.unchecked_transaction()?;
        let answer = ask(&View { connection: &connection });
        drop(transaction);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < KEPT_READERS {
            readers.push(connection);
        }
        answer
    }

    /// All organizations, by name.
    pub fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        self.view(|view| {
            let all = view.organizations()?;
            Ok(all)
        })
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "mmap_size", MAPPED)?;
        // A statement is prepared once, whatever its parameters are.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }
}

/// Locks a file next to the store, so that no second console writes it.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let failed = |source| StoreError::File { path: path.to_owned(), source };
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(PathBuf::from(name));
    let file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Taken(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

impl View<'_> {
    /// All organizations, by name.
    pub fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        let mut all = schema::organizations(self.connection)?;
        all.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Ok(all)
    }

    /// The organization of that ID or name; the ID wins.
    pub fn organization(&self, text: &str) -> Result<Option<Organization>, StoreError> {
        let all = self.organizations()?;
        let by_id = all.iter().position(|it| it.id == text);
        let found = by_id.or_else(|| all.iter().position(|it| it.name == text));
        Ok(found.map(|index| all[index].clone()))
    }

    /// Id of the newest change of all; 0: there is none.
    pub fn newest_change(&self) -> Result<i64, StoreError> {
        let newest = self.connection.query_row("SELECT max(id) FROM change", [], |row| row.get(0));
        Ok(newest.map(Option::unwrap_or_default)?)
    }
}
