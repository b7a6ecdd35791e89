//! Which partitions this process has, and who polls for them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use service::shutdown::{Shutdown, ShutdownTrigger, shutdown};
use tokio::sync::Notify;
use tracing::warn;

/// How long a rebalance waits for polls to end: the bounds of a transaction call together, within the member's
/// `max.poll.interval.ms` of five minutes.
const LEAVE_BOUND: Duration = Duration::from_mins(4);

/// The partitions that this process has. Clones share them.
#[derive(Clone, Default)]
pub struct Assignment(Arc<Shared>);

#[derive(Default)]
struct Shared {
    owned: Mutex<BTreeMap<i32, Owned>>,
    /// How many assignments of a partition there have been (count).
    assigned: AtomicU64,
    /// Told when a holder leaves: for the thread that waits in [`Assignment::withdraw`].
    left: Condvar,
    /// Told when partitions come.
    came: Notify,
}

struct Owned {
    /// Tells this assignment of the partition from earlier ones.
    generation: u64,
    leave: ShutdownTrigger,
    asked: Shutdown,
    holders: usize,
    is_withdrawn: bool,
}

/// The right to poll an organization of the partition, until dropped.
pub struct Hold {
    shared: Arc<Shared>,
    partition: i32,
    generation: u64,
    asked: Shutdown,
}

impl Hold {
    /// Asked for when the partition is taken away.
    pub fn leave(&self) -> &Shutdown {
        &self.asked
    }

    /// Tells this assignment of the partition from all others that the process has had.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut owned = self.shared.owned();
        // A poll that outlived the wait for its end may end when the partition is back: then this hold is of an
        // assignment that is over, and the entry counts others.
        if let Some(entry) = owned.get_mut(&self.partition).filter(|it| it.generation == self.generation) {
            entry.holders -= 1;
        }
        self.shared.left.notify_all();
    }
}

impl Shared {
    fn owned(&self) -> MutexGuard<'_, BTreeMap<i32, Owned>> {
        // A map is whole between any two calls.
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Assignment {
    /// These partitions are this process's from now on.
    pub fn assign(&self, partitions: &[i32]) {
        let mut owned = self.0.owned();
        for partition in partitions {
            owned.entry(*partition).or_insert_with(|| {
                let (leave, asked) = shutdown();
                let generation = self.0.assigned.fetch_add(1, Ordering::Relaxed);
                Owned { generation, leave, asked, holders: 0, is_withdrawn: false }
            });
        }
        drop(owned);
        self.0.came.notify_waiters();
    }

    /// Has the holders of these partitions leave, and blocks until they have.
    pub fn withdraw(&self, partitions: &[i32]) {
        self.withdraw_within(partitions, LEAVE_BOUND);
    }

    fn withdraw_within(&self, partitions: &[i32], bound: Duration) {
        let mut owned = self.0.owned();
        for partition in partitions {
            if let Some(entry) = owned.get_mut(partition) {
                entry.is_withdrawn = true;
                entry.leave.ask();
            }
        }
        let is_held = |owned: &mut BTreeMap<i32, Owned>| {
            partitions.iter().any(|it| owned.get(it).is_some_and(|entry| entry.holders > 0))
        };
        let (mut owned, waited) =
            self.0.left.wait_timeout_while(owned, bound, is_held).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            warn!(?partitions, "a poll did not end in time; whoever has the partition next fences it");
        }
        owned.retain(|partition, _| !partitions.contains(partition));
    }

    /// Waits for the partition, and holds it.
    pub async fn hold(&self, partition: i32) -> Hold {
        loop {
            let came = self.0.came.notified();
            tokio::pin!(came);
            // Before the look, so that no arrival is missed between the two.
            came.as_mut().enable();
            if let Some(hold) = self.try_hold(partition) {
                return hold;
            }
            came.await;
        }
    }

    fn try_hold(&self, partition: i32) -> Option<Hold> {
        let mut owned = self.0.owned();
        let entry = owned.get_mut(&partition).filter(|entry| !entry.is_withdrawn)?;
        entry.holders += 1;
        let (generation, asked) = (entry.generation, entry.asked.clone());
        Some(Hold { shared: Arc::clone(&self.0), partition, generation, asked })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Assignment;

    #[tokio::test]
    async fn a_withdrawal_returns_once_the_holders_have_left() {
        let assignment = Assignment::default();
        assert!(assignment.try_hold(3).is_none());
        let waiting = tokio::spawn({
            let assignment = assignment.clone();
            async move { assignment.hold(3).await }
        });
        assignment.assign(&[3, 4]);
        let hold = waiting.await.expect("no panic");
        let withdrawn = tokio::task::spawn_blocking({
            let assignment = assignment.clone();
            move || assignment.withdraw(&[3])
        });
        hold.leave().requested().await;
        assert!(assignment.try_hold(3).is_none());
        assert!(!withdrawn.is_finished());
        drop(hold);
        withdrawn.await.expect("no panic");
        assert!(assignment.try_hold(3).is_none());
        assert!(assignment.try_hold(4).is_some());
    }

    #[tokio::test]
    async fn a_partition_that_comes_back_can_be_held_again() {
        let assignment = Assignment::default();
        assignment.assign(&[3]);
        assignment.withdraw(&[3, 9]);
        assignment.assign(&[3]);
        assert!(!assignment.hold(3).await.leave().is_requested());
    }

    #[tokio::test]
    async fn a_hold_that_outlived_its_assignment_is_not_counted_off_the_next_one() {
        let assignment = Assignment::default();
        assignment.assign(&[3]);
        let outlived = assignment.hold(3).await;
        assignment.withdraw_within(&[3], Duration::ZERO);
        assignment.assign(&[3]);
        let held = assignment.hold(3).await;
        assert_ne!(held.generation(), outlived.generation());
        drop(outlived);
        // The partition is still held: a withdrawal has to wait for it.
        let holders = |assignment: &Assignment| assignment.0.owned().get(&3).map(|owned| owned.holders);
        assert_eq!(holders(&assignment), Some(1));
        drop(held);
        assert_eq!(holders(&assignment), Some(0));
    }
}
