//! One Apache Kafka broker for a whole test run, shared by its test binaries, their processes and threads.
//!
//! A test run is one `cargo test`. The first process that needs the broker starts a keeper (`test-broker`), which
//! starts the broker, and writes the broker's address into the run's folder, where the others find it. The keeper
//! ends, with the broker and its data, as soon as the process that owns the run is gone, however it went.

pub mod acls;
pub mod cluster;
pub mod container;
pub mod guarded;
pub mod jars;
pub mod keeper;
pub mod owner;
pub mod secured;

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::{Once, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use self::owner::Owner;
use crate::services::binaries;

/// The address of a broker to use instead of starting one.
pub const BOOTSTRAP_SERVERS: &str = "KAFKA_BOOTSTRAP_SERVERS";

/// The first start may fetch an image or jars over a slow line; a start from the cache takes 4 s.
const START_TIMEOUT: Duration = Duration::from_mins(10);

const NO_BROKER: &str = "no Kafka broker to test on: install Java 17 and Maven, or start a Docker engine, or set \
                         KAFKA_BOOTSTRAP_SERVERS";

static SAID: Once = Once::new();
static SHARED: OnceLock<Result<String, String>> = OnceLock::new();

/// The bootstrap servers of the test run's broker: the first that there is of `KAFKA_BOOTSTRAP_SERVERS`, a container
/// where a Docker engine answers, a broker from Maven Central's jars.
///
/// # Panics
/// Where none of the three can be had, with what to install.
pub fn bootstrap_servers() -> String {
    match SHARED.get_or_init(find_or_start) {
        Ok(address) => address.clone(),
        Err(reason) => {
            // Past libtest, which captures what a test prints, and once: each test that fails says the way out only.
            SAID.call_once(|| {
                let _stderr_is_closed = writeln!(std::io::stderr(), "\n{NO_BROKER}\n{reason}");
            });
            panic!("{NO_BROKER}")
        }
    }
}

fn find_or_start() -> Result<String, String> {
    if let Ok(given) = std::env::var(BOOTSTRAP_SERVERS)
        && !given.trim().is_empty()
    {
        return Ok(given.trim().to_owned());
    }
    let owner = Owner::of_this_run();
    let folder = std::env::temp_dir().join(format!("anthropic-graph-tests-{}", owner.name()));
    share(&folder, &owner)
}

/// Under the folder's lock: what an earlier process left there, else a new broker.
fn share(folder: &Path, owner: &Owner) -> Result<String, String> {
    let failed =
        |what: &'static str| move |error: std::io::Error| format!("{what} {}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(failed("cannot make"))?;
    let lock = File::create(folder.join("lock")).map_err(failed("cannot make a lock in"))?;
    lock.lock().map_err(failed("cannot lock"))?;
    let found = folder.join("bootstrap_servers");
    if let Ok(address) = fs::read_to_string(&found) {
        return Ok(address);
    }
    match start(folder, owner) {
        Ok(address) => {
            fs::write(found, &address).map_err(failed("cannot write into"))?;
            Ok(address)
        }
        Err(reason) => {
            // No keeper is left to remove it at the run's end.
            fs::remove_dir_all(folder).map_err(failed("cannot remove"))?;
            Err(reason)
        }
    }
}

/// Starts the keeper and waits for the address that it prints, or for its end.
fn start(folder: &Path, owner: &Owner) -> Result<String, String> {
    let log = folder.join("keeper.log");
    let stderr = OpenOptions::new().create(true).append(true).open(&log);
    let stderr = stderr.map_err(|error| format!("cannot write {}: {error}", log.display()))?;
    let program = binaries::folder().join("test-broker");
    let mut keeper = Command::new(&program)
        .arg(owner.pid().to_string())
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        // Ctrl-C goes to the terminal's group; the keeper must outlive it to stop the broker.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    let stdout = keeper.stdout.take().expect("its stdout is a pipe");
    if let Some(address) = first_line(stdout) {
        return Ok(address);
    }
    // It ends on its own if it could not start a broker; after the deadline it is killed.
    let _gone_already = keeper.kill();
    let _status = keeper.wait();
    Err(fs::read_to_string(&log).unwrap_or_default())
}

fn first_line(stdout: ChildStdout) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        let _receiver_gone = sender.send(read.map(|_| line.trim().to_owned()));
    });
    receiver.recv_timeout(START_TIMEOUT).ok()?.ok().filter(|line| !line.is_empty())
}
