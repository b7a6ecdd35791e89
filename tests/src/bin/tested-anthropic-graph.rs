//! The binary for people, for the tests. It has no failpoint to arm.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::run_main("anthropic-graph", |_| service::Verbosity::Command, cli::arguments::main)
}
