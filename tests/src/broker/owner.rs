//! The process whose end is the end of the test run.

use std::fs;
use std::os::unix::process::parent_id;
use std::process::Command;

/// A process. Its start time distinguishes it from a later one with the same ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pid: u32,
    started: String,
}

impl Owner {
    /// `cargo test` (or nextest), which is the parent of each test binary; the test itself where it was started by
    /// hand.
    pub fn of_this_run() -> Self {
        let is_run_by_cargo = std::env::var_os("CARGO").is_some();
        let pid = if is_run_by_cargo { parent_id() } else { std::process::id() };
        Self::new(pid).expect("a parent outlives the question")
    }

    /// The process with this id; none where there is none.
    pub fn new(pid: u32) -> Option<Self> {
        start_time(pid).map(|started| Self { pid, started })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// A file name of its own.
    pub fn name(&self) -> String {
        let started = self.started.replace(|character: char| !character.is_ascii_alphanumeric(), "-");
        format!("{}-{started}", self.pid)
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        start_time(self.pid).as_ref() == Some(&self.started)
    }
}

/// None for a process that is gone, or dead and not yet waited for.
fn start_time(pid: u32) -> Option<String> {
    if fs::exists("/proc/self/stat").unwrap_or(false) {
        // proc_pid_stat(5): the state is the first field after the command's parenthesis, the start time the 20th.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let is_dead = matches!(fields.next()?, "Z" | "X");
        return if is_dead { None } else { fields.nth(18).map(str::to_owned) };
    }
    let ps = Command::new("ps").args(["-o", "state=,lstart=", "-p", &pid.to_string()]).output().ok()?;
    let line = String::from_utf8(ps.stdout).ok()?;
    let (state, started) = line.trim().split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_one_that_was_waited_for_is_not() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let owner = Owner::new(child.id()).unwrap();
        assert!(owner.is_alive());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!owner.is_alive());
        assert!(Owner::new(std::process::id()).unwrap().is_alive());
    }

    #[test]
    fn a_process_with_the_same_id_and_another_start_is_another_process() {
        let this = Owner::new(std::process::id()).unwrap();
        let earlier = Owner { pid: this.pid, started: "1".to_owned() };
        assert!(!earlier.is_alive());
        assert_ne!(earlier.name(), this.name());
    }
}
