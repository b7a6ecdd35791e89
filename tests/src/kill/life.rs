//! What happens meanwhile: people and keys come and go, and both ends have their faults.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use simulator::anthropic::{Answer, Anthropic, Event, Fault, Object, Op};
use simulator::jupiterone::{self, Effect, Route};

use super::dice::Dice;
use super::system::System;

/// Pause between two things that happen: some in each poll.
const PAUSE: Duration = Duration::from_millis(300);
/// Events that may be a troubled organization's (of a hundred).
const IN_TROUBLE: u64 = 15;

/// What was gone at some time: organization, kind and id, of a membership `<workspace id>/<user id>`.
#[derive(Debug, Default)]
pub(super) struct Departures(Mutex<BTreeSet<(usize, Object, String)>>);

impl Departures {
    /// Notes what goes with an event.
    pub(super) fn note(&self, organization: usize, event: &Event) {
        let gone = event.effects.iter().filter(|effect| effect.op == Op::Deleted);
        self.lock().extend(gone.map(|effect| (organization, effect.object, effect.id.clone())));
    }

    /// Whether it was gone at some time.
    pub(super) fn has(&self, organization: usize, object: Object, id: &str) -> bool {
        self.lock().contains(&(organization, object, id.to_owned()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(usize, Object, String)>> {
        // A set is whole between any two calls.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lives until it is stopped, and leaves no fault but the system's own trouble.
pub(super) fn live(system: &System, departures: &Departures, mut dice: Dice, stop: &AtomicBool) {
    let (world, healthy) = (&system.world, system.healthy());
    while !stop.load(Ordering::Relaxed) {
        // What changes while JupiterOne refuses an organization adds up, and must stay within the sink's guard.
        let chosen = if dice.percent(IN_TROUBLE) {
            index(&mut dice, world.anthropic.len() as u64)
        } else {
            healthy[index(&mut dice, healthy.len() as u64)]
        };
        let end = &world.anthropic[chosen];
        end.live(1).iter().for_each(|event| departures.note(chosen, event));
        if dice.percent(12) {
            end.fault(anthropic_fault(&mut dice));
        }
        if dice.percent(6) {
            world.jupiterone.fault(jupiterone_fault(&mut dice));
        }
        thread::sleep(PAUSE);
    }
    world.anthropic.iter().for_each(Anthropic::clear_faults);
    world.jupiterone.clear_faults();
    system.trouble();
}

fn anthropic_fault(dice: &mut Dice) -> Fault {
    let on = ["", "users", "workspaces", "api_keys", "members", "organization"][index(dice, 6)];
    let answer = match dice.below(8) {
        0 => Answer::RateLimited { retry_after: None, retry_after_ms: Some("200".to_owned()), reset: None },
        1 => Answer::ServerError { should_retry: None },
        2 => Answer::Overloaded,
        3 => Answer::HtmlBadGateway,
        4 => Answer::Cut,
        5 => Answer::CutBody,
        6 => Answer::TruncatedJson,
        _ => Answer::Forbidden,
    };
    Fault::on(on, answer).first(1 + dice.below(3))
}

fn jupiterone_fault(dice: &mut Dice) -> jupiterone::Fault {
    let effect = match dice.below(6) {
        0 => Effect::RateLimited { retry_after: Some(1) },
        1 => Effect::Status(500),
        2 => Effect::Status(503),
        3 => Effect::Cut,
        4 => Effect::CommitThenCut,
        _ => Effect::Slow(300),
    };
    let route = [Route::Start, Route::Entities, Route::Relationships, Route::Finalize, Route::Status];
    jupiterone::Fault::new(route[index(dice, 5)], effect).first(1)
}

fn index(dice: &mut Dice, length: u64) -> usize {
    usize::try_from(dice.below(length)).expect("it is an index")
}
