//! How far a poll is: the members of each workspace are a listing of their own, and a large organization has thousands.

use std::time::{Duration, Instant};

use service::config::PollingInterval;
use service::metrics::Metrics;
use tracing::{info, warn};

/// How often the log tells how far a poll is.
const LINE_INTERVAL: Duration = Duration::from_mins(1);

/// A poll on its way through the members of the workspaces.
pub(crate) struct Progress<'a> {
    organization: String,
    metrics: &'a Metrics,
    /// Listings of the poll before these (count).
    before: usize,
    workspaces: usize,
    told: Instant,
}

impl<'a> Progress<'a> {
    /// Tells how many listings are to come and how long they take at least, where that is long enough to wonder.
    pub(crate) fn begin(
        organization: &str,
        metrics: &'a Metrics,
        before: usize,
        workspaces: usize,
        expected: Duration,
    ) -> Self {
        metrics.set_poll_listings(organization, before, before + workspaces);
        if expected >= LINE_INTERVAL {
            info!(
                organization.name = organization,
                workspaces,
                seconds = expected.as_secs(),
                "listing the members of each workspace; the budget of requests a minute makes this take so long at least"
            );
        }
        Self { organization: organization.to_owned(), metrics, before, workspaces, told: Instant::now() }
    }

    /// The members of so many workspaces were asked for.
    pub(crate) fn reach(&mut self, listed: usize) {
        self.metrics.set_poll_listings(
            &self.organization,
            self.before + listed,
            self.before + self.workspaces,
        );
        if self.told.elapsed() >= LINE_INTERVAL && listed < self.workspaces {
            self.told = Instant::now();
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

/// Warns of a poll that cannot end within its interval.
pub(crate) fn warn_if_too_long(
    organization: &str,
    interval: PollingInterval,
    expected: Duration,
    requests_per_minute: u32,
) {
    if is_too_long(interval, expected) {
        warn!(
            organization.name = organization,
            seconds = expected.as_secs(),
            requests_per_minute,
            "the poll cannot end within polling_interval; lengthen it, or raise requests_per_minute if nothing else uses \
             the Admin API (Anthropic allows 100)"
        );
    }
}

fn is_too_long(interval: PollingInterval, expected: Duration) -> bool {
    matches!(interval, PollingInterval::Every(interval) if expected > interval)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use service::config::PollingInterval;

    use super::is_too_long;

    #[test]
    fn a_poll_is_too_long_for_an_interval_that_is_shorter() {
        let half_an_hour = PollingInterval::Every(Duration::from_mins(30));
        assert!(is_too_long(half_an_hour, Duration::from_mins(34)));
        assert!(!is_too_long(half_an_hour, Duration::from_mins(30)));
        assert!(!is_too_long(PollingInterval::Disabled, Duration::from_hours(34)));
    }
}
