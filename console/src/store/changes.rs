//! The changes, newest first, with what was before and after.

use std::{collections::BTreeMap, fmt, str::FromStr};

use graph::jupiterone::properties;
use rusqlite::{OptionalExtension as _, Row, types::Value as Parameter};
use schemas::{
    change::{Op, Reason},
    codec::decode,
    element::{Element, ElementType},
};
use serde_json::Value;

use super::{
    Organization, StoreError, View,
    names::Named,
    schema::{self, type_number},
};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// `Envelope::op`.
    pub op: Option<String>,
    /// Type of the element.
    pub kind: Option<ElementType>,
    /// `Envelope::reason`.
    pub reason: Option<String>,
    /// ID of a listing.
    pub listing: Option<String>,
    /// Only what a person decided.
    pub decided: bool,
    /// Key of an element: its changes, and those of the relationships and keys that name it.
    pub element: Option<String>,
    /// Up to this revision.
    pub until: Option<i64>,
    /// Older than the change there.
    pub before: Option<Place>,
    /// Newer than the change there.
    pub after: Option<Place>,
}

/// Where a change of an organization is, as long as the topic is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The highest revision up to it.
    pub revision: i64,
    /// In the organization's partition.
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.revision, self.offset)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (revision, offset) = text.split_once('-').ok_or(())?;
        let number = |text: &str| text.parse::<i64>().map_err(drop);
        Ok(Self { revision: number(revision)?, offset: number(offset)? })
    }
}

/// A change as a page shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub(crate) id: i64,
    pub place: Place,
    pub revision: i64,
    pub ts_ms: i64,
    pub op: Op,
    pub reason: Option<Reason>,
    pub collection: String,
    pub listing: Option<String>,
    pub decision_by: Option<String>,
    pub not_before_ts_ms: Option<i64>,
    pub not_after_ts_ms: Option<i64>,
    pub partition: i32,
    pub element_key: String,
    pub kind: Option<ElementType>,
    /// What changed: name of the property, before, after.
    pub differences: Vec<(String, Option<Value>, Option<Value>)>,
    /// The element after the change; before it, if the change deleted it.
    pub element: Option<Element>,
    /// What the element is called, or what its ends are.
    pub names: BTreeMap<String, Named>,
}

impl View<'_> {
    /// At most `most` changes, the newest first; with [`Filter::after`], the oldest first.
    pub fn changes(
        &self,
        organization: &Organization,
        filter: &Filter,
        most: usize,
    ) -> Result<Vec<Change>, StoreError> {
        let mut parameters: Vec<Parameter> = vec![organization.key.into()];
        let mut conditions = vec!["c.organization = ?1".to_owned()];
        let mut add = |condition: &str, parameter: Parameter| {
            parameters.push(parameter);
            conditions.push(condition.replace('?', &format!("?{}", parameters.len())));
        };
        if let Some(op) = &filter.op {
            add("c.op = ?", op.clone().into());
        }
        if let Some(kind) = filter.kind {
            add("e.type = ?", type_number(kind).into());
        }
        if let Some(reason) = &filter.reason {
            add("c.reason = ?", reason.clone().into());
        }
        if let Some(listing) = &filter.listing {
            add("c.listing = ?", listing.clone().into());
        }
        if let Some(until) = filter.until {
            add("c.high_revision <= ?", until.into());
        }
        if let Some(before) = filter.before {
            add("c.high_revision <= ?", before.revision.into());
            add("c.offset < ?", before.offset.into());
        }
        if let Some(after) = filter.after {
            add("c.high_revision >= ?", after.revision.into());
            add("c.offset > ?", after.offset.into());
        }
        if let Some(key) = &filter.element {
            let id = schema::element_id(self.connection, organization.key, key)?.unwrap_or_default();
            add("c.element IN (SELECT ? UNION ALL SELECT element FROM mention WHERE target = ?)", id.into());
        }
        if filter.decided {
            conditions.push("c.decision_by IS NOT NULL".to_owned());
        }
        let order = if filter.after.is_some() { "" } else { "DESC" };
        let by_element = if filter.element.is_some() { "+" } else { "" };
        let sql = format!(
            "SELECT c.*, e.key AS element_key, e.type FROM change c JOIN element e ON e.id = c.element
             WHERE {} ORDER BY {by_element}c.high_revision {order}, c.id {order} LIMIT {most}",
            conditions.join(" AND ")
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let found = statement
            .query_map(rusqlite::params_from_iter(parameters), read)?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        found
            .into_iter()
            .map(|(change, element, changed)| self.filled(organization, change, element, changed.as_deref()))
            .collect()
    }

    fn filled(
        &self,
        organization: &Organization,
        mut change: Change,
        element: i64,
        changed: Option<&str>,
    ) -> Result<Change, StoreError> {
        let element_of = |value: Option<Vec<u8>>| value.map(|value| decode::<Element>(&value)).transpose();
        let after = element_of(schema::image(self.connection, element, change.id)?)?;
        let mut before = None;
        if change.op != Op::Notice {
            before = schema::image(self.connection, element, change.id - 1)?;
            if before.is_none() {
                let mut cut =
                    self.connection.prepare_cached("SELECT value FROM cut_version WHERE change = ?1")?;
                before = cut.query_row([change.id], |row| row.get(0)).optional()?;
            }
        }
        let before = element_of(before)?;
        if let (Some(changed), Some(before), Some(after)) = (changed, &before, &after) {
            let (before, after) = (properties(before), properties(after));
            let difference =
                |name: &str| (name.to_owned(), before.get(name).cloned(), after.get(name).cloned());
            change.differences = changed.split('\n').map(difference).collect();
        }
        change.element = after.or(before);
        let mut keys: Vec<String> = vec![change.element_key.clone()];
        keys.extend(change.element.iter().flat_map(Element::ends).map(str::to_owned));
        for key in keys {
            if let Some(id) = schema::element_id(self.connection, organization.key, &key)? {
                let names = self.names_at([id], change.id)?;
                change.names.extend(names.into_values().map(|named| (key.clone(), named)));
            }
        }
        Ok(change)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<(Change, i64, Option<String>)> {
    let number: i64 = row.get("type")?;
    let change = Change {
        id: row.get("id")?,
        place: Place { revision: row.get("high_revision")?, offset: row.get("offset")? },
        revision: row.get("revision")?,
        ts_ms: row.get("ts_ms")?,
        op: row.get_ref("op")?.as_str()?.into(),
        reason: row.get_ref("reason")?.as_str_or_null()?.map(Reason::from),
        collection: row.get("collection")?,
        listing: row.get("listing")?,
        decision_by: row.get("decision_by")?,
        not_before_ts_ms: row.get("not_before_ts_ms")?,
        not_after_ts_ms: row.get("not_after_ts_ms")?,
        partition: row.get("partition")?,
        element_key: row.get("element_key")?,
        kind: schema::numbered_type(number),
        differences: Vec::new(),
        element: None,
        names: BTreeMap::new(),
    };
    Ok((change, row.get("element")?, row.get("changed")?))
}
