//! The sink binary.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// All three services use one allocator; the processor's main.rs says why.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    service::run_main("sink", sink::cli::Arguments::verbosity, sink::cli::main)
}
