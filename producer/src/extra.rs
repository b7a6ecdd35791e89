//! Splits a JSON object into known fields and the rest. Pure.

use std::collections::BTreeMap;

use schemas::raw::Extra;

use crate::json::Json;

/// The fields of one API object. A field of the expected type is removed when it is taken. All others end up in
/// `extra`, so nothing is lost.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    left: BTreeMap<String, Json>,
    /// The prefix of each name: `created_by.` within the object `created_by`.
    prefix: String,
    extra: &'a mut Extra,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(object: BTreeMap<String, Json>, prefix: &str, extra: &'a mut Extra) -> Self {
        Self { left: object, prefix: prefix.to_owned(), extra }
    }

    /// A string; `None` if it is absent, null or not a string.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Json::Text(text) => Some(text),
            other => self.keep(name, &other),
        }
    }

    /// An array of strings, or a single string as an array of one; empty if it is absent or of another type.
    pub(crate) fn texts(&mut self, name: &str) -> Vec<String> {
        match self.take(name) {
            None => Vec::new(),
            Some(Json::Text(text)) => vec![text],
            Some(Json::Array(values)) if values.iter().all(Json::is_text) => values
                .into_iter()
                .filter_map(|value| if let Json::Text(text) = value { Some(text) } else { None })
                .collect(),
            Some(other) => self.keep(name, &other).unwrap_or_default(),
        }
    }

    /// A nested object, read by `read`; `None` if it is absent, null or not an object.
    pub(crate) fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Fields<'_>) -> T) -> Option<T> {
        match self.take(name)? {
            Json::Object(fields) => {
                let prefix = format!("{}{name}.", self.prefix);
                let mut nested = Fields::new(fields, &prefix, self.extra);
                let value = read(&mut nested);
                nested.finish();
                Some(value)
            }
            other => self.keep(name, &other),
        }
    }

    /// The names of the remaining fields.
    pub(crate) fn names(&self) -> Vec<String> {
        self.left.keys().cloned().collect()
    }

    /// Keeps the remaining fields.
    pub(crate) fn finish(self) {
        for (name, value) in self.left {
            insert(self.extra, format!("{}{name}", self.prefix), &value);
        }
    }

    /// For a known field, null is the same as absent.
    fn take(&mut self, name: &str) -> Option<Json> {
        self.left.remove(name).filter(|value| *value != Json::Null)
    }

    fn keep<T>(&mut self, name: &str, value: &Json) -> Option<T> {
        insert(self.extra, format!("{}{name}", self.prefix), value);
        None
    }
}

/// A name with a dot may clash with that of a nested field. It then gets an apostrophe for each earlier one.
fn insert(extra: &mut Extra, mut name: String, value: &Json) {
    while extra.contains_key(&name) {
        name.push('\'');
    }
    extra.insert(name, value.canonical());
}
