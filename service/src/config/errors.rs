//! All problems of a configuration at once.

use std::fmt;
use std::path::Path;

use super::ENVIRONMENT_PREFIX;
use crate::redaction::without_keys;

/// One problem: where, what, and what to do about it.
#[derive(Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key's path, such as `organizations.nimbus.polling_interval`; where the value came from the environment,
    /// followed by the variable's name in parentheses.
    pub key: String,
    /// What is wrong and what to do, on one line and without a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key may be in an unexpected place, such as an organization's name.
        formatter.write_str(&without_keys(&format!("{}: {}", self.key, self.message)))
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Problem({self})")
    }
}

/// Every problem of a configuration, shown one per line; a binary ends with exit code 2 on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors {
    problems: Vec<Problem>,
    /// The configuration file, which begins each line about it.
    file: Option<String>,
}

impl Errors {
    pub fn one(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { problems: vec![Problem { key: key.into(), message: message.into() }], file: None }
    }

    /// The value if there was no problem.
    pub(super) fn unless_empty<T>(problems: Vec<Problem>, value: T) -> Result<T, Self> {
        if problems.is_empty() { Ok(value) } else { Err(Self { problems, file: None }) }
    }

    /// The problems, in the order of the keys in the configuration table.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The same problems as those of this file, if there is one.
    pub(super) fn of_file(self, file: Option<&Path>) -> Self {
        Self { file: file.map(|file| file.display().to_string()), ..self }
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.problems.iter().enumerate() {
            if position > 0 {
                formatter.write_str("\n")?;
            }
            // A variable is not in the file.
            if let Some(file) = self.file.as_ref().filter(|_| !problem.key.contains(ENVIRONMENT_PREFIX)) {
                write!(formatter, "{file}: ")?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}
