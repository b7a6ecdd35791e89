//! Where a secret is stored, and how it is read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::redaction::{looks_like_key, remember};

/// Largest key file that is read (bytes): a key has about a hundred, and a wrong path may name any file.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Where a secret is stored. The configuration has this instead of the secret, so a service resolves only what it
/// needs, and finds a rotated key by resolving again.
#[derive(Clone)]
pub enum SecretSource {
    /// In the environment variable of this name.
    Env(String),
    /// In this file, with white space and newlines around it.
    File(PathBuf),
    /// Like [`Self::File`], for a name without a separator, which may be a key that was pasted into the wrong place.
    Beside(PathBuf),
    /// Given by a program that has no file and no environment (the quickstart); a configuration file cannot.
    Text(SecretString),
}

/// Why a secret cannot be read. Names the source only if that cannot be the secret itself.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The variable is not set, or empty.
    #[error("the environment variable {0} is not set; set it to the key")]
    Unset(String),
    /// The variable's name may be the key itself.
    #[error(
        "env does not name an environment variable that is set; write the variable's name (A-Z, 0-9 and _), such as \
         NIMBUS_ADMIN_KEY, and set that variable to the key"
    )]
    NoVariable,
    /// The file cannot be read.
    #[error("cannot read the key file {}; check its path and permissions", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The file's path may be the key itself.
    #[error(
        "file does not name a file that can be read; write the file's path, such as /run/secrets/admin-key, and write \
         the key into that file"
    )]
    NoFile,
    /// The file is empty, or contains something that is not a key.
    #[error("the key file {} {reason}; write the key and nothing else into it", path.display())]
    Unusable {
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The text is only white space.
    #[error("the key is empty")]
    Empty,
}

impl SecretSource {
    /// Reads the secret without surrounding white space. Reads the file again on each call, so a rotated key is found
    /// after a 401.
    pub fn resolve(&self, environment: &BTreeMap<String, String>) -> Result<SecretString, SecretError> {
        let secret = self.read(environment)?;
        remember(secret.expose_secret());
        Ok(secret)
    }

    fn read(&self, environment: &BTreeMap<String, String>) -> Result<SecretString, SecretError> {
        match self {
            Self::Env(name) => match environment.get(name).map(|value| value.trim()) {
                Some(value) if !value.is_empty() => Ok(value.into()),
                _ if is_variable(name) => Err(SecretError::Unset(name.clone())),
                _ => Err(SecretError::NoVariable),
            },
            Self::File(path) | Self::Beside(path) => {
                let is_shown = self.is_shown();
                let shown = |error| if is_shown { error } else { SecretError::NoFile };
                let unusable = |reason| shown(SecretError::Unusable { path: path.clone(), reason });
                let unreadable = |source| shown(SecretError::Unreadable { path: path.clone(), source });
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

    /// Whether both name the same place.
    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Env(one), Self::Env(two)) => one == two,
            (Self::File(one) | Self::Beside(one), Self::File(two) | Self::Beside(two)) => one == two,
            _ => false,
        }
    }

    /// Whether the place may be shown: not if it may be the key, pasted instead of a variable's name or a file's path.
    fn is_shown(&self) -> bool {
        match self {
            Self::Env(name) => is_variable(name),
            Self::File(path) => !looks_like_key(&path.to_string_lossy()),
            Self::Beside(path) => path.exists() && !looks_like_key(&path.to_string_lossy()),
            Self::Text(_) => false,
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) if self.is_shown() => write!(formatter, "Env({name})"),
            Self::File(path) | Self::Beside(path) if self.is_shown() => {
                write!(formatter, "File({})", path.display())
            }
            Self::Env(_) => formatter.write_str("Env(***)"),
            Self::File(_) | Self::Beside(_) => formatter.write_str("File(***)"),
            Self::Text(_) => formatter.write_str("Text(***)"),
        }
    }
}

/// Whether a string can only be a variable's name. A key of only upper case and digits is recognized by its length.
fn is_variable(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let is_ours = name.starts_with(super::ENVIRONMENT_PREFIX);
    name.bytes().all(is_legal)
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && (is_ours || !looks_like_key(name))
}

/// A value of `kafka.properties`: text as written, or a secret elsewhere.
#[derive(Clone)]
pub enum SecretOrText {
    /// As written. It may still be a password, so `Debug` hides it.
    Text(String),
    Secret(SecretSource),
}

impl SecretOrText {
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
