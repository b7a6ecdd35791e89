//! Which organization each configured name refers to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The organizations of a process, each claimed by one name. Under two names, each poll would overwrite the other's
/// name, and both would spend the same request budget. Clones share the claims.
#[derive(Debug, Clone, Default)]
pub struct Claims(Arc<Mutex<BTreeMap<String, String>>>);

impl Claims {
    /// Claims the organization for the name. The error is the name that has claimed it already.
    pub fn claim(&self, organization_id: &str, name: &str) -> Result<(), String> {
        let mut names = self.names();
        let holder = names.entry(organization_id.to_owned()).or_insert_with(|| name.to_owned());
        if holder == name { Ok(()) } else { Err(holder.clone()) }
    }

    /// Releases the name's claim, because its key belongs to another organization.
    pub fn release(&self, name: &str) {
        self.names().retain(|_, holder| holder != name);
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        // The map is consistent between any two calls.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Claims;

    #[test]
    fn an_organization_belongs_to_one_name_until_it_is_released() {
        let claims = Claims::default();
        assert_eq!(claims.claim("o-1", "nimbus"), Ok(()));
        assert_eq!(claims.clone().claim("o-1", "nimbus"), Ok(()));
        assert_eq!(claims.claim("o-1", "cumulus"), Err("nimbus".to_owned()));
        assert_eq!(claims.claim("o-2", "cumulus"), Ok(()));
        claims.release("nimbus");
        assert_eq!(claims.claim("o-1", "cumulus"), Ok(()));
    }
}
