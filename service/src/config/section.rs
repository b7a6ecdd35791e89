//! Reading one table of the configuration, reporting instead of stopping.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use toml::{Table, Value};

use super::errors::Problem;
use super::secret::SecretSource;

/// Least similarity (0 to 1, Jaro-Winkler) at which a known key is proposed for an unknown one.
const SIMILAR: f64 = 0.75;

/// What all sections of one load share.
#[derive(Default)]
pub(super) struct Context {
    /// Found so far.
    pub(super) problems: RefCell<Vec<Problem>>,
    /// Which variable set the value at a path.
    pub(super) variables: BTreeMap<String, String>,
    /// The configuration file's folder: relative paths start there.
    pub(super) folder: PathBuf,
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
pub(super) struct Section<'a> {
    pub(super) context: &'a Context,
    pub(super) path: String,
    pub(super) table: Table,
}

impl<'a> Section<'a> {
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

    /// The whole path of one of this section's keys.
    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn report(&self, key: &str, message: impl Into<String>) {
        self.context.report(&self.path_of(key), message);
    }

    /// A table within; an absent one is empty.
    pub(super) fn section(&mut self, key: &str, known: &[&str]) -> Section<'a> {
        let table = match self.table.remove(key) {
            Some(Value::Table(table)) => table,
            Some(Value::String(text)) if text.is_empty() => Table::new(),
            None => Table::new(),
            Some(other) => {
                self.report(key, format!("is {}; write a table of {}", kind(&other), known.join(", ")));
                Table::new()
            }
        };
        Section::new(self.context, &self.path_of(key), table, known)
    }

    /// A text; an empty one means the default, as an absent one does.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.table.remove(key)? {
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            other => {
                self.report(key, format!("is {}; write a text in quotes", kind(&other)));
                None
            }
        }
    }

    /// A value that is sent as a header: visible ASCII characters.
    pub(super) fn header(&mut self, key: &str) -> Option<String> {
        self.parsed(key, |text| {
            let is_sendable = text.bytes().all(|byte| byte.is_ascii_graphic());
            let refused = "has characters that no HTTP header can carry; write letters, digits and punctuation of ASCII";
            if is_sendable { Ok(text.to_owned()) } else { Err(refused.to_owned()) }
        })
    }

    /// A text that `parse` understands.
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
                let message = format!("is {}; write a number {}", kind(&other), range(&allowed));
                self.report(key, message);
                return None;
            }
        };
        let number = written.trim().parse().ok().filter(|number| allowed.contains(number));
        if number.is_none() {
            self.report(key, format!("{written} is not allowed; write a number {}", range(&allowed)));
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
        self.report(key, format!("is {}; write true or false", kind(&value)));
        None
    }

    /// Where a secret is: `{ env = "…" }`, `{ file = "…" }`, or the secret itself in the variable that overrides
    /// this key.
    pub(super) fn secret(&mut self, key: &str) -> Option<SecretSource> {
        const HOW: &str = "write { env = \"NAME\" } or { file = \"PATH\" }";
        let path = self.path_of(key);
        match self.table.remove(key)? {
            Value::String(text) if text.is_empty() => None,
            Value::String(_) => {
                let variable = self.context.variables.get(&path).cloned();
                if variable.is_none() {
                    self.report(key, format!("a secret does not belong into this file; {HOW}"));
                }
                variable.map(SecretSource::Env)
            }
            Value::Table(table) => {
                let mut source = Section::new(self.context, &path, table, &["env", "file"]);
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

    /// A path; a relative one starts at the configuration file's folder, or at the working directory where the
    /// environment gave it.
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

/// What kind of value it is, for a message that must not show the value.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
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

/// What to say about a key that is not known.
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
