//! Logs: to stderr, as text on a terminal and as JSON elsewhere. A command logs its warnings as text everywhere, unless
//! `RUST_LOG` is set. Stdout is for results.

use std::env::VarError;
use std::io::{self, IsTerminal, Stderr, Write};
use std::panic::{self, PanicHookInfo};
use std::thread;

use anstream::{AutoStream, ColorChoice};
use tracing::{error, warn};
use tracing_subscriber::EnvFilter;

use crate::progress;
use crate::redaction::redact_remembered;

/// How much is logged where `RUST_LOG` is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// A service: what happened to which thing.
    Service,
    /// A person's command, whose answer is on stdout: warnings and errors.
    Command,
}

impl Verbosity {
    /// librdkafka logs every reconnect; the services say once what it means.
    fn default_filter(self) -> &'static str {
        match self {
            Self::Service => "info,librdkafka=error,rdkafka=warn,rustls_platform_verifier=off",
            Self::Command => "warn,librdkafka=error,rdkafka=error,rustls_platform_verifier=off",
        }
    }
}

/// Starts the logs under `RUST_LOG`, lets a command show its progress, and has panics logged. A second call changes nothing.
pub fn init(verbosity: Verbosity) {
    let variable = std::env::var("RUST_LOG");
    let is_brief = verbosity == Verbosity::Command && variable.is_err();
    let (filter, refused) = filter(variable, verbosity.default_filter());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Redacted(io::stderr()));
    if verbosity == Verbosity::Command {
        progress::show();
    }
    // An error means that a program that runs several services has started its logs.
    let _ = if io::stderr().is_terminal() || is_brief {
        let has_colors = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
        builder.with_ansi(has_colors).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    if refused {
        warn!("RUST_LOG is not a valid filter; use one such as \"info,producer=debug\"");
    }
    panic::set_hook(Box::new(|panic| {
        let (thread, location, message) = describe(panic);
        error!(thread, location, "a thread panicked: {message}");
    }));
}

/// Where lines go without the secrets in them: libraries log what a server sent, and it may have sent a key back.
struct Redacted(Stderr);

impl Write for Redacted {
    /// One call is one line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let shown = String::from_utf8_lossy(line);
        progress::suspend(|| self.0.write_all(redact_remembered(&shown).as_bytes()))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The filter, and whether the variable was refused.
fn filter(variable: Result<String, VarError>, default: &str) -> (EnvFilter, bool) {
    let default = || EnvFilter::new(default);
    match variable {
        Ok(text) if text.trim().is_empty() => (default(), false),
        Ok(text) => match EnvFilter::try_new(text) {
            Ok(filter) => (filter, false),
            Err(_) => (default(), true),
        },
        Err(VarError::NotPresent) => (default(), false),
        Err(VarError::NotUnicode(_)) => (default(), true),
    }
}

/// Thread, place and message of a panic. A message that was formatted may hold a value from outside, so only one
/// that is in the source is shown; the place finds the other.
fn describe(panic: &PanicHookInfo<'_>) -> (String, String, &'static str) {
    let thread = thread::current().name().unwrap_or("unnamed").to_owned();
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload().downcast_ref::<&'static str>();
    (thread, location, message.copied().unwrap_or("its message is not shown, for it may hold a secret"))
}

#[cfg(test)]
mod tests {
    use std::env::VarError;
    use std::panic;
    use std::sync::{Arc, Mutex};

    use super::{Verbosity, describe, filter};

    #[test]
    fn the_filter_is_that_of_rust_log_else_the_default() {
        let default = Verbosity::Service.default_filter();
        let table = [
            (Err(VarError::NotPresent), default, false),
            (Ok(String::new()), default, false),
            (Ok("debug".to_owned()), "debug", false),
            (Ok("info,producer=loud".to_owned()), default, true),
        ];
        for (variable, expected, expected_refused) in table {
            let (filter, refused) = filter(variable, default);
            let sorted = |text: &str| {
                let mut parts: Vec<String> = text.split(',').map(str::to_owned).collect();
                parts.sort();
                parts
            };
            assert_eq!(sorted(&filter.to_string()), sorted(expected));
            assert_eq!(refused, expected_refused);
        }
    }

    #[test]
    fn a_panic_shows_its_place_and_never_a_value() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let hook = panic::take_hook();
        let into = Arc::clone(&seen);
        panic::set_hook(Box::new(move |panic| into.lock().expect("not poisoned").push(describe(panic))));
        let key = "sk-ant-admin01-secret".to_owned();
        let _ = panic::catch_unwind(|| panic!("bad key {key}"));
        let _ = panic::catch_unwind(|| panic!("a literal"));
        panic::set_hook(hook);
        let seen = seen.lock().expect("not poisoned");
        assert!(
            seen.iter()
                .any(|(_, location, message)| location.contains("telemetry.rs") && *message == "a literal")
        );
        assert!(seen.iter().any(|(_, _, message)| message.contains("not shown")));
        assert!(!format!("{seen:?}").contains("sk-ant"), "{seen:?}");
    }
}
