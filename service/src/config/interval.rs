//! Intervals and retention times as people write them.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// Shortest interval (s): polls would overlap below it.
const SHORTEST: Duration = Duration::from_secs(1);
/// Longest interval (h): ten years; a longer one is a typing error.
const LONGEST: Duration = Duration::from_hours(10 * 366 * 24);

/// JupiterOne's names for polling intervals (s), except `DISABLED`.
const NAMED: [(&str, u64); 8] = [
    ("FIFTEEN_MINUTES", 15 * 60),
    ("THIRTY_MINUTES", 30 * 60),
    ("ONE_HOUR", 60 * 60),
    ("FOUR_HOURS", 4 * 60 * 60),
    ("EIGHT_HOURS", 8 * 60 * 60),
    ("TWELVE_HOURS", 12 * 60 * 60),
    ("ONE_DAY", 24 * 60 * 60),
    ("ONE_WEEK", 7 * 24 * 60 * 60),
];

/// How often an organization is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollingInterval {
    /// From the start of one poll to the start of the next.
    Every(Duration),
    /// Only by `producer poll`.
    Disabled,
}

/// A time such as `90s`, `30m`, `1h 30m`, `1d`, or one of JupiterOne's names.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if let Some((_, seconds)) = NAMED.iter().find(|(name, _)| *name == text) {
        return Ok(Duration::from_secs(*seconds));
    }
    text.parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| (SHORTEST..=LONGEST).contains(duration))
        .ok_or_else(|| {
            let names = NAMED.map(|(name, _)| name).join(", ");
            format!(
                "\"{text}\" is not an interval; use a time of at least one second such as \"90s\", \"30m\", \"1h\" or \
                 \"1d\", or one of {names}"
            )
        })
}

pub(super) fn parse_polling_interval(text: &str) -> Result<PollingInterval, String> {
    if text.trim() == "DISABLED" {
        return Ok(PollingInterval::Disabled);
    }
    parse_duration(text).map(PollingInterval::Every).map_err(|message| format!("{message}, or \"DISABLED\""))
}

/// Milliseconds, `None` for `unlimited`.
pub(super) fn parse_retention(text: &str) -> Result<Option<u64>, String> {
    if text.trim() == "unlimited" {
        return Ok(None);
    }
    parse_duration(text)
        .ok()
        .and_then(|duration| u64::try_from(duration.as_millis()).ok())
        .map(Some)
        .ok_or_else(|| {
            format!(
                "\"{text}\" is not a retention time; use a time such as \"30d\" or \"12h\", or \"unlimited\""
            )
        })
}
