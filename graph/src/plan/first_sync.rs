//! Whether an organization's first sync job may replace what its target holds. Pure.
//!
//! JupiterOne cannot be read, and what a target holds is known from the topics under one prefix only: a graph that lies
//! under another, or whose sync topic was lost, may be older than what the target holds, or emptied. A job that uploads
//! the account alone, with every type partial, deletes nothing and mixes in no more than the account's own name; its
//! counts tell whether the account was there before.

use schemas::sync::{Sync, found};

use super::guard;

/// Whether the target has to be asked first: nothing is known of it, and no person allowed to replace what it holds.
pub fn is_unasked(sync: &Sync, revision: i64) -> bool {
    sync.finished.is_none() && sync.found.is_none() && !is_allowed(sync, revision)
}

/// Why the first job must not be, once the target was asked, and how a person can allow it.
pub fn refused(sync: &Sync, revision: i64) -> Option<String> {
    if sync.finished.is_some() || is_allowed(sync, revision) {
        return None;
    }
    let Sync { target, organization_name, .. } = sync;
    let what = match sync.found.as_deref()? {
        found::NOTHING => return None,
        found::OBJECTS => format!("the target {target} held the organization before"),
        _ => format!("JupiterOne does not tell whether the target {target} held the organization before"),
    };
    Some(format!(
        "{what} the first sync job under this kafka.topic_prefix, and nothing tells which of the two is newer; nothing \
         was deleted; if the graph at revision {revision} is the right one, run `sink approve --organization \
         {organization_name} --revision {revision} --by $(id -un)`"
    ))
}

fn is_allowed(sync: &Sync, revision: i64) -> bool {
    guard::approved(sync).is_some_and(|approval| approval.revision <= revision)
}
