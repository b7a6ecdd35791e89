//! Which partitions are assigned to this process, and which polls use them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use service::shutdown::CancellationToken;
use tokio::sync::{mpsc, watch};

/// Assignments of partitions so far (count).
static ASSIGNED: AtomicU64 = AtomicU64::new(0);

/// The partitions that are assigned to this process. Clones share them.
#[derive(Clone, Default)]
pub struct Assignment(watch::Sender<BTreeMap<i32, Hold>>);

/// The right to poll the organizations of a partition, until dropped.
#[derive(Clone)]
pub struct Hold {
    generation: u64,
    leave: CancellationToken,
    /// Every clone keeps [`Assignment::lend`] waiting.
    _held: mpsc::Sender<()>,
}

impl Hold {
    /// Canceled when the partition is taken away.
    pub fn leave(&self) -> &CancellationToken {
        &self.leave
    }

    /// Distinguishes this assignment of the partition from all others in this process.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }
}

impl Assignment {
    /// Lets polls hold the partition until it is taken away, and waits until all of them have left.
    pub async fn lend(&self, partition: i32, leave: &CancellationToken) {
        let generation = ASSIGNED.fetch_add(1, Ordering::Relaxed);
        let (sender, mut left) = mpsc::channel(1);
        let hold = Hold { generation, leave: leave.clone(), _held: sender };
        self.0.send_modify(|assigned| drop(assigned.insert(partition, hold)));
        leave.cancelled().await;
        self.0.send_modify(|assigned| {
            // A poll may outlive the wait for it. By then the partition may be assigned again.
            assigned.retain(|it, hold| *it != partition || hold.generation != generation);
        });
        let _nothing = left.recv().await;
    }

    /// Waits for the partition, and holds it.
    pub async fn hold(&self, partition: i32) -> Hold {
        let mut assigned = self.0.subscribe();
        let is_there = |assigned: &BTreeMap<i32, Hold>| {
            assigned.get(&partition).is_some_and(|hold| !hold.leave.is_cancelled())
        };
        assigned.wait_for(is_there).await.expect("the sender is here")[&partition].clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use service::shutdown::CancellationToken;
    use tokio::task::{JoinHandle, yield_now};
    use tokio::time::timeout;

    use super::Assignment;

    fn lend(assignment: &Assignment, partition: i32) -> (CancellationToken, JoinHandle<()>) {
        let (assignment, leave) = (assignment.clone(), CancellationToken::new());
        let stop = leave.clone();
        (leave, tokio::spawn(async move { assignment.lend(partition, &stop).await }))
    }

    async fn is_free(assignment: &Assignment, partition: i32) -> bool {
        timeout(Duration::from_millis(20), assignment.hold(partition)).await.is_ok()
    }

    #[tokio::test]
    async fn a_partition_is_given_back_once_its_holders_have_left() {
        let assignment = Assignment::default();
        let waiting = tokio::spawn({
            let assignment = assignment.clone();
            async move { assignment.hold(3).await }
        });
        yield_now().await;
        assert!(!waiting.is_finished());
        let (leave, lent) = lend(&assignment, 3);
        let (_other, _) = lend(&assignment, 4);
        let hold = waiting.await.expect("no panic");
        leave.cancel();
        hold.leave().cancelled().await;
        assert!(!is_free(&assignment, 3).await && is_free(&assignment, 4).await);
        assert!(!lent.is_finished());
        drop(hold);
        lent.await.expect("no panic");
    }

    #[tokio::test]
    async fn a_partition_that_comes_back_can_be_held_again_while_an_earlier_hold_lives() {
        let assignment = Assignment::default();
        let (leave, first) = lend(&assignment, 3);
        let outlived = assignment.hold(3).await;
        leave.cancel();
        yield_now().await;
        let (leave, second) = lend(&assignment, 3);
        let held = assignment.hold(3).await;
        assert_ne!(held.generation(), outlived.generation());
        assert!(!held.leave().is_cancelled());
        // The partition is still held: the second has to wait for it, and the first does not.
        drop(outlived);
        first.await.expect("no panic");
        leave.cancel();
        yield_now().await;
        assert!(!second.is_finished());
        drop(held);
        second.await.expect("no panic");
    }
}
