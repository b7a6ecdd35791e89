//! The sink with its failpoints, for the tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    let _armed = service::failpoints::arm();
    service::run_main("sink", sink::cli::Arguments::verbosity, sink::cli::main)
}
