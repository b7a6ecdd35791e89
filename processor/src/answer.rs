//! What a command answers on stdout.

use std::io::{self, Write};

use anyhow::Context as _;
use service::exit::Outcome;

/// Prints lines; a reader that went away has read enough.
pub(crate) fn answer<L: AsRef<str>>(lines: &[L]) -> anyhow::Result<Outcome> {
    let mut stdout = io::stdout().lock();
    for line in lines {
        match writeln!(stdout, "{}", line.as_ref()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Outcome::Done),
            Err(error) => return Err(error).context("failed to write to stdout"),
        }
    }
    Ok(Outcome::Done)
}

/// A time as people and programs read it (ms since 1970).
pub(crate) fn time(ts_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ts_ms).map_or_else(|_| ts_ms.to_string(), |time| time.to_string())
}

/// One word of a command line that a shell takes as it is.
pub(crate) fn shell(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:,@%+=".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::shell;

    #[test]
    fn a_word_with_a_meaning_to_the_shell_is_quoted() {
        assert_eq!(shell("members/wrkspc_1"), "members/wrkspc_1");
        assert_eq!(shell("anthropic_user:1|assigned|x"), "'anthropic_user:1|assigned|x'");
        assert_eq!(shell("it's"), r"'it'\''s'");
        assert_eq!(shell(""), "''");
    }
}
