//! What a command answers on stdout. A reader that goes away, as `head` does, has read enough: that is no failure.

use std::fmt::Display;
use std::io::{self, StdoutLock, Write};

use anyhow::Context as _;

use crate::exit::Outcome;

/// Writes and flushes; `false` where the reader went away.
///
/// # Errors
/// When stdout cannot be written for another reason.
pub fn write(write: impl FnOnce(&mut StdoutLock<'_>) -> io::Result<()>) -> anyhow::Result<bool> {
    let mut stdout = io::stdout().lock();
    is_read(write(&mut stdout).and_then(|()| stdout.flush()))
}

/// Prints lines.
///
/// # Errors
/// As [`write()`].
pub fn print(lines: impl IntoIterator<Item = impl Display>) -> anyhow::Result<Outcome> {
    write(|stdout| lines.into_iter().try_for_each(|line| writeln!(stdout, "{line}")))?;
    Ok(Outcome::Done)
}

/// A number of things, for people: `1 organization`, `2 organizations`.
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A time as people and programs read it (ms since 1970).
pub fn time(ts_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ts_ms).map_or_else(|_| ts_ms.to_string(), |time| time.to_string())
}

fn is_read(written: io::Result<()>) -> anyhow::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("failed to write to stdout"),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{count, is_read, time};

    #[test]
    fn only_a_reader_that_went_away_is_forgiven() {
        assert!(is_read(Ok(())).expect("written"));
        assert!(!is_read(Err(io::ErrorKind::BrokenPipe.into())).expect("no failure"));
        is_read(Err(io::ErrorKind::StorageFull.into())).expect_err("a failure");
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
