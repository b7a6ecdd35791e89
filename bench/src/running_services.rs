//! The three services while they run and nothing happens.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tests::services::Service;

use crate::{process, services::Services};

/// How long the services are left alone once they are ready, before anything is measured.
const SETTLE: Duration = Duration::from_secs(5);

/// The services in the order in which they are started, each with what it logs once for each of its parts that is ready.
/// Before the group has given it partitions, a service says that it is ready.
const ORDER: [(&str, &str); 3] = [
    ("processor", "\"opened the task of "),
    ("sink", "\"restored partition "),
    ("producer", "\"the organization is polled by this instance\""),
];

pub(crate) struct RunningServices {
    services: Vec<Service>,
    /// From the start of each one's process until it is ready (s), in their order.
    pub(crate) until_ready: Vec<f64>,
}

/// What one of them takes, in the order of their start.
pub(crate) struct Usage {
    /// Of a core (percent).
    pub(crate) cpu: f64,
    pub(crate) threads: f64,
    /// Resident memory (MiB).
    pub(crate) mib: f64,
}

impl RunningServices {
    /// Starts one after the other, with the partitions of the processor, those of them that have organizations, and the
    /// organizations.
    pub(crate) fn start(services: &Services, config: &Path, parts: [usize; 3]) -> Self {
        let mut running = Self { services: Vec::new(), until_ready: Vec::new() };
        for ((name, message), parts) in ORDER.into_iter().zip(parts) {
            let began = Instant::now();
            let mut service = services.start(name, config);
            let count =
                |service: &Service| service.log().lines().filter(|line| line.contains(message)).count();
            service.until(&format!("log {message} {parts} times"), |service| count(service) >= parts);
            service.ready();
            running.until_ready.push(began.elapsed().as_secs_f64());
            running.services.push(service);
        }
        running
    }

    /// What each takes, the CPU of so long a time.
    pub(crate) fn usage(&self, window: Duration) -> Result<Vec<Usage>> {
        thread::sleep(SETTLE);
        let began = Instant::now();
        let before = self.services.iter().map(|it| cpu(it.pid())).collect::<Result<Vec<_>>>()?;
        thread::sleep(window);
        let elapsed = began.elapsed();
        let usage = self.services.iter().zip(before).map(|(service, before)| {
            let pid = service.pid();
            let worked = cpu(pid)?.saturating_sub(before);
            Ok(Usage {
                cpu: worked.as_secs_f64() / elapsed.as_secs_f64() * 100.0,
                threads: process::threads(pid).context(ENDED)?,
                mib: process::mib(process::status(pid, "VmRSS:").context(ENDED)?),
            })
        });
        usage.collect()
    }

    /// Asks all to end, and waits until they have.
    pub(crate) fn stop(self) {
        for service in self.services.into_iter().rev() {
            service.terminate().expect(0);
        }
    }
}

const ENDED: &str = "a service exited while it was being measured, or /proc is not available";

fn cpu(pid: u32) -> Result<Duration> {
    process::cpu(pid).context(ENDED)
}
