//! Waits that last: each says in the log and in `/readyz` what it waits for, since when, and what ends it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{info, warn};

use crate::admin::Health;

/// How long a wait is not reported. A leader election on a healthy cluster may take as long.
pub const LONG: Duration = Duration::from_secs(10);
/// How often the log repeats it while it goes on.
const LINE_INTERVAL: Duration = Duration::from_mins(1);
/// How often `/readyz` learns what the last try was answered.
const ANSWER_INTERVAL: Duration = Duration::from_secs(1);

/// Reports the waits of one thing, one at a time, under a name of its own. The default reports to the log alone.
#[derive(Debug, Clone, Default)]
pub struct WaitReporter {
    health: Option<Arc<Health>>,
    name: String,
}

impl WaitReporter {
    /// Reports to the log, and to `/readyz` under that name, which no other check has.
    pub fn new(health: &Arc<Health>, name: impl Into<String>) -> Self {
        Self { health: Some(Arc::clone(health)), name: name.into() }
    }

    /// Begins a wait for something, which that ends.
    pub fn wait(&self, what: impl Into<String>, ends: &'static str) -> Wait {
        Wait {
            reporter: self.clone(),
            what: what.into(),
            ends,
            began: Instant::now(),
            since: Timestamp::now(),
            logged: None,
            answered: None,
        }
    }
}

/// A wait. Dropping it gives it up.
#[derive(Debug)]
pub struct Wait {
    reporter: WaitReporter,
    what: String,
    ends: &'static str,
    began: Instant,
    since: Timestamp,
    /// When it was last logged.
    logged: Option<Instant>,
    /// When anything was last logged.
    answered: Option<Instant>,
}

impl Wait {
    /// To be called every few seconds or more often, with what the last try was answered, if it was.
    pub fn goes_on(&mut self, answer: &str) {
        let is_reported = self.answered.is_some_and(|at| at.elapsed() < ANSWER_INTERVAL);
        if self.began.elapsed() < LONG || is_reported {
            return;
        }
        self.answered = Some(Instant::now());
        let answer = if answer.is_empty() { String::new() } else { format!(" ({answer})") };
        let Self { reporter: WaitReporter { health, name }, what, ends, since, .. } = self;
        let text = format!("waiting since {since:.0} for {what}{answer}; {ends}");
        if self.logged.is_none_or(|logged| logged.elapsed() >= LINE_INTERVAL) {
            self.logged = Some(Instant::now());
            warn!(name, "{text}");
        }
        if let Some(health) = health {
            health.set(name.as_str(), Err(text));
        }
    }

    /// It came, and is waited for again from now on.
    pub fn comes(&mut self) {
        if self.logged.is_some() {
            let Self { reporter, what, began, .. } = self;
            info!(
                name = reporter.name,
                seconds = began.elapsed().as_secs(),
                "waited for {what}, which is over"
            );
        }
        self.clear();
        self.began = Instant::now();
        self.since = Timestamp::now();
    }

    fn clear(&mut self) {
        self.answered = None;
        if self.logged.take().is_some()
            && let WaitReporter { health: Some(health), name } = &self.reporter
        {
            health.clear(name);
        }
    }
}

impl Drop for Wait {
    /// Whether it came, failed or was given up, its owner says.
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use super::{ANSWER_INTERVAL, LONG, WaitReporter};
    use crate::admin::Health;

    #[test]
    fn a_wait_is_reported_once_it_is_long_until_it_is_over() {
        let health = Arc::<Health>::default();
        health.set("kafka", Ok(()));
        let mut wait =
            WaitReporter::new(&health, "partition 2").wait("its leader", "it ends once a leader answers");
        wait.goes_on("no answer");
        assert_eq!(health.readiness(), Ok(()), "it is young");
        wait.began = Instant::now().checked_sub(LONG).expect("the machine runs for longer");
        wait.goes_on("no answer");
        let said = health.readiness().expect_err("it is long");
        assert!(said.starts_with("partition 2: waiting since 2"), "{said}");
        assert!(said.ends_with(" for its leader (no answer); it ends once a leader answers"), "{said}");
        let logged = wait.logged.expect("it is logged");
        wait.goes_on("");
        assert!(health.readiness().expect_err("it is long").contains("no answer"), "reported once a second");
        wait.answered = Instant::now().checked_sub(ANSWER_INTERVAL);
        wait.goes_on("refused");
        assert!(health.readiness().expect_err("it is long").contains("(refused)"));
        assert_eq!(wait.logged, Some(logged), "logged once a minute");
        wait.comes();
        wait.goes_on("");
        assert_eq!((health.readiness(), wait.logged), (Ok(()), None));

        wait.began = Instant::now().checked_sub(LONG).expect("the machine runs for longer");
        wait.goes_on("");
        assert!(health.readiness().is_err());
        drop(wait);
        assert_eq!(health.readiness(), Ok(()));
    }

    #[test]
    fn only_a_wait_that_came_is_said_to_be_over() {
        let log = Log::default();
        let written = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || written.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            for what in ["the first", "the second"] {
                let mut wait = WaitReporter::default().wait(what, "it ends");
                wait.began = Instant::now().checked_sub(LONG).expect("the machine runs for longer");
                wait.goes_on("");
                if what == "the second" {
                    wait.comes();
                }
            }
        });
        let text = String::from_utf8(log.0.lock().expect("not poisoned").clone()).expect("text");
        assert!(text.contains("for the first; it ends"), "{text}");
        assert!(!text.contains("waited for the first"), "{text}");
        assert!(text.contains("waited for the second, which is over"), "{text}");
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
