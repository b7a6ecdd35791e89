//! Chance from a seed: the same seed always throws the same.

use jiff::{Timestamp, ToSpan};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

/// The alphabet of Anthropic's ids, as far as their examples show it.
const BASE58: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// A seeded source of chance.
#[derive(Debug)]
pub(super) struct Dice(StdRng);

impl Dice {
    /// Dice for one purpose, so that more throws for one do not change another.
    pub(super) fn new(seed: u64, purpose: u64) -> Self {
        Self(StdRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(purpose)))
    }

    /// A number below `bound`; 0 where `bound` is 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { self.0.random_range(0..bound) }
    }

    /// Whether a throw with one chance in `n` hits.
    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }

    /// One of them, or nothing of none.
    pub(super) fn choose<T: Clone>(&mut self, among: &[T]) -> Option<T> {
        if among.is_empty() { None } else { Some(self.pick(among).clone()) }
    }

    /// Puts them into an order of chance.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }

    /// `length` characters of Anthropic's alphabet.
    pub(super) fn letters(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(*self.pick(BASE58))).collect()
    }

    /// An id such as `user_01…`.
    pub(super) fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}_01{}", self.letters(22))
    }

    /// A random (version 4) UUID.
    pub(super) fn uuid(&mut self) -> String {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// `#RRGGBB`.
    pub(super) fn color(&mut self) -> String {
        format!("#{:06X}", self.below(0x0100_0000))
    }

    /// The hint of a secret: its first and last characters.
    pub(super) fn hint(&mut self) -> String {
        format!("sk-ant-api03-{}...{}AA", self.letters(3), self.letters(2))
    }

    /// A time between `least` and `most` hours before `now`, in one of the two precisions that the API sends.
    pub(super) fn before(&mut self, now: Timestamp, least: usize, most: usize) -> String {
        let seconds = i64::try_from(least * 3_600 + self.below((most - least) * 3_600)).unwrap_or(0);
        self.write(now.saturating_sub(seconds.seconds()).unwrap_or(now))
    }

    /// The time with microseconds of chance, or with whole seconds once in four.
    pub(super) fn write(&mut self, time: Timestamp) -> String {
        if self.one_in(4) {
            return format!("{time:.0}");
        }
        let micros = i64::try_from(self.below(1_000_000)).unwrap_or(0);
        let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
        format!("{:.6}", whole.saturating_add(micros.microseconds()).unwrap_or(whole))
    }
}
