//! The processor's binary.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// glibc returns memory to the system and allocates it again during a listing. A third of the CPU time of a first sync
/// was page faults.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    service::run_main("processor", processor::cli::Arguments::verbosity, processor::cli::main)
}
