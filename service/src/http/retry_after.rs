//! When a server wants to be asked again. Pure.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// `retry-after-ms`, which Anthropic sends too, or `retry-after` in seconds or as an HTTP date. 0 seconds, or a time that
/// has passed because of a skewed clock, would spend all tries within milliseconds; Anthropic's SDK ignores both
/// (`_base_client.py`).
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let seconds = |name, unit: f64| Duration::try_from_secs_f64(text(name)?.parse::<f64>().ok()? / unit).ok();
    let date = || {
        let date = DateTimeParser::new().parse_timestamp(text(RETRY_AFTER.as_str())?).ok()?;
        Duration::try_from(date.duration_since(now)).ok()
    };
    let is_ahead = |wait: &Duration| !wait.is_zero();
    seconds("retry-after-ms", 1_000.0)
        .filter(is_ahead)
        .or_else(|| seconds(RETRY_AFTER.as_str(), 1.0).filter(is_ahead))
        .or_else(|| date().filter(is_ahead))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::retry_after;

    type Pairs = &'static [(&'static str, &'static str)];

    #[test]
    fn a_wait_is_asked_for_in_seconds_or_until_a_date_and_one_that_is_over_is_none() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().expect("a time");
        let cases: [(Pairs, Option<u64>); 14] = [
            (&[], None),
            (&[("retry-after", "7")], Some(7_000)),
            (&[("retry-after", "0.25")], Some(250)),
            (&[("retry-after", "3600")], Some(3_600_000)),
            (&[("retry-after", "Tue, 24 Nov 2026 12:00:09 GMT")], Some(9_000)),
            (&[("retry-after", "Tue, 24 Nov 2026 11:00:00 GMT")], None),
            (&[("retry-after", "0")], None),
            (&[("retry-after", "0.0")], None),
            (&[("retry-after-ms", "0")], None),
            (&[("retry-after-ms", "0"), ("retry-after", "7")], Some(7_000)),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "inf")], None),
            (&[("retry-after-ms", "40"), ("retry-after", "7")], Some(40)),
        ];
        for (pairs, expected) in cases {
            let pair = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
            let headers: HeaderMap = pairs.iter().copied().map(pair).collect();
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_millis), "{pairs:?}");
        }
    }
}
