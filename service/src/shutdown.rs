//! Asking the process to end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

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
    use super::shutdown;

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
