//! The binary `anthropic-graph`.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A replay does the processor's work: see the processor's main.rs.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    service::run_main("anthropic-graph", |_| service::Verbosity::Command, cli::arguments::main)
}
