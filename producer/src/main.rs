//! The producer's binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::run_main("producer", producer::cli::main)
}
