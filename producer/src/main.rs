//! The producer's binary.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// All three services use this allocator: see the processor's main.rs.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    service::run_main("producer", producer::cli::Arguments::verbosity, producer::cli::main)
}
