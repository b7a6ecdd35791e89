//! The sink binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::run_main("sink", sink::execute)
}
