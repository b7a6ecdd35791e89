//! The processor's binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::run_main("processor", processor::cli::main)
}
