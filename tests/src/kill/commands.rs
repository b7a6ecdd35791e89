//! Commands as a person would run them.

use super::statistics::Statistics;
use super::system::System;
use super::violation::Violation;
use crate::services::binaries::SERVICES;

/// Only what exists.
pub(super) const UNTIL_END: &[&str] = &["run", "--until-end"];

/// One round of commands, as a person would run it after an outage: each must end with one of these codes.
pub(super) fn round(system: &System, statistics: &Statistics, codes: &[i32]) {
    for (service, arguments) in SERVICES.into_iter().zip([&["poll"], UNTIL_END, UNTIL_END]) {
        command(system, statistics, service, arguments, codes);
    }
}

/// A command that must end with one of these codes.
pub(super) fn command(
    system: &System,
    statistics: &Statistics,
    service: &'static str,
    arguments: &[&str],
    codes: &[i32],
) {
    let failed = match system.complete(service, arguments) {
        Ok(finished) if finished.code.is_some_and(|code| codes.contains(&code)) => return,
        Ok(finished) => format!("exit code {:?}\n{}", finished.code, finished.stderr),
        Err(log) => log,
    };
    let text = format!("{service} {}: {failed}", arguments.join(" "));
    statistics.violate([Violation::new("recovery", text)]);
}
