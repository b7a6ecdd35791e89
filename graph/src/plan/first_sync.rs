//! Whether an organization's first sync job may replace what its target holds. Pure.
//!
//! JupiterOne cannot be read, and what a target holds is known only from the topics of one prefix. A graph with another
//! prefix, or without its sync topic, may be older than what the target holds, or empty. A job that uploads
//! the account alone, with every type partial, deletes nothing and adds only the account. Its counts say whether the
//! account was there before.

use schemas::sync::{Found, Sync};

use super::guard;

/// Whether the target has to be checked first: nothing is known about it, and no person allowed to replace it.
pub fn needs_probe(sync: &Sync, revision: i64) -> bool {
    sync.finished.is_none() && sync.found.is_none() && !is_allowed(sync, revision)
}

/// Why the first job must not start, after the target was checked, and how a person can allow it.
pub fn refused(sync: &Sync, revision: i64) -> Option<String> {
    if sync.finished.is_some() || is_allowed(sync, revision) {
        return None;
    }
    let Sync { target, organization_name, .. } = sync;
    let what = match sync.found.as_ref()? {
        Found::Nothing => return None,
        Found::Objects => format!("the target {target} already contained this organization before"),
        Found::Untold | Found::Other { .. } => {
            format!(
                "JupiterOne does not say whether the target {target} already contained this organization before"
            )
        }
    };
    Some(format!(
        "{what} the first sync job of this kafka.topic_prefix, and it is not known which of the two is newer; \
         nothing was deleted; if the graph at revision {revision} is the right one, run `anthropic-graph sync \
         approve --organization {organization_name} --revision {revision} --by $(id -un)`"
    ))
}

fn is_allowed(sync: &Sync, revision: i64) -> bool {
    guard::approved(sync).is_some_and(|approval| approval.revision <= revision)
}
