//! Where a secret is, and reading it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

/// Largest key file that is read (bytes): a key has about a hundred; a wrong path may be anything.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Where a secret is. The configuration holds this and never the secret itself, so that a service resolves only
/// what it needs and a rotated key is found by resolving again.
#[derive(Clone)]
pub enum SecretSource {
    /// In the environment variable of this name.
    Env(String),
    /// In this file, with white space and newlines around it.
    File(PathBuf),
    /// Given by a program that has no file and no environment (the quickstart); a configuration file cannot.
    Text(SecretString),
}

/// Why a secret cannot be had. Names the source, never the content.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The variable is not set, or empty.
    #[error("the environment variable {0} is not set; set it to the key")]
    Unset(String),
    /// The file cannot be read.
    #[error("cannot read the key file {}; check its path and permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file holds nothing, or something that is no key.
    #[error("the key file {} {reason}; write the key and nothing else into it", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is the matter with it.
        reason: &'static str,
    },
    /// The text holds white space only.
    #[error("the key is empty")]
    Empty,
}

impl SecretSource {
    /// Reads the secret, without the white space around it. Reads the file again on each call, so that a key that
    /// was rotated is taken after a 401.
    pub fn resolve(&self, environment: &BTreeMap<String, String>) -> Result<SecretString, SecretError> {
        match self {
            Self::Env(name) => match environment.get(name).map(|value| value.trim()) {
                Some(value) if !value.is_empty() => Ok(value.into()),
                _ => Err(SecretError::Unset(name.clone())),
            },
            Self::File(path) => {
                let unusable = |reason| SecretError::Unusable { path: path.clone(), reason };
                let unreadable = |source| SecretError::Unreadable { path: path.clone(), source };
                if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE_BYTES {
                    return Err(unusable("is larger than 64 KiB"));
                }
                let text = String::from_utf8(std::fs::read(path).map_err(unreadable)?)
                    .map_err(|_| unusable("is not UTF-8"))?;
                match text.trim() {
                    "" => Err(unusable("is empty")),
                    key => Ok(key.into()),
                }
            }
            Self::Text(text) => match text.expose_secret().trim() {
                "" => Err(SecretError::Empty),
                key => Ok(key.into()),
            },
        }
    }

    /// Whether the two name one place.
    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Env(one), Self::Env(two)) => one == two,
            (Self::File(one), Self::File(two)) => one == two,
            _ => false,
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(formatter, "Env({name})"),
            Self::File(path) => write!(formatter, "File({})", path.display()),
            Self::Text(_) => formatter.write_str("Text(***)"),
        }
    }
}

/// A value of `kafka.properties`: text as written, or a secret elsewhere.
#[derive(Clone)]
pub enum SecretOrText {
    /// As written. It may still be a password, so `Debug` hides it.
    Text(String),
    /// Elsewhere.
    Secret(SecretSource),
}

impl SecretOrText {
    /// The value.
    pub fn resolve(&self, environment: &BTreeMap<String, String>) -> Result<SecretString, SecretError> {
        match self {
            Self::Text(text) => Ok(text.as_str().into()),
            Self::Secret(source) => source.resolve(environment),
        }
    }
}

impl fmt::Debug for SecretOrText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => formatter.write_str("Text(***)"),
            Self::Secret(source) => write!(formatter, "{source:?}"),
        }
    }
}
