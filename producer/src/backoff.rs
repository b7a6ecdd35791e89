//! How long to wait before a request is sent again. Pure: headers, time and chance are arguments.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Bounds of the retries of one request.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Tries of one request, the first among them (count).
    pub tries: u32,
    /// Wait before the second try, doubled for each further one.
    pub first: Duration,
    /// Longest wait, whatever a header says.
    pub longest: Duration,
}

impl Default for Backoff {
    /// Five tries, half a second, a minute: a minute is how long a budget that is spent takes to come back.
    fn default() -> Self {
        Self { tries: 5, first: Duration::from_millis(500), longest: Duration::from_mins(1) }
    }
}

/// Largest part of a wait that chance takes away, so that clients do not come back all at once (of 1).
const JITTER: f64 = 0.25;

impl Backoff {
    /// The wait before the try after `tried` tries. `retry-after-ms` and `retry-after` (seconds or an HTTP date) are
    /// obeyed up to the bound; without one that lies ahead the wait grows, and a limit's reset time that lies ahead
    /// prolongs it. `chance` is 0 to 1.
    pub fn delay(&self, headers: &HeaderMap, tried: u32, now: Timestamp, chance: f64) -> Duration {
        if let Some(wait) = retry_after(headers, now) {
            return wait.min(self.longest);
        }
        let doubled = self.first.saturating_mul(1 << tried.saturating_sub(1).min(16)).min(self.longest);
        let jittered = doubled.mul_f64(1.0 - JITTER * chance.clamp(0.0, 1.0));
        reset(headers, now).map_or(jittered, |reset| reset.max(jittered)).min(self.longest)
    }
}

/// Whether a request that was answered so may be sent again: as the server says in `x-should-retry`, else by status
/// (409 is a conflict that passes, 529 is Anthropic's for overload).
pub fn is_worth_retrying(status: StatusCode, headers: &HeaderMap) -> bool {
    match text(headers, "x-should-retry") {
        Some("true") => true,
        Some("false") => false,
        _ => matches!(status.as_u16(), 408 | 409 | 429 | 500..),
    }
}

/// What the server asks for, as far as that lies ahead: 0 seconds, or a time that has passed by a clock that is ahead,
/// would spend all tries within milliseconds. Anthropic's SDK ignores both (`_base_client.py`).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let number = |name| text(headers, name).and_then(|text| text.parse::<f64>().ok());
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
    let date = || rfc2822::DateTimeParser::new().parse_timestamp(text(headers, RETRY_AFTER.as_str())?).ok();
    let is_ahead = |wait: &Duration| !wait.is_zero();
    let milliseconds = number("retry-after-ms").and_then(|number| seconds(number / 1000.0));
    milliseconds
        .filter(is_ahead)
        .or_else(|| number(RETRY_AFTER.as_str()).and_then(seconds).filter(is_ahead))
        .or_else(|| date().map(|at| until(at, now)).filter(is_ahead))
}

fn reset(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let at: Timestamp = text(headers, "anthropic-ratelimit-requests-reset")?.parse().ok()?;
    Some(until(at, now))
}

/// None at all where it has passed.
fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{Backoff, is_worth_retrying};

    /// Headers, tries, chance, and the expected wait (ms).
    type Case = (&'static [(&'static str, &'static str)], u32, f64, u64);

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_header_decides_within_the_bound_and_else_the_wait_doubles() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().expect("a time");
        let cases: [Case; 18] = [
            (&[], 1, 0.0, 500),
            (&[], 2, 0.0, 1_000),
            (&[], 3, 1.0, 1_500),
            (&[], 30, 0.0, 60_000),
            (&[("retry-after", "7")], 1, 1.0, 7_000),
            (&[("retry-after", "0.25")], 1, 1.0, 250),
            (&[("retry-after", "3600")], 1, 0.0, 60_000),
            (&[("retry-after", "Tue, 24 Nov 2026 12:00:09 GMT")], 1, 0.0, 9_000),
            // At once, or at a time that has passed, says nothing of when it is worth it.
            (&[("retry-after", "Tue, 24 Nov 2026 11:00:00 GMT")], 2, 0.0, 1_000),
            (&[("retry-after", "0")], 1, 0.0, 500),
            (&[("retry-after", "0.0")], 3, 0.0, 2_000),
            (&[("retry-after-ms", "0")], 1, 0.0, 500),
            (&[("retry-after-ms", "0"), ("retry-after", "7")], 1, 0.0, 7_000),
            (&[("retry-after", "soon")], 1, 0.0, 500),
            (&[("retry-after", "-1")], 1, 0.0, 500),
            (&[("retry-after-ms", "40"), ("retry-after", "7")], 1, 0.0, 40),
            (&[("anthropic-ratelimit-requests-reset", "2026-11-24T12:00:20Z")], 1, 0.0, 20_000),
            (&[("anthropic-ratelimit-requests-reset", "2026-11-24T11:00:00Z")], 1, 0.0, 500),
        ];
        for (pairs, tried, chance, expected) in cases {
            let delay = Backoff::default().delay(&headers(pairs), tried, now, chance);
            assert_eq!(delay, Duration::from_millis(expected), "{pairs:?} after {tried}");
        }
    }

    #[test]
    fn the_server_s_word_wins_over_the_status() {
        let retried = [408, 409, 429, 500, 502, 503, 504, 529];
        let final_ones = [301, 307, 400, 401, 402, 403, 404, 413, 422];
        for (statuses, expected) in [(&retried[..], true), (&final_ones[..], false)] {
            for status in statuses {
                let status = StatusCode::from_u16(*status).expect("a status");
                assert_eq!(is_worth_retrying(status, &HeaderMap::new()), expected, "{status}");
                assert!(is_worth_retrying(status, &headers(&[("x-should-retry", "true")])));
                assert!(!is_worth_retrying(status, &headers(&[("x-should-retry", "false")])));
            }
        }
    }
}
