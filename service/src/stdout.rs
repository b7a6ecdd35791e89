//! What a command prints on stdout. A reader that goes away, as `head` does, has read enough: that is not a failure.

use std::fmt::Display;
use std::io::{self, StdoutLock, Write};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use anyhow::Context as _;

use crate::exit::Outcome;
use crate::progress;

/// What is as it should be.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What a person should look at.
pub const UNUSUAL: Style = AnsiColor::Yellow.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();

/// The text in that style, which a stream without colors leaves out.
pub fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Writes and flushes; `false` where the reader went away. Styles are written where stdout is a terminal, and not under
/// `NO_COLOR`.
///
/// # Errors
/// When stdout cannot be written for another reason.
pub fn write(
    write: impl FnOnce(&mut AutoStream<StdoutLock<'static>>) -> io::Result<()>,
) -> anyhow::Result<bool> {
    progress::suspend(|| {
        let mut stdout = AutoStream::auto(io::stdout().lock());
        is_read(write(&mut stdout).and_then(|()| stdout.flush()))
    })
}

/// Writes bytes as they are.
///
/// # Errors
/// As [`write()`].
pub fn write_bytes(bytes: &[u8]) -> anyhow::Result<bool> {
    progress::suspend(|| {
        let mut stdout = io::stdout().lock();
        is_read(stdout.write_all(bytes).and_then(|()| stdout.flush()))
    })
}

/// Prints lines.
///
/// # Errors
/// As [`write()`].
pub fn print(lines: impl IntoIterator<Item = impl Display>) -> anyhow::Result<Outcome> {
    write(|stdout| lines.into_iter().try_for_each(|line| writeln!(stdout, "{line}")))?;
    Ok(Outcome::Done)
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

    use super::is_read;

    #[test]
    fn only_a_reader_that_went_away_is_forgiven() {
        assert!(is_read(Ok(())).expect("written"));
        assert!(!is_read(Err(io::ErrorKind::BrokenPipe.into())).expect("no failure"));
        is_read(Err(io::ErrorKind::StorageFull.into())).expect_err("a failure");
    }
}
