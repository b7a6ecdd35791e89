//! Asking the process to end.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
pub use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Listens to SIGINT and SIGTERM from now on: the first cancels the token, the second ends at once with code 1.
pub fn shutdown_signal() -> io::Result<CancellationToken> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let shutdown = CancellationToken::new();
    let asked = shutdown.clone();
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
            asked.cancel();
        }
    });
    Ok(shutdown)
}

/// Waits that long, or until the end is asked for.
pub async fn wait(pause: Duration, stop: &CancellationToken) {
    let _is_over = tokio::time::timeout(pause, stop.cancelled()).await;
}
