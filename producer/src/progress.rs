//! The progress of a poll in logs and metrics: each workspace's members are a listing, and there may be thousands.

use std::time::{Duration, Instant};

use service::config::PollingInterval;
use service::metrics::Metrics;
use tracing::{info, warn};

/// How often a poll's progress is logged.
const LINE_INTERVAL: Duration = Duration::from_mins(1);

/// A log line that is written at most once a minute.
#[derive(Debug, Default)]
pub(crate) struct Minutely(Option<Instant>);

impl Minutely {
    /// A line that is first due after a minute.
    fn from(now: Instant) -> Self {
        Self(Some(now))
    }

    /// Whether the line is due. If so, it is not due again within a minute.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.0.is_none_or(|written| now.saturating_duration_since(written) >= LINE_INTERVAL);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

/// A poll that lists the members of workspaces.
pub(crate) struct Progress<'a> {
    organization: String,
    metrics: &'a Metrics,
    /// Earlier listings of the poll (count).
    before: usize,
    workspaces: usize,
    line: Minutely,
}

impl<'a> Progress<'a> {
    /// Starts the members' listings. Logs their number and minimum duration if that is a minute or more.
    pub(crate) fn begin(
        organization: &str,
        metrics: &'a Metrics,
        before: usize,
        workspaces: usize,
        expected: Duration,
        now: Instant,
    ) -> Self {
        metrics.set_poll_listings(organization, before, before + workspaces);
        if expected >= LINE_INTERVAL {
            info!(
                organization.name = organization,
                workspaces,
                seconds = expected.as_secs(),
                "listing the members of each workspace; this takes at least this long because of requests_per_minute"
            );
        }
        let line = Minutely::from(now);
        Self { organization: organization.to_owned(), metrics, before, workspaces, line }
    }

    /// The members of this many workspaces were listed.
    pub(crate) fn reach(&mut self, listed: usize, now: Instant) {
        self.metrics.set_poll_listings(
            &self.organization,
            self.before + listed,
            self.before + self.workspaces,
        );
        if listed < self.workspaces && self.line.is_due(now) {
            info!(
                organization.name = self.organization,
                listed,
                workspaces = self.workspaces,
                "listed the members of {listed} of {} workspaces",
                self.workspaces
            );
        }
    }
}

/// Warns if a poll cannot end within its interval.
pub(crate) fn warn_if_too_long(
    organization: &str,
    interval: PollingInterval,
    expected: Duration,
    requests_per_minute: u32,
) {
    if matches!(interval, PollingInterval::Every(interval) if expected > interval) {
        warn!(
            organization.name = organization,
            seconds = expected.as_secs(),
            requests_per_minute,
            "the poll cannot end within polling_interval; lengthen polling_interval, or raise requests_per_minute if \
             nothing else uses the Admin API (Anthropic allows 100)"
        );
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use service::config::PollingInterval;
    use service::metrics::Metrics;

    use super::{Progress, warn_if_too_long};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines of the log that the work writes.
    pub(crate) fn logged(work: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, work);
        let text = lines.0.lock().expect("not poisoned").clone();
        String::from_utf8(text).expect("text").lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_long_poll_logs_its_duration_first_and_its_progress_once_a_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let metrics = Metrics::default();
        let mut progress = None;
        let begun = logged(|| {
            let expected = Duration::from_mins(34);
            progress = Some(Progress::begin("nimbus", &metrics, 4, 3000, expected, start));
        });
        assert_eq!(begun.len(), 1, "{begun:?}");
        for part in [" INFO ", "listing the members of each workspace", "workspaces=3000", "seconds=2040"] {
            assert!(begun[0].contains(part), "{part}: {begun:?}");
        }
        let mut progress = progress.expect("it began");
        let mut reached = |listed, seconds| logged(|| progress.reach(listed, at(seconds)));
        assert_eq!(reached(80, 59), [""; 0]);
        let line = reached(90, 60);
        assert!(
            line.len() == 1 && line[0].contains("listed the members of 90 of 3000 workspaces"),
            "{line:?}"
        );
        assert_eq!(reached(91, 61), [""; 0]);
        assert_eq!(reached(179, 119), [""; 0]);
        let line = reached(180, 120);
        assert!(line.len() == 1 && line[0].contains("180 of 3000"), "{line:?}");
        assert_eq!(reached(3000, 2040), [""; 0], "the poll's last line reports the end");
    }

    #[test]
    fn a_short_poll_logs_no_progress() {
        let (metrics, start) = (Metrics::default(), Instant::now());
        let lines = logged(|| {
            let expected = Duration::from_secs(59);
            let mut progress = Progress::begin("nimbus", &metrics, 4, 8, expected, start);
            (1..=8).for_each(|listed| progress.reach(listed, start + Duration::from_secs(1)));
        });
        assert_eq!(lines, [""; 0]);
    }

    #[test]
    fn a_poll_that_cannot_end_within_its_interval_causes_a_warning() {
        let half_an_hour = PollingInterval::Every(Duration::from_mins(30));
        let warned = |interval, minutes| {
            logged(|| warn_if_too_long("nimbus", interval, Duration::from_mins(minutes), 90))
        };
        let lines = warned(half_an_hour, 34);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let parts = ["WARN", "cannot end within polling_interval", "seconds=2040", "requests_per_minute=90"];
        assert!(parts.iter().all(|part| lines[0].contains(part)), "{lines:?}");
        assert_eq!(warned(half_an_hour, 30), [""; 0]);
        assert_eq!(warned(PollingInterval::Disabled, 60 * 34), [""; 0]);
    }
}
