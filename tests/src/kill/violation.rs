//! A law that does not hold.

use std::fmt;

/// A law that does not hold.
#[derive(Debug, Clone)]
pub struct Violation {
    pub law: String,
    pub text: String,
}

impl Violation {
    pub(super) fn new(law: &str, text: impl Into<String>) -> Self {
        Self { law: law.to_owned(), text: text.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.text)
    }
}
