//! Bringing a world to rest: the services run on unharmed, then one round of commands, and everything must agree.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use schemas::topics::Topic;
use serde_json::Value;
use simulator::oracle::{self, Graph};

use super::checker;
use super::commands::round;
use super::episodes::{another_prefix, approval, late_end, many_polls, mass_deletion, slow_listing};
use super::life::Departures;
use super::statistics::Statistics;
use super::system::System;
use super::violation::Violation;
use crate::comparison::expected;
use crate::kafka;
use crate::services::Service;
use crate::services::binaries::SERVICES;

/// How long the services may take to catch up; the longest of their pauses after an error is 30 s.
const CATCH_UP_BOUND: Duration = Duration::from_secs(90);
/// How often it is looked whether they have: a comparison costs more than a look.
const LOOK_PERIOD: Duration = Duration::from_millis(200);

/// Nothing lives and no service runs. `is_last`: the world ends, so what does not heal may be tried too.
pub(super) fn bring_to_steady_state(
    system: &System,
    departures: &Departures,
    statistics: &Statistics,
    is_last: bool,
) {
    catch_up(system, statistics);
    system.world.jupiterone.clear_faults();
    round(system, statistics, &[0]);
    statistics.violate(verified(system));
    let found = checker::check(&system.world, departures);
    statistics.violate(found.violations);
    if is_last {
        statistics.work(found.polls, found.changes, found.sync_jobs);
    }
    if statistics.is_short() {
        return;
    }
    late_end(system, departures, statistics);
    if is_last {
        let seen = mass_deletion(system, statistics);
        statistics.violate(verified(system));
        if let Some(listing_id) = seen {
            approval(system, statistics, &listing_id);
            statistics.violate(verified(system));
        }
        many_polls(system, statistics);
        slow_listing(system, statistics);
        statistics.violate(verified(system));
        another_prefix(system, statistics);
    }
}

/// The services are started and left alone, until JupiterOne holds the truth of every organization that it serves.
fn catch_up(system: &System, statistics: &Statistics) {
    let mut running = SERVICES.map(|service| system.start(service, &["run"], ""));
    let deadline = Instant::now() + system.patience(CATCH_UP_BOUND);
    loop {
        let differences: Vec<String> = (system.healthy().into_iter())
            .flat_map(|number| {
                let truth = expected(&system.world.anthropic[number].truth(), number);
                let held = system.world.graph(number);
                oracle::compare(&truth, &Graph::uploaded(held.entities, held.relationships))
            })
            .collect();
        let Some(first) = differences.first() else { break };
        let ended = running.iter_mut().position(Service::has_ended);
        if let Some(ended) = ended {
            let text = format!("{} ended by itself, unharmed\n{}", SERVICES[ended], running[ended].log());
            statistics.violate([Violation::new("recovery", text)]);
            break;
        }
        if Instant::now() > deadline {
            let mut text = format!("JupiterOne has {} differences left, such as {first}", differences.len());
            for topic in Topic::ALL {
                let lines = kafka::unstable(&system.world.bootstrap_servers, &system.world.topic(topic));
                text.extend(lines.iter().map(|line| format!("\n{line}")));
            }
            for service in &mut running {
                let (_, readiness) = service.get("/readyz").unwrap_or_default();
                let _ = write!(text, "\n{readiness}\n{}", service.log());
            }
            statistics.violate([Violation::new("catch-up", text)]);
            break;
        }
        thread::sleep(LOOK_PERIOD);
    }
    for (name, service) in SERVICES.into_iter().zip(running) {
        statistics.read(name, &service.kill());
    }
}

/// What `anthropic-graph verify` finds, which shares no code with the processor, nor with the checker here.
fn verified(system: &System) -> Vec<Violation> {
    let finished = match system.complete("anthropic-graph", &["verify", "--json"]) {
        Ok(finished) => finished,
        Err(log) => return vec![Violation::new("recovery", format!("anthropic-graph verify: {log}"))],
    };
    let lines = finished.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let violated = lines.filter(|line| line["law"].is_string() && line["violated"] != 0);
    let mut found: Vec<_> = violated
        .map(|line| {
            let law = format!("verify:{}", line["law"].as_str().unwrap_or_default());
            Violation::new(&law, format!("{}: {}", line["organization"], line["violations"]))
        })
        .collect();
    if found.is_empty() && finished.code != Some(0) {
        let text = format!("anthropic-graph verify: exit code {:?}\n{}", finished.code, finished.stderr);
        found.push(Violation::new("recovery", text));
    }
    found
}
