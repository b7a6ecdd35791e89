//! Reads a table of the configuration, and reports problems instead of stopping at the first.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use toml::{Table, Value};

use super::errors::Problem;
use super::secret::SecretSource;

/// Lowest similarity (0 to 1, Jaro-Winkler) at which a known key is suggested for an unknown one.
const SIMILAR: f64 = 0.75;

/// What all sections of one load share.
#[derive(Default)]
pub(super) struct Context {
    /// Problems found so far.
    pub(super) problems: RefCell<Vec<Problem>>,
    /// Which variable set the value at a path.
    pub(super) variables: BTreeMap<String, String>,
    /// The configuration file's folder, where relative paths start.
    pub(super) folder: PathBuf,
    /// Whether the brokers' addresses may be missing.
    pub(super) asks_no_broker: bool,
}

impl Context {
    pub(super) fn report(&self, path: &str, message: impl Into<String>) {
        let key = match self.variables.get(path) {
            Some(variable) => format!("{path} ({variable})"),
            None => path.to_owned(),
        };
        self.problems.borrow_mut().push(Problem { key, message: message.into() });
    }
}

/// One table, each value of which is taken once by its key.
pub(super) struct TableReader<'a> {
    pub(super) context: &'a Context,
    pub(super) path: String,
    pub(super) table: Table,
}

impl<'a> TableReader<'a> {
    /// Reports the keys that are not `known`.
    pub(super) fn new(context: &'a Context, path: &str, mut table: Table, known: &[&str]) -> Self {
        let unknown: Vec<String> =
            table.keys().filter(|key| !known.contains(&key.as_str())).cloned().collect();
        let section = Self { context, path: path.to_owned(), table: Table::new() };
        for key in unknown {
            table.remove(&key);
            context.report(&section.path_of(&key), unknown_key(&key, known));
        }
        Self { table, ..section }
    }

    /// The full path of a key.
    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn report(&self, key: &str, message: impl Into<String>) {
        self.context.report(&self.path_of(key), message);
    }

    /// A nested table; an absent one is empty.
    pub(super) fn section(&mut self, key: &str, known: &[&str]) -> TableReader<'a> {
        let table = match self.table.remove(key) {
            Some(Value::Table(table)) => table,
            Some(Value::String(text)) if text.is_empty() => Table::new(),
            None => Table::new(),
            Some(other) => {
                self.report(key, format!("is {}; use a table of {}", kind(&other), known.join(", ")));
                Table::new()
            }
        };
        TableReader::new(self.context, &self.path_of(key), table, known)
    }

    /// A string; an empty one means the default, like an absent one.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.table.remove(key)? {
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            other => {
                self.report(key, format!("is {}; use a string in quotes", kind(&other)));
                None
            }
        }
    }

    /// A list of strings; the environment has them in one, separated by commas.
    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        let texts: Option<Vec<String>> = match self.table.remove(key) {
            None => Some(Vec::new()),
            Some(Value::String(text)) if text.is_empty() => Some(Vec::new()),
            Some(Value::String(text)) if self.is_from_environment(key) => {
                Some(text.split(',').map(|text| text.trim().to_owned()).collect())
            }
            Some(Value::Array(list)) => list.iter().map(|it| it.as_str().map(str::to_owned)).collect(),
            Some(_) => None,
        };
        let texts = texts.filter(|texts| texts.iter().all(|text| !text.is_empty()));
        texts.unwrap_or_else(|| {
            self.report(key, "is not a list of strings; use one such as [\"security\", \"platform\"]");
            Vec::new()
        })
    }

    /// Whether something is wrong with a value, which is said already.
    pub(super) fn has_problem(&self, key: &str) -> bool {
        let path = self.path_of(key);
        self.context.problems.borrow().iter().any(|problem| problem.key.starts_with(&path))
    }

    /// A value that is sent as a header: visible ASCII characters.
    pub(super) fn header(&mut self, key: &str) -> Option<String> {
        self.parsed(key, |text| {
            let is_sendable = text.bytes().all(|byte| byte.is_ascii_graphic());
            let refused = "has characters that an HTTP header cannot contain; use ASCII letters, digits and punctuation";
            if is_sendable { Ok(text.to_owned()) } else { Err(refused.to_owned()) }
        })
    }

    /// A string that `parse` accepts.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(&self.text(key)?) {
            Ok(value) => Some(value),
            Err(message) => {
                self.report(key, message);
                None
            }
        }
    }

    /// A number within bounds.
    pub(super) fn number<T>(&mut self, key: &str, allowed: RangeInclusive<T>) -> Option<T>
    where
        T: FromStr + PartialOrd + Display,
    {
        let written = match self.table.remove(key)? {
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::String(text) if text.is_empty() => return None,
            Value::String(text) if self.is_from_environment(key) => text,
            other => {
                let message = format!("is {}; use a number {}", kind(&other), range(&allowed));
                self.report(key, message);
                return None;
            }
        };
        let number = written.trim().parse().ok().filter(|number| allowed.contains(number));
        if number.is_none() {
            self.report(key, format!("{written} is not allowed; use a number {}", range(&allowed)));
        }
        number
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        let value = self.table.remove(key)?;
        match &value {
            Value::Boolean(value) => return Some(*value),
            Value::String(text) if text.is_empty() => return None,
            Value::String(text) if self.is_from_environment(key) => {
                if let Ok(value) = text.trim().parse() {
                    return Some(value);
                }
            }
            _ => {}
        }
        self.report(key, format!("is {}; use true or false", kind(&value)));
        None
    }

    /// Where a secret is stored: `{ env = "…" }`, `{ file = "…" }`, or the secret itself in the variable that overrides
    /// this key.
    pub(super) fn secret(&mut self, key: &str) -> Option<SecretSource> {
        const HOW: &str = "use { env = \"NAME\" } or { file = \"PATH\" }";
        let path = self.path_of(key);
        match self.table.remove(key)? {
            Value::String(text) if text.is_empty() => None,
            Value::String(_) => {
                let variable = self.context.variables.get(&path).cloned();
                if variable.is_none() {
                    self.report(key, format!("a secret must not be in this file; {HOW}"));
                }
                variable.map(SecretSource::Env)
            }
            Value::Table(table) => {
                let mut source = TableReader::new(self.context, &path, table, &["env", "file"]);
                let has_folder = source.has_separator("file");
                match (source.text("env"), source.path("file")) {
                    (Some(name), None) => Some(SecretSource::Env(name)),
                    (None, Some(path)) if has_folder => Some(SecretSource::File(path)),
                    (None, Some(path)) => Some(SecretSource::Beside(path)),
                    (None, None) => None,
                    (Some(_), Some(_)) => {
                        self.report(key, "has both env and file; keep one of them");
                        None
                    }
                }
            }
            other => {
                self.report(key, format!("is {}; {HOW}", kind(&other)));
                None
            }
        }
    }

    /// A path. A relative one starts at the configuration file's folder, or at the working directory if the environment
    /// set it.
    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        let from_environment = self.is_from_environment(key);
        let text = self.text(key)?;
        Some(if from_environment { PathBuf::from(text) } else { self.context.folder.join(text) })
    }

    fn has_separator(&self, key: &str) -> bool {
        matches!(self.table.get(key), Some(Value::String(text)) if text.contains(std::path::is_separator))
    }

    fn is_from_environment(&self, key: &str) -> bool {
        self.context.variables.contains_key(&self.path_of(key))
    }
}

/// The kind of a value, for a message that must not show the value.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a time",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

fn range<T: Display>(allowed: &RangeInclusive<T>) -> String {
    format!("from {} to {}", allowed.start(), allowed.end())
}

/// The message about an unknown key.
fn unknown_key(key: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(key, candidate), *candidate))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(one, _), (two, _)| one.total_cmp(two));
    match nearest {
        Some((_, candidate)) => format!("unknown key; did you mean {candidate}?"),
        None => format!("unknown key; known here: {}", known.join(", ")),
    }
}
