//! One organization under `producer run`: polled at its interval while this process has its partition.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use service::admin::Health;
use service::config::PollingInterval;
use service::exit::Shutdown;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::history::{self, LastPoll};
use crate::poll::{Error, Source, chain};
use crate::raw::{self, INTERVAL};
use crate::run::Running;

/// Longest wait before what failed for want of Kafka or of the network is tried again; a shorter interval wins.
const TRY_AGAIN: Duration = Duration::from_secs(30);
/// Longest time until a partition that was lost with Kafka has an owner again: a session's timeout and a rebalance.
const HANDOVER_BOUND: Duration = Duration::from_mins(1);
/// Largest part of an interval that chance takes away, so that organizations are not all polled at once (of 1).
const JITTER: f64 = 0.05;

/// Polls the organization until the process ends.
pub(crate) async fn polling(mut source: Source, running: &Running, shutdown: &Shutdown) {
    let PollingInterval::Every(interval) = source.organization().polling_interval else { return };
    let Some(organization_id) = identify(&mut source, interval, running, shutdown).await else { return };
    let partition = running.context.publisher.partition(&organization_id);
    let mut is_shown = false;
    while !shutdown.is_requested() {
        let hold = tokio::select! {
            hold = running.assignment.hold(partition) => hold,
            () = shutdown.requested() => return,
            () = given_away(&running.health), if is_shown => {
                source.show_only(&BTreeSet::new(), &running.context.metrics);
                is_shown = false;
                continue;
            }
        };
        polls(&mut source, interval, running, hold.leave()).await;
        running.context.publisher.release(&organization_id).await;
        // Where Kafka went away nobody has the partition, and the ages must go on growing for whoever watches them.
        is_shown = !running.health.holds("kafka");
        if !is_shown {
            source.show_only(&BTreeSet::new(), &running.context.metrics);
        }
        running.health.clear(&check_name(&source));
        info!(organization.name = source.organization().name, "not polled here any more");
    }
}

/// Waits until Kafka has answered for so long that a partition that did not come back is another process's.
async fn given_away(health: &Health) {
    loop {
        tokio::time::sleep(HANDOVER_BOUND).await;
        if health.holds("kafka") {
            return;
        }
    }
}

/// The organization's id: configured, of the newest coverage, or else of `/me`, which every instance that has neither
/// asks once, since only the id tells whose partition it is.
async fn identify(
    source: &mut Source,
    interval: Duration,
    running: &Running,
    shutdown: &Shutdown,
) -> Option<String> {
    loop {
        if let Some(id) = source.organization_id() {
            return Some(id.to_owned());
        }
        let result = tokio::select! {
            result = source.identify() => result,
            () = shutdown.requested() => return None,
        };
        let wait = match result {
            Ok(()) => continue,
            Err(error) => not_polled(source, &error, interval, running),
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.requested() => return None,
        }
    }
}

async fn polls(source: &mut Source, interval: Duration, running: &Running, leave: &Shutdown) {
    let mut wait = first_wait(source, interval, running).await;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = leave.requested() => return,
        }
        let turn = tokio::select! {
            turn = running.at_once.acquire() => turn.expect("nobody closes it"),
            () = leave.requested() => return,
        };
        let started = Instant::now();
        let result = source.poll(&running.context, INTERVAL, leave).await;
        if let Some(id) = source.organization_id() {
            running.context.publisher.release(id).await;
        }
        drop(turn);
        if leave.is_requested() {
            return;
        }
        let name = check_name(source);
        wait = match result {
            Ok(report) => {
                running.health.set(name, report.stopped.map_or(Ok(()), Err));
                jittered(interval).saturating_sub(started.elapsed())
            }
            Err(error) => not_polled(source, &error, interval, running),
        };
    }
}

/// Says why there was no poll, and how long to wait before the next try.
fn not_polled(source: &Source, problem: &Error, interval: Duration, running: &Running) -> Duration {
    let organization = &source.organization().name;
    let reason = chain(problem);
    error!(organization.name = organization, "not polled: {reason}");
    running.health.set(check_name(source), Err(reason));
    match problem {
        Error::Kafka(_) | Error::Unknown(_) => TRY_AGAIN.min(interval),
        Error::OtherOrganization(_) | Error::Refused(_) => interval,
    }
}

/// Nothing, unless the last poll is whole and younger than the interval: then what is left of that.
async fn first_wait(source: &mut Source, interval: Duration, running: &Running) -> Duration {
    let organization = source.organization().name.clone();
    let last = match last_poll(source, running).await {
        Ok(last) => last,
        Err(error) => {
            warn!(organization.name = organization, "cannot read when the last poll was: {error:#}");
            None
        }
    };
    let wait = last.as_ref().map(|last| left(last, interval, Timestamp::now())).unwrap_or_default();
    if let Some(LastPoll { organization_id, poll_id: Some(poll_id), ended: false, .. }) = last {
        source.close_first(raw::Poll {
            organization_id,
            organization_name: organization.clone(),
            poll_id,
            trigger: INTERVAL,
        });
    }
    running.health.set(check_name(source), Ok(()));
    info!(organization.name = organization, seconds = wait.as_secs(), "polled here from now on");
    wait
}

async fn last_poll(source: &Source, running: &Running) -> anyhow::Result<Option<LastPoll>> {
    let Some(id) = source.organization_id() else { return Ok(None) };
    let partition = running.context.publisher.partition(id);
    let (client, group, graph) = (running.client.clone(), running.group.clone(), running.graph.clone());
    let read = move || history::read(&client, &group, &graph, [partition]);
    let mut polls = tokio::task::spawn_blocking(read).await??;
    Ok(polls.remove(&source.organization().name).filter(|last| last.organization_id == id))
}

fn left(last: &LastPoll, interval: Duration, now: Timestamp) -> Duration {
    let age = u64::try_from(now.as_millisecond() - last.started_ts_ms).unwrap_or_default();
    if last.complete && last.ended {
        interval.saturating_sub(Duration::from_millis(age))
    } else {
        Duration::ZERO
    }
}

fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(1.0 - JITTER * rand::random::<f64>())
}

fn check_name(source: &Source) -> String {
    format!("organization {}", source.organization().name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::{LastPoll, left};

    #[test]
    fn a_poll_waits_only_for_a_whole_one_that_is_young() {
        let hour = Duration::from_hours(1);
        let now = Timestamp::from_millisecond(10_000_000).expect("a time");
        let last = |minutes: i64, ended, complete| LastPoll {
            organization_id: "one".to_owned(),
            poll_id: None,
            started_ts_ms: 10_000_000 - minutes * 60_000,
            ended,
            complete,
            partition_count: 12,
        };
        let table = [
            (last(20, true, true), 40),
            (last(60, true, true), 0),
            (last(600, true, true), 0),
            (last(20, true, false), 0),
            (last(20, false, true), 0),
            (last(-5, true, true), 60),
        ];
        for (last, minutes) in table {
            assert_eq!(left(&last, hour, now), Duration::from_secs(minutes * 60), "{last:?}");
        }
    }
}
