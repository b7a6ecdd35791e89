//! One organization in `producer run`: polled at its interval while its partition is assigned to this process.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use schemas::raw::Trigger;
use service::admin::Health;
use service::config::PollingInterval;
use service::shutdown::CancellationToken;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{MAX_POLLS_AT_ONCE, Running};
use crate::assignment::Hold;
use crate::error_chain::chain;
use crate::history::LastPoll;
use crate::poll::{Error, Source};
use crate::raw;

/// Longest wait before a poll that failed because of Kafka or the network is retried, unless the interval is shorter.
const TRY_AGAIN: Duration = Duration::from_secs(30);
/// Longest time until a partition that was lost together with Kafka has an owner again: a session timeout and a
/// rebalance.
const HANDOVER_BOUND: Duration = Duration::from_mins(1);
/// Largest part of an interval that is removed at random, so that organizations are not all polled at once (of 1).
const JITTER: f64 = 0.05;
/// Part of an interval by which a poll may begin late without a warning (of 1).
const LATE: f64 = 0.1;

/// Polls the organization until the process ends. Fails if the brokers deny what a poll writes.
pub(crate) async fn polling(
    mut source: Source,
    running: &Running,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let PollingInterval::Every(interval) = source.organization().polling_interval else { return Ok(()) };
    running.context.metrics.expect_polls(&source.organization().name, interval);
    let Some(organization_id) = identify(&mut source, interval, running, shutdown).await else {
        return Ok(());
    };
    let partition = running.context.publisher.partition(&organization_id);
    let mut is_shown = false;
    while !shutdown.is_cancelled() {
        let hold = tokio::select! {
            hold = running.assignment.hold(partition) => hold,
            () = shutdown.cancelled() => return Ok(()),
            () = given_away(&running.health), if is_shown => {
                source.show_only(&BTreeSet::new(), &running.context.metrics);
                is_shown = false;
                continue;
            }
        };
        polls(&mut source, interval, running, &hold).await?;
        running.context.publisher.release(&organization_id).await;
        // While Kafka is unreachable, no instance owns the partition. The ages must keep growing, because alerts use
        // them.
        is_shown = !running.health.holds("kafka");
        if !is_shown {
            source.show_only(&BTreeSet::new(), &running.context.metrics);
        }
        running.context.metrics.forget_polls(&source.organization().name);
        running.health.clear(&check_name(&source));
        info!(
            organization.name = source.organization().name,
            "the organization is no longer polled by this instance"
        );
    }
    Ok(())
}

/// Waits until Kafka has answered for long enough that a partition that is still missing belongs to another process.
async fn given_away(health: &Health) {
    loop {
        tokio::time::sleep(HANDOVER_BOUND).await;
        if health.holds("kafka") {
            return;
        }
    }
}

/// The organization's ID: from the configuration, the newest coverage, or else `/me`. An instance without the first two
/// calls `/me` once, because only the ID determines the partition.
async fn identify(
    source: &mut Source,
    interval: Duration,
    running: &Running,
    shutdown: &CancellationToken,
) -> Option<String> {
    loop {
        if let Some(id) = source.organization_id() {
            return Some(id.to_owned());
        }
        let result = tokio::select! {
            result = identify_in_turn(source, running) => result,
            () = shutdown.cancelled() => return None,
        };
        let wait = match result {
            Ok(()) => continue,
            Err(error) => not_polled(source, &error, interval, running),
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.cancelled() => return None,
        }
    }
}

async fn identify_in_turn(source: &mut Source, running: &Running) -> Result<(), Error> {
    let _turn = running.asking.acquire().await.expect("it is never closed");
    source.identify().await.map(drop)
}

async fn polls(source: &mut Source, interval: Duration, running: &Running, hold: &Hold) -> Result<(), Error> {
    let leave = hold.leave();
    let mut wait = first_wait(source, interval, running, hold).await;
    loop {
        let due = Instant::now() + wait;
        running.context.metrics.set_next_poll(&source.organization().name, SystemTime::now() + wait);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = leave.cancelled() => return Ok(()),
        }
        let turn = tokio::select! {
            turn = running.at_once.acquire() => turn.expect("it is never closed"),
            () = leave.cancelled() => return Ok(()),
        };
        let started = Instant::now();
        record_delay(source, started.saturating_duration_since(due), interval, running);
        let result = source.poll(&running.context, Trigger::Interval, leave).await;
        if let Some(id) = source.organization_id() {
            running.context.publisher.release(id).await;
        }
        drop(turn);
        if leave.is_cancelled() {
            return Ok(());
        }
        let name = check_name(source);
        wait = match result {
            Ok(report) => {
                let outcome = if report.is_complete() { "complete" } else { "incomplete" };
                running.context.metrics.count_poll(&source.organization().name, outcome);
                running.health.set(name, report.stopped.map_or(Ok(()), Err));
                record_duration(source, started.elapsed(), interval, running);
                jittered(interval).saturating_sub(started.elapsed())
            }
            Err(Error::Kafka(denied)) if denied.is_denied() => return Err(denied.into()),
            Err(error) => not_polled(source, &error, interval, running),
        };
    }
}

/// Logs why a poll did not start, and returns how long to wait before the next try.
fn not_polled(source: &Source, problem: &Error, interval: Duration, running: &Running) -> Duration {
    let organization = &source.organization().name;
    let reason = chain(problem);
    running.context.metrics.count_poll(organization, "failed");
    error!(organization.name = organization, "cannot poll {organization}: {reason}");
    running.health.set(check_name(source), Err(reason));
    match problem {
        Error::Kafka(_) | Error::Unknown(_) => TRY_AGAIN.min(interval),
        Error::OtherOrganization(_) | Error::Shared { .. } | Error::Refused(_) => interval,
    }
}

/// Logs a poll that begins late because other organizations' polls take all turns.
fn record_delay(source: &Source, late: Duration, interval: Duration, running: &Running) {
    let organization = &source.organization().name;
    running.context.metrics.poll_was_late(organization, late);
    if late > interval.mul_f64(LATE) {
        warn!(
            organization.name = organization,
            seconds = late.as_secs(),
            "the poll begins late, because {MAX_POLLS_AT_ONCE} polls of other organizations are in progress, which is the \
             maximum; run more producers, or lengthen polling_interval"
        );
    }
}

/// Records how long a poll took, and warns if that is more than its interval.
fn record_duration(source: &Source, took: Duration, interval: Duration, running: &Running) {
    let organization = &source.organization().name;
    running.context.metrics.poll_took(organization, took);
    if took > interval {
        warn!(
            organization.name = organization,
            seconds = took.as_secs(),
            "the poll took longer than polling_interval, so the next poll begins at once; lengthen polling_interval"
        );
    }
}

/// Zero, unless the last poll is whole and more recent than the interval: then the rest of the interval.
async fn first_wait(source: &mut Source, interval: Duration, running: &Running, hold: &Hold) -> Duration {
    let organization = source.organization().name.clone();
    let last = last_poll(source, running, hold).await;
    let mut wait = Duration::ZERO;
    if let Some(last) = &last {
        if last.organization_name == organization {
            wait = left(last, interval, Timestamp::now());
        } else {
            warn!(
                organization.name = organization,
                organization.id = last.organization_id,
                "the last poll of this organization was under the name {}; if another producer still has that name, \
                 remove one of the two",
                last.organization_name
            );
        }
    }
    if let Some(LastPoll { organization_id, poll_id: Some(poll_id), ended: false, .. }) = last {
        source.close_first(raw::Poll {
            organization_id,
            organization_name: organization.clone(),
            poll_id,
            trigger: Trigger::Interval,
        });
    }
    running.health.set(check_name(source), Ok(()));
    info!(
        organization.name = organization,
        seconds = wait.as_secs(),
        "the organization is polled by this instance"
    );
    wait
}

async fn last_poll(source: &Source, running: &Running, hold: &Hold) -> Option<LastPoll> {
    let id = source.organization_id()?;
    let history = running.histories.of(running.context.publisher.partition(id), hold).await;
    match history.read() {
        Ok(known) => known.of(id).cloned(),
        Err(reason) => {
            let organization = &source.organization().name;
            warn!(
                organization.name = organization,
                "cannot read the time of the organization's last poll: {reason}"
            );
            None
        }
    }
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
            organization_name: "nimbus".to_owned(),
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
