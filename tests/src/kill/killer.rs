//! One service's killer: starts it, waits for its place or its moment, kills it, and again.

use std::thread;
use std::time::{Duration, Instant};

use super::dice::Dice;
use super::kill_order::{KillOrder, Target};
use super::places::{WRITES_FAIL, armed};
use super::statistics::Statistics;
use super::system::System;
use super::violation::Violation;
use crate::services::Service;

/// How long a place is waited for: a poll and a sync job come every second or so, unless another service is being
/// killed over and over or the broker is away.
const PLACE_BOUND: Duration = Duration::from_secs(15);
/// How often the process is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(5);
/// How much of a log is shown (lines).
const TAIL: usize = 12;
/// A line that says what librdkafka does.
const OF_LIBRDKAFKA: &str = "\"level\":\"DEBUG\"";

/// How a target ended.
enum Ended {
    Killed,
    Missed,
    ByItself(String),
}

pub(super) struct Killer<'a> {
    system: &'a System,
    service: &'static str,
    kill_order: KillOrder,
    statistics: &'a Statistics,
}

impl<'a> Killer<'a> {
    pub(super) fn new(
        system: &'a System,
        service: &'static str,
        statistics: &'a Statistics,
        seed: u64,
    ) -> Self {
        Self { system, service, kill_order: KillOrder::of(service, Dice::of(seed, service)), statistics }
    }

    /// Kills the service so many times. Gives up where it is hardly ever where it should be.
    pub(super) fn kill(&mut self, kills: u64, deadline: Instant) {
        let (mut done, mut tried) = (0, 0);
        while done < kills && tried < kills * 3 + 5 && Instant::now() < deadline {
            tried += 1;
            let target = self.kill_order.draw();
            match (self.pursue(&target), target) {
                (Ended::Killed, Target::Place(place, _)) => {
                    self.kill_order.reached(place);
                    self.statistics.kill(place);
                    done += 1;
                }
                (Ended::Killed, Target::Moment(_)) => {
                    self.kill_order.reached("");
                    self.statistics.kill(&format!("{}::anywhere", self.service));
                    done += 1;
                }
                (Ended::Missed, target) => {
                    self.statistics.log(&format!("{target:?} was not reached in time"));
                    if let Target::Place(place, _) = target {
                        self.kill_order.missed(place);
                    }
                }
                (Ended::ByItself(log), target) => {
                    let text = format!("{} ended by itself at {target:?}\n{log}", self.service);
                    self.statistics.violate([Violation::new("recovery", text)]);
                }
            }
        }
        if done < kills && Instant::now() < deadline {
            let text = format!("{} was reached {done} times of {kills}", self.service);
            self.statistics.violate([Violation::new("recovery", text)]);
        }
    }

    /// Lets the service run without kills, while others are still being killed.
    pub(super) fn keep_running(&self, is_over: impl Fn() -> bool) {
        let mut running = self.system.start(self.service, &["run"], self.failing());
        while !is_over() {
            if running.has_ended() {
                let text = format!("{} ended by itself, unharmed\n{}", self.service, tail(running));
                self.statistics.violate([Violation::new("recovery", text)]);
                return;
            }
            thread::sleep(LOOK_PERIOD);
        }
        self.statistics.read(self.service, &running.kill());
    }

    /// What fails in a process that is not to stop at a place.
    fn failing(&self) -> &'static str {
        if self.service == "processor" { WRITES_FAIL } else { "" }
    }

    fn pursue(&self, target: &Target) -> Ended {
        let (failpoints, bound, marker) = match target {
            Target::Place(place, nth) => (
                armed(place, *nth),
                self.system.patience(PLACE_BOUND),
                Some(format!("failpoint {place} reached")),
            ),
            Target::Moment(after) => (self.failing().to_owned(), *after, None),
        };
        let mut running = self.system.start(self.service, &["run"], &failpoints);
        let deadline = Instant::now() + bound;
        loop {
            if marker.as_ref().is_some_and(|marker| running.has_logged(marker)) {
                self.statistics.read(self.service, &running.kill());
                return Ended::Killed;
            }
            if running.has_ended() {
                return Ended::ByItself(tail(running));
            }
            if Instant::now() >= deadline {
                self.statistics.read(self.service, &running.kill());
                return if marker.is_some() { Ended::Missed } else { Ended::Killed };
            }
            thread::sleep(LOOK_PERIOD);
        }
    }
}

/// The end of what a service that has ended logged, with the line that says why.
fn tail(service: Service) -> String {
    let log = service.finish().stderr;
    let lines: Vec<_> = log.lines().filter(|line| !line.contains(OF_LIBRDKAFKA)).collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}
