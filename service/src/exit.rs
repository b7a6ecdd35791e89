//! How a binary begins and ends: arguments, runtime, exit code.

use std::borrow::Cow;
use std::env;
use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;
use tokio::runtime::Runtime;
use tracing::info;

use crate::admin::AdminError;
use crate::config;
use crate::kafka::acls::hint;
use crate::kafka::client::ConfigError;
use crate::redaction::redact_remembered;
use crate::telemetry::{self, Verbosity};
use crate::traces::Export;
use crate::version;

/// How long threads that still block may take after the end (s): librdkafka's calls have their own, shorter bounds.
const LINGER: Duration = Duration::from_secs(10);

/// How a command ended, as people script against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Did what was asked: 0.
    Done,
    /// Failed, and already said why on stdout (`check`): 1.
    Failed,
    /// Finished, but not all of it: 3. The last line on stderr, which names what is missing.
    Incomplete(String),
}

impl Outcome {
    pub fn code(&self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Incomplete(_) => 3,
        }
    }
}

/// An error that the person at the command line fixes: exit code 2, as a configuration's errors have.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// The value of an option that must say something.
pub fn filled(option: &str, value: String) -> Result<String, UsageError> {
    if value.trim().is_empty() { Err(UsageError(format!("{option}: is empty"))) } else { Ok(value) }
}

/// Refuses an option's time in the future. `other` is a value that needs no time.
pub fn not_in_future(option: &str, time: Timestamp, now: Timestamp, other: &str) -> Result<(), UsageError> {
    if time > now {
        let problem = format!("{option}: {time} is in the future; use a time in the past, or {other}");
        return Err(UsageError(problem));
    }
    Ok(())
}

/// Runs a binary: parses its arguments, starts telemetry and the runtime, waits for `run`, and prints how it ended.
pub fn run_main<Arguments, Run>(
    name: &str,
    verbosity: impl FnOnce(&Arguments) -> Verbosity,
    run: impl FnOnce(Arguments) -> Run,
) -> ExitCode
where
    Arguments: clap::Parser,
    Run: Future<Output = anyhow::Result<Outcome>>,
{
    let arguments: Arguments = match parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A reader that went away is not a failure.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let verbosity = verbosity(&arguments);
    telemetry::init(verbosity);
    info!(
        version = env!("CARGO_PKG_VERSION"),
        commit = version::COMMIT,
        "started {name} {}",
        env!("CARGO_PKG_VERSION")
    );
    let result = match Runtime::new() {
        Ok(runtime) => {
            let spans = Export::begin(name, runtime.handle());
            let result = runtime.block_on(run(arguments));
            drop(spans);
            runtime.shutdown_timeout(LINGER);
            result
        }
        Err(error) => Err(anyhow::Error::new(error).context("failed to start the runtime")),
    };
    let (code, lines) = ending(result, name);
    if !lines.is_empty() {
        // Nowhere is left to report that stderr is closed.
        let _ = writeln!(io::stderr(), "{}", redact_remembered(&lines));
    }
    ExitCode::from(code)
}

/// The arguments of this process. `--version` prints more than `-V`.
fn parse<Arguments: clap::Parser>() -> Result<Arguments, clap::Error> {
    let mut command = Arguments::command().long_version(version::LONG.as_str());
    let mut matches = command.try_get_matches_from_mut(env::args_os())?;
    Arguments::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// The exit code, and what to say last on stderr.
fn ending(result: anyhow::Result<Outcome>, name: &str) -> (u8, String) {
    match result {
        Ok(Outcome::Incomplete(line)) => (3, one_line(&line).into_owned()),
        Ok(outcome) => (outcome.code(), String::new()),
        // Each problem is a line of its own; a prefix would only stand before the first.
        Err(error) if is_usage(&error) => (2, format!("{error:#}")),
        Err(error) => {
            let hint = hint(&error, name).map(|hint| format!("; {hint}"));
            (1, format!("{error:#}{}", hint.unwrap_or_default()))
        }
    }
}

/// The text on one line. Control characters, which an ID may contain, are escaped.
pub fn one_line(text: &str) -> Cow<'_, str> {
    // The two of Unicode's own end a line as well.
    let breaks = |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    if !text.contains(breaks) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().map(|character| {
        if breaks(character) { character.escape_default().to_string() } else { character.to_string() }
    });
    Cow::Owned(escaped.collect())
}

fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<UsageError>()
        || error.is::<config::Errors>()
        || error.is::<ConfigError>()
        || error.chain().any(|cause| {
            cause.is::<UsageError>()
                || cause.is::<config::Errors>()
                || cause.is::<ConfigError>()
                || matches!(cause.downcast_ref(), Some(AdminError::Taken(_)))
        })
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use crate::admin::AdminError;

    use super::{Outcome, UsageError, ending};
    use crate::config::Errors;

    #[test]
    fn each_ending_has_its_code_and_last_line() {
        let usage = || UsageError("--organization names none; configured: nimbus".to_owned());
        let two = Errors::one("kafka.bootstrap_servers", "is missing");
        let table = [
            (Ok(Outcome::Done), 0, ""),
            (Ok(Outcome::Failed), 1, ""),
            (Ok(Outcome::Incomplete("nimbus: users failed".to_owned())), 3, "nimbus: users failed"),
            (Ok(Outcome::Incomplete("a\nb\u{1b}[2J\u{2028}é".to_owned())), 3, "a\\nb\\u{1b}[2J\\u{2028}é"),
            (Err(anyhow!("refused").context("failed to write")), 1, "failed to write: refused"),
            (Err(usage().into()), 2, "--organization names none; configured: nimbus"),
            (Err(two.into()), 2, "kafka.bootstrap_servers: is missing"),
            (
                Err(AdminError::Taken(([127, 0, 0, 1], 9102).into()).into()),
                2,
                "another process listens on 127.0.0.1:9102, where admin_listen wants the admin endpoint; set \
                 admin_listen of this service to another address, or to \"none\"",
            ),
            (
                Err::<Outcome, _>(usage()).context("failed to poll"),
                2,
                "failed to poll: --organization names none; configured: nimbus",
            ),
        ];
        for (result, code, line) in table {
            assert_eq!(ending(result, "sink"), (code, line.to_owned()));
        }
    }
}
