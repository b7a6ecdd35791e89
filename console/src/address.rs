//! Addresses of pages.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in a query.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':').remove(b'/');

/// A page with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    path: &'static str,
    parameters: Vec<(&'static str, String)>,
}

impl Address {
    pub(crate) fn new(path: &'static str) -> Self {
        Self { path, parameters: Vec::new() }
    }

    /// With a parameter in place of an earlier one of its name.
    pub(crate) fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.parameters.retain(|(other, _)| *other != name);
        self.parameters.push((name, value.to_string()));
        self
    }

    /// With a parameter, if it has a value.
    pub(crate) fn with_some(self, name: &'static str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.parameters.retain(|(other, _)| *other != name);
        self
    }

    /// Names and values, for a form that goes there.
    pub(crate) fn parameters(&self) -> Vec<(&'static str, String)> {
        self.parameters.clone()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)?;
        for (index, (name, value)) in self.parameters.iter().enumerate() {
            let separator = if index == 0 { '?' } else { '&' };
            write!(f, "{separator}{name}={}", utf8_percent_encode(value, PLAIN))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn a_value_cannot_end_its_parameter() {
        let address = Address::new("/access").with("workspace", "a&b=c#d \"<é").with("at", 169);
        assert_eq!(address.to_string(), "/access?workspace=a%26b%3Dc%23d%20%22%3C%C3%A9&at=169");
        let other = address.with("at", "2026-05-03T12:00Z").without("workspace");
        assert_eq!(other.to_string(), "/access?at=2026-05-03T12:00Z");
        assert_eq!(Address::new("/").with_some("q", None::<&str>).to_string(), "/");
    }
}
