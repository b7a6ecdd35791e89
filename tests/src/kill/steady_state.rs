//! Bringing a world to rest: the services run on unharmed, then one round of commands, and everything must agree.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use schemas::topics::Topic;
use serde_json::Value;
use simulator::oracle::{self, Graph};

use super::arena::Arena;
use super::checker;
use super::commands::round;
use super::episodes::{another_prefix, approval, late_end, many_polls, mass_deletion, slow_listing};
use super::life::Departures;
use super::tally::Tally;
use super::violation::Violation;
use crate::judge::expected;
use crate::kafka;
use crate::services::Service;
use crate::services::binaries::SERVICES;

/// How long the services may take to catch up; the longest of their pauses after an error is 30 s.
const CATCH_UP_BOUND: Duration = Duration::from_secs(90);
/// How often it is looked whether they have: a comparison costs more than a look.
const LOOK_PERIOD: Duration = Duration::from_millis(200);

/// Nothing lives and no service runs. `is_last`: the world ends, so what does not heal may be tried too.
pub(super) fn bring_to_steady_state(arena: &Arena, departures: &Departures, tally: &Tally, is_last: bool) {
    catch_up(arena, tally);
    arena.world.jupiterone.clear_faults();
    round(arena, tally, &[0]);
    tally.violate(verified(arena));
    let found = checker::check(&arena.world, departures);
    tally.violate(found.violations);
    if is_last {
        tally.work(found.polls, found.changes, found.sync_jobs);
    }
    if tally.is_short() {
        return;
    }
    late_end(arena, departures, tally);
    if is_last {
        let seen = mass_deletion(arena, tally);
        tally.violate(verified(arena));
        if let Some(listing_id) = seen {
            approval(arena, tally, &listing_id);
            tally.violate(verified(arena));
        }
        many_polls(arena, tally);
        slow_listing(arena, tally);
        tally.violate(verified(arena));
        another_prefix(arena, tally);
    }
}

/// The services are started and left alone, until JupiterOne holds the truth of every organization that it serves.
fn catch_up(arena: &Arena, tally: &Tally) {
    let mut running = SERVICES.map(|service| arena.start(service, &["run"], ""));
    let deadline = Instant::now() + arena.patience(CATCH_UP_BOUND);
    loop {
        let differences: Vec<String> = (arena.healthy().into_iter())
            .flat_map(|number| {
                let truth = expected(&arena.world.anthropic[number].truth(), number);
                let held = arena.world.graph(number);
                oracle::compare(&truth, &Graph::uploaded(held.entities, held.relationships))
            })
            .collect();
        let Some(first) = differences.first() else { break };
        let ended = running.iter_mut().position(Service::has_ended);
        if let Some(ended) = ended {
            let text = format!("{} ended by itself, unharmed\n{}", SERVICES[ended], running[ended].log());
            tally.violate([Violation::new("recovery", text)]);
            break;
        }
        if Instant::now() > deadline {
            let mut text = format!("JupiterOne has {} differences left, such as {first}", differences.len());
            for topic in Topic::ALL {
                let lines = kafka::unstable(&arena.world.bootstrap_servers, &arena.world.topic(topic));
                text.extend(lines.iter().map(|line| format!("\n{line}")));
            }
            for service in &mut running {
                let (_, readiness) = service.get("/readyz").unwrap_or_default();
                let _ = write!(text, "\n{readiness}\n{}", service.log());
            }
            tally.violate([Violation::new("catch-up", text)]);
            break;
        }
        thread::sleep(LOOK_PERIOD);
    }
    for (name, service) in SERVICES.into_iter().zip(running) {
        tally.read(name, &service.kill());
    }
}

/// What `anthropic-graph verify` finds, which shares no code with the processor, nor with the checker here.
fn verified(arena: &Arena) -> Vec<Violation> {
    let finished = match arena.complete("anthropic-graph", &["verify", "--json"]) {
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
