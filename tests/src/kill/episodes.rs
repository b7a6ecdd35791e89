//! What chance seldom brings: an end that appears while its relationship's collection fails, and a mass deletion.

use std::collections::BTreeMap;

use schemas::change::{Envelope, op};
use schemas::codec::decode;
use schemas::element::ElementType;
use schemas::topics::Topic;
use simulator::anthropic::{Answer, Fault, Mutation, Truth};
use simulator::oracle::{self, Graph};

use super::arena::{Arena, MAX_DELETED_COUNT};
use super::checker::Violation;
use super::life::Departures;
use super::rest::{command, round};
use super::tally::Tally;
use crate::judge::expected;

/// Everything was listed whole.
const WHOLE: &[i32] = &[0];
/// Something was not listed, or is held.
const INCOMPLETE: &[i32] = &[0, 3];
/// The guard lets fewer go, whatever the fraction (count).
const MANY: usize = MAX_DELETED_COUNT + 4;

/// A creator leaves, and returns while the keys cannot be listed: `user CREATED key` must return with the user, since
/// the last whole listing of the keys has it. Each step is a process of its own, so it is restored in between.
pub(super) fn late_end(arena: &Arena, departures: &Departures, tally: &Tally) {
    let end = &arena.world.anthropic[0];
    let Some(user_id) = creator(&end.truth()) else { return };
    let event = end.mutate(Mutation::RemoveUser { id: user_id.clone() }).expect("a user of the truth");
    departures.note(0, &event);
    round(arena, tally, WHOLE);
    end.fault(Fault::on("api_keys", Answer::Forbidden));
    end.mutate(Mutation::AddUser { id: Some(user_id), email: None, name: None, role: None })
        .expect("a user who left");
    round(arena, tally, INCOMPLETE);
    compare(arena, tally, 0, "late-end", &expected(&end.truth(), 0));
    end.clear_faults();
    round(arena, tally, WHOLE);
}

/// More keys vanish than the guard lets go: all of them stay, each is told once, and a restart changes neither. The
/// listing that they were told of, where they were.
pub(super) fn mass_deletion(arena: &Arena, tally: &Tally) -> Option<String> {
    let end = &arena.world.anthropic[1];
    let truth = end.truth();
    let before = expected(&truth, 1);
    let gone: Vec<_> = truth.api_keys.keys().take(MANY.max(truth.api_keys.len() / 2)).cloned().collect();
    for id in &gone {
        end.mutate(Mutation::DeleteKey { id: id.clone() }).expect("a key of the truth");
    }
    for _ in 0..2 {
        round(arena, tally, INCOMPLETE);
        compare(arena, tally, 1, "held", &before);
    }
    let mut listings: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in arena.world.read(Topic::Changes) {
        let change: Envelope = decode(&record.value.expect("a change has a value")).expect("a change");
        if change.op == op::NOTICE {
            listings.entry(change.element_key).or_default().extend(change.source.listing_id);
        }
    }
    let told = |id: &String| listings.get(&ElementType::ApiKey.entity_key(id)).map_or(&[][..], Vec::as_slice);
    let wrong: Vec<_> = gone.iter().filter(|id| told(id).len() != 1).collect();
    if !wrong.is_empty() {
        let text =
            format!("{} of {} holds are not told once, such as {:?}", wrong.len(), gone.len(), wrong[0]);
        tally.violate([Violation::new("holds", text)]);
        return None;
    }
    told(&gone[0]).first().cloned()
}

/// A person approves what that listing misses: it goes, from JupiterOne too, and nobody has to help the sink.
pub(super) fn approval(arena: &Arena, tally: &Tally, listing_id: &str) {
    let end = &arena.world.anthropic[1];
    let id = end.organization_id();
    let arguments = ["approve", "--organization-id", &id, "--collection", "api_keys"];
    let seen = ["--listing", listing_id, "--by", "harness"];
    command(arena, tally, "processor", &[&arguments[..], &seen].concat(), WHOLE);
    round(arena, tally, WHOLE);
    compare(arena, tally, 1, "approved", &expected(&end.truth(), 1));
}

fn creator(truth: &Truth) -> Option<String> {
    let mut creators = truth.api_keys.values().filter_map(|key| Some(&key.created_by.as_ref()?.id));
    creators.find(|id| truth.users.contains_key(*id)).cloned()
}

fn compare(arena: &Arena, tally: &Tally, organization: usize, law: &str, expected: &Graph) {
    let held = arena.world.graph(organization);
    let differences = oracle::compare(expected, &Graph::uploaded(held.entities, held.relationships));
    if let Some(first) = differences.first() {
        let text = format!("{} differences, such as {first}", differences.len());
        tally.violate([Violation::new(law, text)]);
    }
}
