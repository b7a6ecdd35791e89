//! The request budget that all Admin endpoints of an organization share. Pure: time is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a spent token is unavailable.
const MINUTE: Duration = Duration::from_mins(1);

/// A bucket with one token per request. A spent token returns a minute later, so no period of a minute has more
/// requests than the bucket has tokens. Anthropic allows an organization 100 per minute, for all Admin endpoints and
/// all clients together (user management guide, "Rate limits").
#[derive(Debug)]
pub struct Budget {
    per_minute: usize,
    /// When the tokens of the last minute were spent, oldest first; at most `per_minute`.
    spent: VecDeque<Instant>,
}

impl Budget {
    /// A full bucket with at least one token.
    pub fn new(requests_per_minute: u32) -> Self {
        let per_minute = usize::try_from(requests_per_minute.max(1)).unwrap_or(usize::MAX);
        Self { per_minute, spent: VecDeque::new() }
    }

    /// How long this many requests take from now on if each is answered at once.
    pub fn time_for(&mut self, requests: usize, now: Instant) -> Duration {
        self.forget_old(now);
        let free = self.per_minute - self.spent.len();
        let Some(last) = requests.checked_sub(free + 1) else { return Duration::ZERO };
        // Without a free token, a request waits for one that returns, and the next use of that token waits a minute
        // more.
        let rounds = u32::try_from(last / self.per_minute).unwrap_or(u32::MAX);
        let position = last % self.per_minute;
        let spent = self
            .spent
            .get(position)
            .map(|spent| MINUTE.saturating_sub(now.saturating_duration_since(*spent)));
        spent.unwrap_or(MINUTE).saturating_add(MINUTE.saturating_mul(rounds))
    }

    fn forget_old(&mut self, now: Instant) {
        while self.spent.front().is_some_and(|spent| now.saturating_duration_since(*spent) >= MINUTE) {
            self.spent.pop_front();
        }
    }

    /// Spends a token, or returns how long to wait for one.
    pub fn spend(&mut self, now: Instant) -> Result<(), Duration> {
        self.forget_old(now);
        match self.spent.front() {
            Some(oldest) if self.spent.len() >= self.per_minute => {
                Err(MINUTE.saturating_sub(now.saturating_duration_since(*oldest)))
            }
            _ => {
                self.spent.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Budget;

    #[test]
    fn no_minute_has_more_requests_than_the_bucket_has_tokens() {
        let mut budget = Budget::new(90);
        let start = Instant::now();
        let mut now = start;
        let mut sent = Vec::new();
        while sent.len() < 500 {
            match budget.spend(now) {
                Ok(()) => sent.push(now),
                Err(wait) => {
                    assert!(!wait.is_zero());
                    now += wait;
                }
            }
            now += Duration::from_millis(7);
        }
        for (position, first) in sent.iter().enumerate() {
            let within = |at: &&Instant| **at - *first < Duration::from_mins(1);
            assert!(sent[position..].iter().take_while(within).count() <= 90);
        }
    }

    #[test]
    fn a_token_returns_a_minute_after_it_was_spent() {
        let mut budget = Budget::new(1);
        let start = Instant::now();
        assert_eq!(budget.spend(start), Ok(()));
        assert_eq!(budget.spend(start + Duration::from_secs(20)), Err(Duration::from_secs(40)));
        assert_eq!(budget.spend(start + Duration::from_mins(1)), Ok(()));
    }

    #[test]
    fn the_time_for_requests_follows_from_the_bucket() {
        let start = Instant::now();
        for requests in [1, 3, 4, 6, 7, 20] {
            let mut budget = Budget::new(3);
            let mut now = start;
            budget.spend(now).expect("it is full");
            now += Duration::from_secs(10);
            let expected = budget.time_for(requests, now);
            let asked = now;
            for _ in 0..requests {
                while let Err(wait) = budget.spend(now) {
                    now += wait;
                }
            }
            assert_eq!(now - asked, expected, "{requests} requests");
        }
    }
}
