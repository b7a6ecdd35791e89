//! What chance seldom brings: an end that appears while its relationship's collection fails, mass deletions, a listing
//! that comes late, and a second graph of the same target.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use schemas::change::{Envelope, Op};
use schemas::codec::decode;
use schemas::element::ElementType;
use schemas::topics::Topic;
use simulator::anthropic::{Answer, Fault, Mutation, Truth};
use simulator::oracle::{self, Graph};

use super::commands::{UNTIL_END, command, round};
use super::life::Departures;
use super::statistics::Statistics;
use super::system::{MAX_DELETED_COUNT, System};
use super::violation::Violation;
use crate::comparison::expected;
use crate::prefix;

/// Everything was listed whole.
const WHOLE: &[i32] = &[0];
/// Something was not listed, or is held.
const INCOMPLETE: &[i32] = &[0, 3];
/// The guard lets fewer go, whatever the fraction (count).
const MANY: usize = MAX_DELETED_COUNT + 4;
/// How late a listing comes: another producer polls meanwhile.
const LATE: Duration = Duration::from_secs(10);
/// How long the late listing's request is waited for.
const REQUEST_BOUND: Duration = Duration::from_secs(30);
/// How often it is looked for.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// A creator leaves, and returns while the keys cannot be listed: `user CREATED key` must return with the user, since
/// the last whole listing of the keys has it. Each step is a process of its own, so it is restored in between.
pub(super) fn late_end(system: &System, departures: &Departures, statistics: &Statistics) {
    let end = &system.world.anthropic[0];
    let Some(user_id) = creator(&end.truth()) else { return };
    let event = end.mutate(Mutation::RemoveUser { id: user_id.clone() }).expect("a user of the truth");
    departures.note(0, &event);
    round(system, statistics, WHOLE);
    end.fault(Fault::on("api_keys", Answer::Forbidden));
    end.mutate(Mutation::AddUser { id: Some(user_id), email: None, name: None, role: None })
        .expect("a user who left");
    round(system, statistics, INCOMPLETE);
    compare(system, statistics, 0, "late-end", &expected(&end.truth(), 0));
    end.clear_faults();
    round(system, statistics, WHOLE);
}

/// More keys vanish than the guard allows: all of them stay, each is reported once, and a restart changes neither. Returns
/// the listing of the first notice, if there is one.
pub(super) fn mass_deletion(system: &System, statistics: &Statistics) -> Option<String> {
    let end = &system.world.anthropic[1];
    let truth = end.truth();
    let before = expected(&truth, 1);
    let gone: Vec<_> = truth.api_keys.keys().take(MANY.max(truth.api_keys.len() / 2)).cloned().collect();
    for id in &gone {
        end.mutate(Mutation::DeleteKey { id: id.clone() }).expect("a key of the truth");
    }
    for _ in 0..2 {
        round(system, statistics, INCOMPLETE);
        compare(system, statistics, 1, "held", &before);
    }
    let mut listings: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in system.world.read(Topic::Changes) {
        let change: Envelope = decode(&record.value.expect("a change has a value")).expect("a change");
        if change.op == Op::Notice {
            listings.entry(change.element_key).or_default().extend(change.source.listing_id);
        }
    }
    let notices_of =
        |id: &String| listings.get(&ElementType::ApiKey.entity_key(id)).map_or(&[][..], Vec::as_slice);
    let wrong: Vec<_> = gone.iter().filter(|id| notices_of(id).len() != 1).collect();
    if !wrong.is_empty() {
        let text =
            format!("{} of {} holds do not have one notice, such as {:?}", wrong.len(), gone.len(), wrong[0]);
        statistics.violate([Violation::new("holds", text)]);
        return None;
    }
    notices_of(&gone[0]).first().cloned()
}

/// A person approves what that listing misses: it is deleted, from JupiterOne too, and the sink needs no help.
pub(super) fn approval(system: &System, statistics: &Statistics, listing_id: &str) {
    let end = &system.world.anthropic[1];
    let id = end.organization_id();
    let arguments = ["holds", "approve", "--organization-id", &id, "--collection", "api_keys"];
    let seen = ["--listing", listing_id, "--by", "harness"];
    command(system, statistics, "anthropic-graph", &[&arguments[..], &seen].concat(), WHOLE);
    round(system, statistics, WHOLE);
    compare(system, statistics, 1, "approved", &expected(&end.truth(), 1));
}

/// More keys vanish than the sink's guard allows, in two polls, each of which the processor allows: all of them stay in
/// JupiterOne until a person approves what the sink shows.
pub(super) fn many_polls(system: &System, statistics: &Statistics) {
    let end = &system.world.anthropic[2];
    let truth = end.truth();
    let before = expected(&truth, 2);
    let gone: Vec<_> = truth.api_keys.into_keys().take(MANY).collect();
    for part in gone.chunks(MANY / 2) {
        for id in part {
            end.mutate(Mutation::DeleteKey { id: id.clone() }).expect("a key of the truth");
        }
        command(system, statistics, "producer", &["poll"], WHOLE);
        command(system, statistics, "processor", UNTIL_END, WHOLE);
    }
    sink_approval(system, statistics, 2, "sink-guard", &before);
    round(system, statistics, WHOLE);
    compare(system, statistics, 2, "approved", &expected(&end.truth(), 2));
}

/// A producer's page comes late. Another producer lists and writes meanwhile, and what it wrote must stand: the late
/// listing does not have the user who joined in between.
pub(super) fn slow_listing(system: &System, statistics: &Statistics) {
    let end = &system.world.anthropic[3];
    let milliseconds = u64::try_from(LATE.as_millis()).expect("seconds");
    end.fault(Fault::on("users", Answer::SlowBody { milliseconds }).first(1));
    let poll = ["poll", "--organization", "organization-4"];
    let asked = end.requests().len();
    let slow = system.start("producer", &poll, "");
    let deadline = Instant::now() + REQUEST_BOUND;
    let has_listed = || end.requests().iter().skip(asked).any(|request| request.fault.is_some());
    while !has_listed() && Instant::now() < deadline {
        thread::sleep(LOOK_PERIOD);
    }
    end.mutate(Mutation::AddUser { id: None, email: None, name: None, role: None }).expect("a new user");
    command(system, statistics, "producer", &poll, WHOLE);
    let slow = slow.finish();
    if slow.code != Some(0) {
        let text = format!("producer poll, overtaken: exit code {:?}\n{}", slow.code, slow.stderr);
        statistics.violate([Violation::new("recovery", text)]);
    }
    command(system, statistics, "processor", UNTIL_END, WHOLE);
    command(system, statistics, "sink", UNTIL_END, WHOLE);
    compare(system, statistics, 3, "older-listing", &expected(&end.truth(), 3));
}

/// Under another prefix lies an older graph of the same target, whose keys were never listed. Its first sync job waits
/// for a person; once allowed, it deletes what the older graph does not have, but no key.
pub(super) fn another_prefix(system: &System, statistics: &Statistics) {
    let end = &system.world.anthropic[4];
    let (older, prefix) = (expected(&end.truth(), 4), prefix());
    end.fault(Fault::on("api_keys", Answer::Forbidden));
    system.under(&prefix, || {
        command(system, statistics, "producer", &["poll", "--organization", "organization-5"], INCOMPLETE);
        command(system, statistics, "processor", UNTIL_END, INCOMPLETE);
    });
    end.clear_faults();
    end.mutate(Mutation::AddUser { id: None, email: None, name: None, role: None }).expect("a new user");
    round(system, statistics, WHOLE);
    system.under(&prefix, || {
        sink_approval(system, statistics, 4, "first-job", &expected(&end.truth(), 4));
        command(system, statistics, "sink", UNTIL_END, INCOMPLETE);
    });
    compare(system, statistics, 4, "never-whole", &older);
}

/// The sink changes nothing, says why, and a person approves what it shows.
fn sink_approval(system: &System, statistics: &Statistics, organization: usize, law: &str, expected: &Graph) {
    let paused = system.complete("sink", UNTIL_END).map_or_else(|log| log, |finished| finished.stderr);
    compare(system, statistics, organization, law, expected);
    let name = format!("organization-{}", organization + 1);
    let shown = paused.rsplit_once(&format!("sync approve --organization {name} --revision "));
    let Some(revision) = shown.and_then(|(_, rest)| rest.split(' ').next()) else {
        statistics.violate([Violation::new(law, format!("the sink is not paused\n{paused}"))]);
        return;
    };
    let arguments = ["sync", "approve", "--organization", &name, "--revision", revision, "--by", "harness"];
    command(system, statistics, "anthropic-graph", &arguments, WHOLE);
}

fn creator(truth: &Truth) -> Option<String> {
    let mut creators = truth.api_keys.values().filter_map(|key| Some(&key.created_by.as_ref()?.id));
    creators.find(|id| truth.users.contains_key(*id)).cloned()
}

fn compare(system: &System, statistics: &Statistics, organization: usize, law: &str, expected: &Graph) {
    let held = system.world.graph(organization);
    let differences = oracle::compare(expected, &Graph::uploaded(held.entities, held.relationships));
    if let Some(first) = differences.first() {
        let text = format!("{} differences, such as {first}", differences.len());
        statistics.violate([Violation::new(law, text)]);
    }
}
