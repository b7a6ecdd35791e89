//! The relationships of elements, which are deleted with them.

use schemas::element::ElementType;

use super::{
    Organization, StoreError, View,
    schema::{image_at, numbered_type, type_number},
};

/// A relationship that exists now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relationship {
    /// Key of the element that was asked about.
    pub end: String,
    /// Key of the relationship.
    pub key: String,
    /// Its type.
    pub kind: ElementType,
}

impl View<'_> {
    /// The relationships that begin or end at one of these elements. One between two of them comes twice.
    pub fn relationships(
        &self,
        organization: &Organization,
        keys: &[&str],
    ) -> Result<Vec<Relationship>, StoreError> {
        let json = |list: serde_json::Result<String>| list.unwrap_or_default();
        let kinds = ElementType::ALL.into_iter().filter(|kind| kind.is_relationship());
        let kinds: Vec<i64> = kinds.map(type_number).collect();
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT t.key, e.key, e.type
             FROM element t JOIN mention m ON m.target = t.id JOIN element e ON e.id = m.element
             WHERE t.organization = ?1 AND t.key IN (SELECT value FROM json_each(?3))
             AND e.type IN (SELECT value FROM json_each(?4)) AND {} IS NOT NULL
             ORDER BY t.key, e.key",
            image_at("e.id")
        ))?;
        let parameters = (
            organization.key,
            i64::MAX,
            json(serde_json::to_string(keys)),
            json(serde_json::to_string(&kinds)),
        );
        let found = statement.query_map(parameters, |row| {
            let number = row.get(2)?;
            let kind = numbered_type(number).ok_or(rusqlite::Error::IntegralValueOutOfRange(2, number))?;
            Ok(Relationship { end: row.get(0)?, key: row.get(1)?, kind })
        })?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }
}
