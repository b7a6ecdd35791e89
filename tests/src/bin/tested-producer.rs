//! The producer with its failpoints, for the tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    let _armed = service::failpoints::arm();
    service::run_main("producer", producer::cli::Arguments::verbosity, producer::cli::main)
}
