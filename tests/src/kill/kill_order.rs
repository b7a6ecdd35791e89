//! What is killed next of one service: every place once, then places and moments by chance.

use std::collections::VecDeque;
use std::time::Duration;

use super::dice::Dice;
use super::places::{PLACES, service};

/// How many kills are at a moment and not at a place, once every place had its turn (of a hundred).
const MOMENTS: u64 = 30;
/// How many kills are at a later visit of the place (of a hundred).
const LATER: u64 = 35;

#[derive(Debug, Clone)]
pub(super) enum Target {
    /// At the failpoint, when the process is there for the nth time.
    Place(&'static str, u32),
    /// After this long, wherever the process is.
    Moment(Duration),
}

/// One service's places in the order of their turns.
pub(super) struct KillOrder {
    dice: Dice,
    places: Vec<&'static str>,
    waiting: VecDeque<&'static str>,
    is_first_round: bool,
    has_intent: bool,
}

impl KillOrder {
    pub(super) fn of(of: &str, dice: Dice) -> Self {
        let places: Vec<_> = PLACES.into_iter().filter(|place| service(place) == of).collect();
        Self { dice, places, waiting: VecDeque::new(), is_first_round: true, has_intent: false }
    }

    pub(super) fn draw(&mut self) -> Target {
        if !self.is_first_round && self.dice.percent(MOMENTS) {
            return Target::Moment(self.dice.milliseconds(100, 2500));
        }
        if self.waiting.is_empty() {
            self.dice.shuffle(&mut self.places);
            self.waiting.extend(&self.places);
        }
        let turn = self.waiting.iter().position(|place| self.is_possible(place)).unwrap_or(0);
        let place = self.waiting.remove(turn).expect("it is not empty");
        let is_later = !self.is_first_round && self.dice.percent(LATER);
        let nth = if is_later { 1 + self.dice.below(visits(place)) } else { 1 };
        Target::Place(place, u32::try_from(nth).expect("it is small"))
    }

    /// The process was killed there.
    pub(super) fn reached(&mut self, place: &str) {
        let leaves_an_intent = |it: &str| {
            ["after_intent", "mid_upload", "before_finalize", "after_finalize", "before_record"].contains(&it)
        };
        self.has_intent = place.split_once("::").is_some_and(|(_, step)| leaves_an_intent(step));
        if self.waiting.is_empty() {
            self.is_first_round = false;
        }
    }

    /// It was not there in time: another turn, later.
    pub(super) fn missed(&mut self, place: &'static str) {
        self.waiting.push_back(place);
    }

    /// An intent is settled only where the last kill left one.
    fn is_possible(&self, place: &str) -> bool {
        place != "sink::before_settle" || self.has_intent
    }
}

/// How often a process comes there within seconds (count), at least.
fn visits(place: &str) -> u64 {
    match place {
        "sink::before_settle" => 1,
        // Once for each partition that has organizations.
        "sink::after_fencing" | "processor::after_init_transactions" | "processor::after_restore" => 2,
        // Once for each organization whose poll ends, or whose sync job does.
        "producer::before_start_mark" | "producer::after_start_mark" | "producer::before_end_mark" => 4,
        _ if place.starts_with("sink::") => 3,
        "processor::mid_restore" | "processor::mid_produce" => 40,
        // A poll of a small organization has about ten transactions.
        _ => 9,
    }
}
