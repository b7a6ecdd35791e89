//! Where a moment is between the changes.

use graph::access::Moment;
use rusqlite::{OptionalExtension as _, Params, Row};

use super::{Organization, StoreError, View};

/// Behind which change of an organization a moment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// Id of the newest change up to the moment; 0: there is none.
    pub(super) change: i64,
    /// The highest time of the changes up to the moment (ms since 1970).
    pub(super) high_ts_ms: i64,
    /// Revision and time (ms since 1970) of the newest change up to the moment, without notices.
    pub(super) observed: Option<(i64, i64)>,
    /// Id of the newest change up to the moment that forgot the organization; 0: there is none.
    pub(super) forgotten: i64,
}

impl View<'_> {
    pub(super) fn position(
        &self,
        organization: &Organization,
        moment: Moment,
    ) -> Result<Position, StoreError> {
        let key = organization.key;
        let (column, most) = match moment {
            Moment::Now => ("high_revision", i64::MAX),
            Moment::Revision(revision) => ("high_revision", revision),
            Moment::Time(ts_ms) => ("high_ts_ms", ts_ms),
        };
        let newest = |columns: &str, filter: &str| {
            let sql = format!(
                "SELECT {columns} FROM change WHERE organization = ?1 AND {column} <= ?2 {filter}
                 ORDER BY {column} DESC, id DESC LIMIT 1"
            );
            self.newest(&sql, [key, most])
        };
        let observed = newest("revision, ts_ms", "AND op <> 'm'")?;
        let newest = newest("id, high_ts_ms", "")?;
        let (change, high_ts_ms) = newest.unwrap_or((0, i64::MIN));
        let forgotten = self.newest(
            "SELECT id, ts_ms FROM change WHERE organization = ?1 AND reason = 'forgotten' AND id <= ?2
             ORDER BY id DESC LIMIT 1",
            [key, change],
        )?;
        Ok(Position { change, high_ts_ms, observed, forgotten: forgotten.map_or(0, |(id, _)| id) })
    }

    fn newest(&self, sql: &str, parameters: impl Params) -> Result<Option<(i64, i64)>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        Ok(statement.query_row(parameters, read).optional()?)
    }
}
