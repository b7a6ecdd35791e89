//! Membership: who owns which partition, and when.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use service::admin::Health;
use service::config::GroupProtocol;
use service::kafka::member::{Event, Member, Withdrawal};
use service::kafka::partition::{PartitionReader, Start};
use service::kafka::set_group_protocol;

use crate::world::{PATIENCE, config, make_topic, producer, send, unique, write};

/// A member and the partitions whose tasks would be running.
struct Owner {
    member: Member,
    running: Arc<Mutex<BTreeSet<i32>>>,
    withdrawn: Receiver<(Withdrawal, Vec<i32>)>,
}

impl Owner {
    fn join(config: &ClientConfig, group: &str, topic: &str) -> Self {
        let running = Arc::new(Mutex::new(BTreeSet::new()));
        let (sender, withdrawn) = channel();
        let tasks = Arc::clone(&running);
        let member = Member::join(config, group, topic, move |withdrawal, partitions| {
            let mut tasks = tasks.lock().unwrap();
            for partition in partitions {
                assert!(tasks.remove(partition), "partition {partition} was taken away and never given");
            }
            drop(sender.send((withdrawal, partitions.to_vec())));
        });
        Self { member: member.unwrap(), running, withdrawn }
    }

    fn poll(&self) {
        for event in self.member.poll(Duration::from_millis(50)).unwrap() {
            if let Event::Assigned(partitions) = event {
                self.running.lock().unwrap().extend(partitions);
            }
        }
    }

    fn running(&self) -> BTreeSet<i32> {
        self.running.lock().unwrap().clone()
    }
}

/// Runs a test with each protocol of consumer groups.
#[expect(clippy::print_stdout, reason = "a test that fails shows with which one")]
fn with_each_protocol(test: impl Fn(&ClientConfig)) {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        println!("{protocol:?}");
        let mut config = config();
        set_group_protocol(&mut config, protocol);
        test(&config);
    }
}

fn poll_until(owners: &[&Owner], what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not come to pass");
        for owner in owners {
            owner.poll();
        }
        let all: Vec<i32> = owners.iter().flat_map(|owner| owner.running()).collect();
        let distinct: BTreeSet<i32> = all.iter().copied().collect();
        assert_eq!(all.len(), distinct.len(), "a partition has two owners");
    }
}

#[test]
fn a_second_member_takes_half_of_the_partitions_once_their_tasks_are_closed_and_gives_them_back() {
    with_each_protocol(|config| {
        let (group, topic) = (unique("group"), unique("members"));
        make_topic(&topic, 4, &[]);
        let first = Owner::join(config, &group, &topic);
        poll_until(&[&first], "the whole assignment", || first.running().len() == 4);
        let second = Owner::join(config, &group, &topic);
        poll_until(&[&first, &second], "an even assignment", || {
            first.running().len() == 2 && second.running().len() == 2
        });
        // Those that stayed were never taken away.
        let revoked: Vec<(Withdrawal, Vec<i32>)> = first.withdrawn.try_iter().collect();
        assert_eq!(revoked.len(), 1);
        assert_eq!((revoked[0].0, revoked[0].1.len()), (Withdrawal::Revoked, 2));
        let Owner { member, running, .. } = second;
        member.close();
        assert!(running.lock().unwrap().is_empty(), "closing calls the callback");
        let left = Instant::now();
        poll_until(&[&first], "the whole assignment again", || first.running().len() == 4);
        assert!(left.elapsed() < Duration::from_secs(9), "leaving must not wait for the session's end");
    });
}

#[test]
fn a_member_reads_nothing_of_its_partitions() {
    with_each_protocol(|config| {
        let (group, topic) = (unique("group"), unique("paused"));
        make_topic(&topic, 1, &[]);
        let owner = Owner::join(config, &group, &topic);
        poll_until(&[&owner], "the assignment", || owner.running().len() == 1);
        write(&producer(&unique("paused")), &topic, &[("a", Some("1"))]);
        for _ in 0..20 {
            assert_eq!(owner.member.poll(Duration::from_millis(50)).unwrap(), []);
        }
    });
}

#[test]
fn offsets_of_a_transaction_are_committed_with_it_and_not_without_it() {
    with_each_protocol(|config| {
        let (group, topic) = (unique("group"), unique("offsets"));
        make_topic(&topic, 1, &[]);
        let owner = Owner::join(config, &group, &topic);
        poll_until(&[&owner], "the assignment", || owner.running().len() == 1);
        let reader = PartitionReader::open(config, &group, &topic, 0, Start::Beginning).unwrap();
        assert_eq!(reader.committed().unwrap(), None);
        let producer = producer(&unique("offsets"));
        producer.begin().unwrap();
        send(&producer, &topic, "a", Some("1"));
        producer.send_offsets(&[(&topic, 0, 7)], owner.member.group_metadata()).unwrap();
        producer.commit().unwrap();
        assert_eq!(reader.committed().unwrap(), Some(7));
        producer.begin().unwrap();
        send(&producer, &topic, "b", Some("2"));
        producer.send_offsets(&[(&topic, 0, 9)], owner.member.group_metadata()).unwrap();
        producer.abort().unwrap();
        assert_eq!(reader.committed().unwrap(), Some(7));
    });
}

#[test]
fn a_member_that_has_left_cannot_commit_offsets_any_more() {
    with_each_protocol(|config| {
        let (group, topic) = (unique("group"), unique("zombie"));
        make_topic(&topic, 1, &[]);
        let old = Owner::join(config, &group, &topic);
        poll_until(&[&old], "the assignment", || old.running().len() == 1);
        let metadata = old.member.group_metadata();
        old.member.close();
        let new = Owner::join(config, &group, &topic);
        poll_until(&[&new], "the new owner", || new.running().len() == 1);
        let producer = producer(&unique("zombie"));
        producer.begin().unwrap();
        send(&producer, &topic, "a", Some("1"));
        let result = producer.send_offsets(&[(&topic, 0, 7)], metadata).and_then(|()| producer.commit());
        let error = result.unwrap_err();
        assert!(matches!(error, service::kafka::transaction::Error::Abortable { .. }), "{error:?}");
        producer.abort().unwrap();
    });
}

#[test]
fn the_next_owner_waits_until_the_tasks_of_the_last_one_are_closed() {
    with_each_protocol(|config| {
        let (group, topic) = (unique("group"), unique("waits"));
        make_topic(&topic, 2, &[]);
        let (closing, is_closing) = channel();
        let (close, may_close) = channel::<()>();
        let (owned, is_owned) = channel();
        let (stop, must_stop) = channel::<()>();
        let first = Member::join(config, &group, &topic, move |_, partitions| {
            drop(closing.send(partitions.to_vec()));
            let _ = may_close.recv();
        });
        let first = first.unwrap();
        let polling = thread::spawn(move || {
            while must_stop.try_recv() == Err(TryRecvError::Empty) {
                for event in first.poll(Duration::from_millis(50)).unwrap() {
                    drop(owned.send(event));
                }
            }
        });
        assert_eq!(is_owned.recv_timeout(PATIENCE).unwrap(), Event::Assigned(vec![0, 1]));
        let second = Owner::join(config, &group, &topic);
        let mut revoked = Vec::new();
        poll_until(&[&second], "the revocation", || {
            revoked = is_closing.try_recv().unwrap_or_default();
            !revoked.is_empty()
        });
        for _ in 0..40 {
            second.poll();
            assert_eq!(second.running(), BTreeSet::new(), "the task of the last owner still runs");
        }
        close.send(()).unwrap();
        poll_until(&[&second], "the handover", || second.running().iter().eq(&revoked));
        drop((close, stop));
        polling.join().unwrap();
    });
}

#[test]
fn a_member_that_gets_no_partition_is_ready_to_take_one_over() {
    with_each_protocol(|config| {
        let (group, topic) = (unique("group"), unique("spare"));
        make_topic(&topic, 1, &[]);
        let owner = Owner::join(config, &group, &topic);
        poll_until(&[&owner], "the assignment", || owner.running().len() == 1);
        let health = Arc::new(Health::default());
        let mut spare = Owner::join(config, &group, &topic);
        spare.member = spare.member.watched(&health);
        poll_until(&[&owner, &spare], "readiness", || health.readiness().is_ok());
        assert_eq!((owner.running().len(), spare.running().len()), (1, 0));
        owner.member.close();
        poll_until(&[&spare], "the takeover", || spare.running().len() == 1);
        assert_eq!(health.readiness(), Ok(()));
    });
}

#[test]
fn a_member_that_did_not_poll_in_time_learns_that_its_partitions_are_lost() {
    let (group, topic) = (unique("group"), unique("lost"));
    make_topic(&topic, 1, &[]);
    let mut hasty = config();
    // The least that a broker allows.
    hasty.set("session.timeout.ms", "6000").set("max.poll.interval.ms", "6000");
    let first = Owner::join(&hasty, &group, &topic);
    poll_until(&[&first], "the assignment", || first.running().len() == 1);
    let second = Owner::join(&config(), &group, &topic);
    let deadline = Instant::now() + PATIENCE;
    while second.running().is_empty() {
        assert!(Instant::now() < deadline, "the silent member kept its partition");
        second.poll();
    }
    let deadline = Instant::now() + PATIENCE;
    while !first.running().is_empty() {
        assert!(Instant::now() < deadline, "the silent member did not learn of it");
        first.poll();
    }
    assert_eq!(first.withdrawn.recv().unwrap(), (Withdrawal::Lost, vec![0]));
}
