//! How many changes there were when, and where the neighbors of a moment are.

use graph::access::{Moment, Question};
use rusqlite::OptionalExtension as _;
use schemas::element::ElementType;

use super::{
    Organization, StoreError, View,
    schema::{self, special, type_number},
};

/// A day with changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Since 1970, in UTC.
    pub day: i64,
    pub changes: i64,
    /// The last revision of the day.
    pub newest_revision: i64,
}

/// The changes around a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Every day with changes, in order.
    pub days: Vec<Day>,
    /// The newest change up to the moment that may concern the question.
    pub from: Option<Neighbor>,
    /// The first change after the moment that may concern the question.
    pub to: Option<Neighbor>,
}

/// A change that begins or ends what is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbor {
    pub revision: i64,
    /// When it was observed (ms since 1970).
    pub ts_ms: i64,
    /// It happened at that time or later; `None`: it is unknown how much earlier (ms since 1970).
    pub not_before_ts_ms: Option<i64>,
}

impl View<'_> {
    /// The days with changes, and the changes between which nothing concerns the question. A change that is no neighbor
    /// cannot concern it; a neighbor need not.
    pub fn timeline(
        &self,
        organization: &Organization,
        question: &Question,
        moment: Moment,
    ) -> Result<Timeline, StoreError> {
        let position = self.position(organization, moment)?;
        Ok(Timeline {
            days: self.days(organization)?,
            from: self.neighbor(organization, question, position.change, Direction::Back)?,
            to: self.neighbor(organization, question, position.change, Direction::Forth)?,
        })
    }

    fn days(&self, organization: &Organization) -> Result<Vec<Day>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT day, changes, newest_revision FROM day WHERE organization = ?1 ORDER BY day",
        )?;
        let days = statement.query_map([organization.key], |row| {
            Ok(Day { day: row.get(0)?, changes: row.get(1)?, newest_revision: row.get(2)? })
        })?;
        Ok(days.collect::<rusqlite::Result<_>>()?)
    }

    fn neighbor(
        &self,
        organization: &Organization,
        question: &Question,
        change: i64,
        direction: Direction,
    ) -> Result<Option<Neighbor>, StoreError> {
        let centers = self.centers(organization, question)?;
        let order = match direction {
            Direction::Back => "c.id <= ?2 ORDER BY c.high_revision DESC, c.id DESC",
            Direction::Forth => "c.id > ?2 ORDER BY c.high_revision, c.id",
        };
        // A membership, or the place of a key, concerns those whom it names, and through the default workspace everybody.
        let sql = format!(
            "SELECT c.revision, c.ts_ms, c.not_before_ts_ms, e.type, c.element
             FROM change c JOIN element e ON e.id = c.element
             WHERE c.organization = ?1 AND c.about_access <> 0
             AND c.high_revision {} (SELECT coalesce(max(high_revision), 0) FROM change WHERE id = ?2) AND {order}",
            match direction {
                Direction::Back => "<=",
                Direction::Forth => ">=",
            }
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut is_named = self.connection.prepare_cached(
            "SELECT 1 FROM mention m WHERE m.element = ?1 AND m.target IN (SELECT value FROM json_each(?2))",
        )?;
        let centers_json = serde_json::to_string(&centers).unwrap_or_default();
        let mut rows = statement.query((organization.key, change))?;
        while let Some(row) = rows.next()? {
            let kind: i64 = row.get(3)?;
            let is_link = kind == type_number(ElementType::UserAssignedWorkspace)
                || kind == type_number(ElementType::WorkspaceHasApiKey);
            let concerns = centers.is_empty()
                || !is_link
                || is_named
                    .query_row((row.get::<_, i64>(4)?, &centers_json), |_| Ok(()))
                    .optional()?
                    .is_some();
            if concerns {
                let (revision, ts_ms, not_before_ts_ms) = (row.get(0)?, row.get(1)?, row.get(2)?);
                return Ok(Some(Neighbor { revision, ts_ms, not_before_ts_ms }));
            }
        }
        Ok(None)
    }

    /// What the question names, and the workspaces of which one may be the default one; empty: everything.
    fn centers(&self, organization: &Organization, question: &Question) -> Result<Vec<i64>, StoreError> {
        // A key of the organization reaches what its principal reaches, who is not named.
        if question.workspace.is_none() && (question.user.is_none() || question.api_key.is_some()) {
            return Ok(Vec::new());
        }
        let mut centers = Vec::new();
        let named = [
            question.workspace.as_deref().map(|id| ElementType::Workspace.entity_key(id)),
            question.user.as_deref().map(|id| ElementType::User.entity_key(id)),
        ];
        for key in named.into_iter().flatten() {
            centers.extend(schema::element_id(self.connection, organization.key, &key)?);
        }
        if centers.is_empty() {
            return Ok(Vec::new());
        }
        // Users whose keys of the organization they created for others are rare: a key that is wide concerns everybody.
        let wide = question.user.is_some() && self.has_wide_key(&centers)?;
        if wide {
            return Ok(Vec::new());
        }
        let mut statement = self
            .connection
            .prepare_cached("SELECT element FROM special WHERE organization = ?1 AND kind = ?2")?;
        let defaults = statement
            .query_map((organization.key, special::NAMED_DEFAULT), |row| row.get::<_, i64>(0))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        centers.extend(defaults);
        Ok(centers)
    }

    fn has_wide_key(&self, centers: &[i64]) -> Result<bool, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT 1 FROM mention m JOIN special s ON s.element = m.element AND s.kind = ?2 WHERE m.target = ?1",
        )?;
        for center in centers {
            if statement.query_row((center, special::WIDE_KEY), |_| Ok(())).optional()?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Back,
    Forth,
}
