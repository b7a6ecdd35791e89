//! The processor with its failpoints, for the tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    let _armed = service::failpoints::arm();
    service::run_main("processor", processor::cli::Arguments::verbosity, processor::cli::main)
}
