//! Which organization each name of the configuration stands for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The organizations of a process, each claimed by one name: under two names, each poll would undo what the other's
/// wrote of the name, and both would spend the one budget of requests. Clones share the claims.
#[derive(Debug, Clone, Default)]
pub struct Claims(Arc<Mutex<BTreeMap<String, String>>>);

impl Claims {
    /// Claims the organization for the name; an error is the name that has it.
    pub fn claim(&self, organization_id: &str, name: &str) -> Result<(), String> {
        let mut names = self.names();
        let holder = names.entry(organization_id.to_owned()).or_insert_with(|| name.to_owned());
        if holder == name { Ok(()) } else { Err(holder.clone()) }
    }

    /// Gives up what the name has claimed, because its key is another organization's.
    pub fn release(&self, name: &str) {
        self.names().retain(|_, holder| holder != name);
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        // A map is whole between any two calls.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Claims;

    #[test]
    fn an_organization_is_one_name_s_until_that_gives_it_up() {
        let claims = Claims::default();
        assert_eq!(claims.claim("o-1", "nimbus"), Ok(()));
        assert_eq!(claims.clone().claim("o-1", "nimbus"), Ok(()));
        assert_eq!(claims.claim("o-1", "cumulus"), Err("nimbus".to_owned()));
        assert_eq!(claims.claim("o-2", "cumulus"), Ok(()));
        claims.release("nimbus");
        assert_eq!(claims.claim("o-1", "cumulus"), Ok(()));
    }
}
