//! Waits that last: each says in the log and in `/readyz` what it waits for, since when, and what ends it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{info, warn};

use crate::admin::Health;

/// How long a wait stays untold. A leader election on a healthy cluster may take as long.
pub const LONG: Duration = Duration::from_secs(10);
/// How often the log repeats it while it goes on.
const LINE_INTERVAL: Duration = Duration::from_mins(1);

/// Tells of one thing's waits, one at a time, under a name of its own. The default tells the log alone.
#[derive(Debug, Clone, Default)]
pub struct Teller {
    health: Option<Arc<Health>>,
    name: String,
}

impl Teller {
    /// Tells the log, and `/readyz` under that name, which no other check has.
    pub fn new(health: &Arc<Health>, name: impl Into<String>) -> Self {
        Self { health: Some(Arc::clone(health)), name: name.into() }
    }

    /// Begins a wait for something, which that ends.
    pub fn wait(&self, what: impl Into<String>, ends: &'static str) -> Wait {
        Wait {
            teller: self.clone(),
            what: what.into(),
            ends,
            began: Instant::now(),
            since: Timestamp::now(),
            told: None,
        }
    }
}

/// A wait. It is over when it is dropped.
#[derive(Debug)]
pub struct Wait {
    teller: Teller,
    what: String,
    ends: &'static str,
    began: Instant,
    since: Timestamp,
    /// When the log last told of it.
    told: Option<Instant>,
}

impl Wait {
    /// To be called every few seconds, with what the last try was answered, if it was.
    pub fn goes_on(&mut self, answer: &str) {
        if self.began.elapsed() < LONG {
            return;
        }
        let answer = if answer.is_empty() { String::new() } else { format!(" ({answer})") };
        let Self { teller: Teller { health, name }, what, ends, since, .. } = self;
        let text = format!("waiting since {since:.0} for {what}{answer}; {ends}");
        if self.told.is_none_or(|told| told.elapsed() >= LINE_INTERVAL) {
            self.told = Some(Instant::now());
            warn!(name, "{text}");
        }
        if let Some(health) = health {
            health.set(name.as_str(), Err(text));
        }
    }

    /// It came, and is waited for again from now on.
    pub fn comes(&mut self) {
        self.tell_end();
        self.began = Instant::now();
        self.since = Timestamp::now();
    }

    fn tell_end(&mut self) {
        if self.told.take().is_some() {
            let Self { teller: Teller { health, name }, what, began, .. } = self;
            info!(name, seconds = began.elapsed().as_secs(), "waited for {what}, which is over");
            if let Some(health) = health {
                health.clear(name);
            }
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.tell_end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::{LONG, Teller};
    use crate::admin::Health;

    #[test]
    fn a_wait_is_told_once_it_is_long_until_it_is_over() {
        let health = Arc::<Health>::default();
        health.set("kafka", Ok(()));
        let mut wait =
            Teller::new(&health, "partition 2").wait("its leader", "it ends once a leader answers");
        wait.goes_on("no answer");
        assert_eq!(health.readiness(), Ok(()), "it is young");
        wait.began = Instant::now().checked_sub(LONG).expect("the machine runs for longer");
        wait.goes_on("no answer");
        let said = health.readiness().expect_err("it is long");
        assert!(said.starts_with("partition 2: waiting since 2"), "{said}");
        assert!(said.ends_with(" for its leader (no answer); it ends once a leader answers"), "{said}");
        let told = wait.told.expect("the log tells it");
        wait.goes_on("");
        assert_eq!(wait.told, Some(told), "the log tells it once a minute");
        wait.comes();
        wait.goes_on("");
        assert_eq!((health.readiness(), wait.told), (Ok(()), None));

        wait.began = Instant::now().checked_sub(LONG).expect("the machine runs for longer");
        wait.goes_on("");
        assert!(health.readiness().is_err());
        drop(wait);
        assert_eq!(health.readiness(), Ok(()));
    }
}
