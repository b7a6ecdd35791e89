//! Pauses between the tries of one request.

use std::time::Duration;

use rand::Rng;

/// Tries of one request (count): with the pauses, about half a minute. The job as a whole is tried again after that.
const MAX_TRIES: u32 = 6;
/// Longest first pause; it doubles with every try.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause, and the longest that JupiterOne may ask for before the job is given up for now.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often a request was tried.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The pause before the next try, `None` where there is none: full jitter under a doubling bound, and never
    /// less than JupiterOne asked for.
    pub(super) fn next(&mut self, after: Option<Duration>) -> Option<Duration> {
        self.tries += 1;
        if self.tries >= MAX_TRIES || after.is_some_and(|after| after > LONGEST_PAUSE) {
            return None;
        }
        let bound = (FIRST_PAUSE * 2_u32.pow(self.tries - 1)).min(LONGEST_PAUSE);
        let jittered = bound.mul_f64(rand::rng().random_range(0.5..=1.0));
        Some(after.map_or(jittered, |after| after + jittered / 2))
    }
}
