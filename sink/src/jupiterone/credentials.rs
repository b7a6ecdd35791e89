//! The API key, read again when JupiterOne refuses it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use service::config::{SecretError, SecretSource};

use super::error::Error;

/// An API key and where it is.
pub(crate) struct Credentials {
    source: SecretSource,
    environment: Arc<BTreeMap<String, String>>,
    key: Mutex<SecretString>,
}

impl Credentials {
    /// Reads the key.
    pub(crate) fn read(
        source: SecretSource,
        environment: Arc<BTreeMap<String, String>>,
    ) -> Result<Self, SecretError> {
        let key = Mutex::new(source.resolve(&environment)?);
        Ok(Self { source, environment, key })
    }

    /// The key as it is now.
    pub(super) fn current(&self) -> SecretString {
        self.key().clone()
    }

    /// The `Authorization` header's value for that key, marked sensitive.
    pub(super) fn bearer(key: &SecretString) -> Result<HeaderValue, Error> {
        let text = format!("Bearer {}", key.expose_secret());
        let mut value = HeaderValue::try_from(text).map_err(|_| Error::PauseOrganization {
            reason: "JupiterOne's API key has characters that no key has; write it anew".to_owned(),
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Reads the key again, since it may have been rotated; whether it is another.
    pub(super) fn read_again(&self) -> bool {
        let Ok(new) = self.source.resolve(&self.environment) else { return false };
        let mut key = self.key();
        let is_another = key.expose_secret() != new.expose_secret();
        *key = new;
        is_another
    }

    fn key(&self) -> MutexGuard<'_, SecretString> {
        // A key is whole between any two calls.
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
