//! Places at which the kill harness ends the process. Only with the feature `failpoints`, which no release has, and
//! only in a program that arms them, as the tests' own do.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use fail::FailScenario;

/// How long the process stays where it is: the harness ends it within a second, and a person who armed a place by hand has
/// time to look.
const STAY: Duration = Duration::from_mins(10);

/// Arms the places that the variable `FAILPOINTS` names, in the syntax of the crate `fail`: `NAME=return` is the next
/// time that NAME is reached, `NAME=2*off->return` the third time. Until the scenario is dropped.
pub fn arm() -> FailScenario<'static> {
    FailScenario::setup()
}

/// Where the place is armed: says on stderr that it is reached, and waits for the end.
pub fn reach(name: &str) {
    fail::fail_point!(name, |_| stay(name));
}

/// Whether what stands here is to fail.
pub fn fails(name: &str) -> bool {
    fail::fail_point!(name, |_| true);
    false
}

/// The rack that all clients are in, where `kafka::client_rack=return(RACK)` is armed. Readers fetch from the followers in
/// it then, whose ends lag, although the configuration does not allow that.
pub fn client_rack() -> Option<String> {
    fail::fail_point!("kafka::client_rack", |rack| rack);
    None
}

fn stay(name: &str) {
    // Nowhere is left to report that stderr is closed.
    let _ = writeln!(io::stderr(), "failpoint {name} reached");
    thread::sleep(STAY);
}
