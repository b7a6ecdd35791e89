//! Three brokers, followers that answer fetches, and leaders that are killed.
//!
//! One test at a time: each has a cluster of its own, and memory for one.

mod handovers;
mod services;

use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;
use tests::broker::cluster::Cluster;

static ALONE: Mutex<()> = Mutex::new(());

/// A cluster, its folder, and the right to have one.
struct Own {
    cluster: Cluster,
    _folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// The right to have a cluster.
fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn own() -> Own {
    let alone = alone();
    let folder = tempfile::tempdir().expect("a folder for the brokers");
    let cluster = Cluster::start(folder.path()).expect("the brokers start");
    Own { cluster, _folder: folder, _alone: alone }
}
