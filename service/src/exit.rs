//! How a binary begins and ends: arguments, runtime, signals, exit code.

use std::borrow::Cow;
use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::admin::AdminError;
use crate::kafka::client::ConfigError;
use crate::redaction::redact_remembered;
use crate::{config, telemetry};

/// How long threads that still block may take after the end (s): librdkafka's calls have their own, shorter bounds.
const LINGER: Duration = Duration::from_secs(10);

/// How a command ended, as people script against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Did what was asked: 0.
    Done,
    /// Failed, and already said why on stdout (`check`): 1.
    Failed,
    /// Was asked for what cannot be: 2.
    Usage,
    /// Finished, but not all of it: 3. The last line on stderr, which names what is missing.
    Incomplete(String),
}

impl Outcome {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Incomplete(_) => 3,
        }
    }
}

/// An error that the person at the command line mends: exit code 2, as a configuration's errors have.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// The value of an option that must say something.
pub fn filled(option: &str, value: String) -> Result<String, UsageError> {
    if value.trim().is_empty() { Err(UsageError(format!("{option}: is empty"))) } else { Ok(value) }
}

/// Runs a service: parses its arguments, starts telemetry and the runtime, waits for `run`, says how it ended.
pub fn run_main<Arguments, Run>(name: &str, run: impl FnOnce(Arguments) -> Run) -> ExitCode
where
    Arguments: clap::Parser,
    Run: Future<Output = anyhow::Result<Outcome>>,
{
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A reader that went away is no reason to fail.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    telemetry::init();
    info!(version = env!("CARGO_PKG_VERSION"), "{name} starts");
    let result = match Runtime::new() {
        Ok(runtime) => {
            let result = runtime.block_on(run(arguments));
            runtime.shutdown_timeout(LINGER);
            result
        }
        Err(error) => Err(anyhow::Error::new(error).context("failed to start the runtime")),
    };
    let (code, lines) = ending(result);
    if !lines.is_empty() {
        // Nowhere is left to report that stderr is closed.
        let _ = writeln!(io::stderr(), "{}", redact_remembered(&lines));
    }
    ExitCode::from(code)
}

/// The exit code, and what to say last on stderr.
fn ending(result: anyhow::Result<Outcome>) -> (u8, String) {
    match result {
        Ok(Outcome::Incomplete(line)) => (3, one_line(&line).into_owned()),
        Ok(outcome) => (outcome.code(), String::new()),
        // Each problem is a line of its own; a prefix would only stand before the first.
        Err(error) if is_usage(&error) => (2, format!("{error:#}")),
        Err(error) => (1, format!("{error:#}")),
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

/// Whether the process was asked to end; every loop holds a clone.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// Asks for the end, in place of a signal.
#[derive(Debug)]
pub struct ShutdownTrigger(watch::Sender<bool>);

/// Listens to SIGINT and SIGTERM from now on: the first asks for the end, the second ends at once with code 1.
pub fn shutdown_signal() -> io::Result<Shutdown> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (trigger, shutdown) = shutdown();
    tokio::spawn(async move {
        for asked_before in [false, true] {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            };
            if asked_before {
                warn!(signal = name, "ends at once");
                std::process::exit(1);
            }
            info!(signal = name, "ends; a second signal ends at once");
            trigger.ask();
        }
    });
    Ok(shutdown)
}

/// A shutdown that the trigger asks for: programs that run several services, and tests.
pub fn shutdown() -> (ShutdownTrigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (ShutdownTrigger(sender), Shutdown(receiver))
}

impl ShutdownTrigger {
    /// Asks for the end.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Waits until the end was asked for; for ever where nobody is left to ask.
    pub async fn requested(&self) {
        if self.0.clone().wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether the end was asked for: for threads that block.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use crate::admin::AdminError;

    use super::{Outcome, UsageError, ending, shutdown};
    use crate::config::Errors;

    #[test]
    fn each_ending_has_its_code_and_last_line() {
        let usage = || UsageError("--organization names none; configured: nimbus".to_owned());
        let two = Errors::one("kafka.bootstrap_servers", "is missing");
        let table = [
            (Ok(Outcome::Done), 0, ""),
            (Ok(Outcome::Failed), 1, ""),
            (Ok(Outcome::Usage), 2, ""),
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
            assert_eq!(ending(result), (code, line.to_owned()));
        }
    }

    #[tokio::test]
    async fn every_holder_sees_that_the_end_was_asked_for() {
        let (trigger, one) = shutdown();
        let other = one.clone();
        assert!(!other.is_requested());
        trigger.ask();
        one.requested().await;
        other.requested().await;
        assert!(other.is_requested());
    }
}
