//! Everything in one process for a first look: `cargo run --release -p quickstart`.

mod access_counts;
mod arguments;
mod comparison;
mod kafka;
mod run;
mod screen;
mod services;
mod session;
mod sizes;
mod summary;
mod view;
mod watch;
mod world;

use std::io;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

/// Where `RUST_LOG` is not set: what is shown belongs to the organization's life, and errors still show.
const QUIET: &str = "error,librdkafka=off,rdkafka=off,rustls_platform_verifier=off";

fn main() -> ExitCode {
    if std::env::var_os("RUST_LOG").is_none_or(|filter| filter.is_empty()) {
        // Before the main wrapper, which then leaves the logs as they are.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(QUIET))
            .with_writer(io::stderr)
            .with_ansi(false)
            .try_init();
    }
    service::run_main("quickstart", |_| service::Verbosity::Service, run::run)
}
