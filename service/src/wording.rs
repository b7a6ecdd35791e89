//! Numbers and times as people read them.

/// A number of things, for people: `1 organization`, `2 organizations`.
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A time as people and programs read it (ms since 1970).
pub fn time(ts_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ts_ms).map_or_else(|_| ts_ms.to_string(), |time| time.to_string())
}

/// The same, always as wide: times below each other align.
pub fn time_to_the_millisecond(ts_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ts_ms).map_or_else(|_| ts_ms.to_string(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::{count, time, time_to_the_millisecond};

    #[test]
    fn times_below_each_other_align() {
        assert_eq!(time_to_the_millisecond(1_795_536_557_990), "2026-11-24T16:09:17.990Z");
        assert_eq!(time_to_the_millisecond(1_795_536_557_000), "2026-11-24T16:09:17.000Z");
    }

    #[test]
    fn one_thing_is_not_several() {
        assert_eq!(count(1, "organization"), "1 organization");
        assert_eq!([0, 2].map(|number| count(number, "change")), ["0 changes", "2 changes"]);
    }

    #[test]
    fn a_time_beyond_all_calendars_stays_a_number() {
        assert_eq!(time(1_795_536_557_993), "2026-11-24T16:09:17.993Z");
        assert_eq!(time(i64::MAX), i64::MAX.to_string());
    }
}
