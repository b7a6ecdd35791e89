//! Whether the process lives and is ready, as its loops say themselves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// From which beats are counted: an `Instant` does not fit into an atomic number.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What the loops said last.
#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    checks: BTreeMap<String, Result<String, String>>,
    heartbeats: BTreeMap<u64, Arc<Pulse>>,
    next: u64,
}

#[derive(Debug)]
struct Pulse {
    name: String,
    bound: Duration,
    /// When the loop went on last (ms since [`BEGINNING`]). Each record is a beat, so it takes no lock.
    last: AtomicU64,
    is_dead: AtomicBool,
}

impl Pulse {
    fn beat(&self) {
        let since = u64::try_from(BEGINNING.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        *BEGINNING + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }
}

/// One loop's sign of life; a loop that ends takes it away, one that panics leaves it dead.
#[derive(Debug)]
pub struct Heartbeat {
    health: Arc<Health>,
    number: u64,
    pulse: Arc<Pulse>,
}

impl Health {
    /// Says of a named check that it holds, or why it does not: not ready while any does not.
    pub fn set(&self, name: impl Into<String>, result: Result<(), String>) {
        self.report(name, result.map(|()| String::new()));
    }

    /// The same, with what there is to say where it holds.
    pub fn report(&self, name: impl Into<String>, result: Result<String, String>) {
        self.state().checks.insert(name.into(), result);
    }

    /// Forgets a check, such as that of a partition that went to another process.
    pub fn clear(&self, name: &str) {
        self.state().checks.remove(name);
    }

    /// Whether a named check holds. One that was never set, or was cleared, does not.
    pub fn holds(&self, name: &str) -> bool {
        self.state().checks.get(name).is_some_and(Result::is_ok)
    }

    /// Begins a loop's heartbeat: beyond `bound` without a beat the process counts as dead.
    pub fn heartbeat(self: &Arc<Self>, name: impl Into<String>, bound: Duration) -> Heartbeat {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        let (last, is_dead) = (AtomicU64::default(), AtomicBool::default());
        let pulse = Arc::new(Pulse { name: name.into(), bound, last, is_dead });
        pulse.beat();
        state.heartbeats.insert(number, Arc::clone(&pulse));
        drop(state);
        Heartbeat { health: Arc::clone(self), number, pulse }
    }

    /// Ready, or one line per check that does not hold. A process that has not said anything yet is not ready.
    pub fn readiness(&self) -> Result<(), String> {
        let state = self.state();
        if state.checks.is_empty() {
            return Err("starting".to_owned());
        }
        let failed = state
            .checks
            .iter()
            .filter_map(|(name, result)| result.as_ref().err().map(|reason| format!("{name}: {reason}")));
        lines(failed)
    }

    /// What the checks that hold have to say, one line each.
    pub fn reports(&self) -> String {
        let state = self.state();
        let holding = state.checks.iter().filter_map(|(name, result)| Some((name, result.as_ref().ok()?)));
        holding
            .filter(|(_, text)| !text.is_empty())
            .fold(String::new(), |lines, (name, text)| lines + name + ": " + text + "\n")
    }

    /// Alive at `now`, or one line per loop that is not.
    pub fn liveness(&self, now: Instant) -> Result<(), String> {
        let state = self.state();
        lines(state.heartbeats.values().filter_map(|pulse| {
            let since = now.saturating_duration_since(pulse.last());
            if pulse.is_dead.load(Ordering::Relaxed) {
                Some(format!("{}: ended by a panic", pulse.name))
            } else if since > pulse.bound {
                let (since, bound) = (since.as_secs(), pulse.bound.as_secs());
                Some(format!("{}: no sign of life for {since} s (bound: {bound} s)", pulse.name))
            } else {
                None
            }
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heartbeat {
    /// Says that the loop goes on.
    pub fn beat(&self) {
        self.pulse.beat();
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.pulse.is_dead.store(true, Ordering::Relaxed);
        } else {
            self.health.state().heartbeats.remove(&self.number);
        }
    }
}

fn lines(failed: impl Iterator<Item = String>) -> Result<(), String> {
    let failed: Vec<String> = failed.collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::Health;

    #[test]
    fn ready_once_every_check_holds() {
        let health = Health::default();
        assert_eq!(health.readiness(), Err("starting".to_owned()));
        health.set("kafka", Err("127.0.0.1:9092 does not answer".to_owned()));
        health.set("nimbus", Err("401: the Admin key was refused".to_owned()));
        assert_eq!(
            health.readiness(),
            Err("kafka: 127.0.0.1:9092 does not answer\nnimbus: 401: the Admin key was refused".to_owned())
        );
        assert!(!health.holds("kafka"));
        health.set("kafka", Ok(()));
        assert!(health.holds("kafka") && !health.holds("sink"));
        health.clear("nimbus");
        assert_eq!((health.readiness(), health.reports()), (Ok(()), String::new()));
        health.report("organization nimbus", Ok("synced".to_owned()));
        assert_eq!(health.readiness(), Ok(()));
        assert_eq!(health.reports(), "organization nimbus: synced\n");
    }

    #[test]
    fn a_silent_loop_is_dead_beyond_its_bound_and_an_ended_one_is_not() {
        let health = Arc::new(Health::default());
        let heartbeat = health.heartbeat("poll", Duration::from_secs(30));
        let now = Instant::now();
        assert_eq!(health.liveness(now + Duration::from_secs(29)), Ok(()));
        assert_eq!(
            health.liveness(now + Duration::from_secs(90)),
            Err("poll: no sign of life for 90 s (bound: 30 s)".to_owned())
        );
        heartbeat.beat();
        assert_eq!(health.liveness(Instant::now()), Ok(()));
        drop(heartbeat);
        assert_eq!(health.liveness(now + Duration::from_secs(90)), Ok(()));
    }

    #[test]
    fn a_loop_that_panicked_stays_dead() {
        let health = Arc::new(Health::default());
        let heartbeat = health.heartbeat("task 3", Duration::from_secs(30));
        let ended = std::thread::spawn(move || {
            let _heartbeat = heartbeat;
            panic!("as this test wants");
        })
        .join();
        assert!(ended.is_err());
        assert_eq!(health.liveness(Instant::now()), Err("task 3: ended by a panic".to_owned()));
    }
}
