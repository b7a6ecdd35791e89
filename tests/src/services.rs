//! The real binaries, as processes.

pub mod binaries;
mod output;

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use self::output::Output;

/// How long a command that ends on its own may take, and how long a service may take to become ready or to stop.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// How often a process or an endpoint is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; none for one that a signal ended.
    pub code: Option<i32>,
    /// What it wrote as its result.
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Makes sure that it ended with this code.
    ///
    /// # Panics
    /// With all that it wrote, if it ended otherwise.
    #[track_caller]
    pub fn expect(&self, code: i32) -> &Self {
        let Self { code: actual, stdout, stderr } = self;
        assert_eq!(*actual, Some(code), "wrong exit code\nstdout:\n{stdout}\nstderr:\n{stderr}");
        self
    }
}

/// A running binary. Dropping it kills it.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    process: Child,
    stdout: Output,
    stderr: Output,
}

impl Service {
    /// Starts one of `producer`, `processor`, `sink`, `anthropic-graph`, with nothing of this test's own settings in its
    /// environment, and logs at INFO.
    pub fn spawn<A: AsRef<OsStr>>(
        name: &'static str,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
    ) -> Self {
        Self::start(name, &binaries::path(name), arguments, environment)
    }

    /// Starts the program of that name that lies there.
    pub fn start<A: AsRef<OsStr>>(
        name: &'static str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ours = |name: &str| {
            name.starts_with("ANTHROPIC_GRAPH__") || name.starts_with("OTEL_") || name == "RUST_LOG"
        };
        for (variable, _) in std::env::vars().filter(|(variable, _)| ours(variable)) {
            command.env_remove(variable);
        }
        command.envs(environment.iter().copied());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let stdout = Output::of(process.stdout.take().expect("its stdout is a pipe"));
        let stderr = Output::of(process.stderr.take().expect("its stderr is a pipe"));
        Self { name, process, stdout, stderr }
    }

    /// Starts a binary and waits until it has ended.
    pub fn run<A: AsRef<OsStr>>(
        name: &'static str,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
    ) -> Finished {
        Self::spawn(name, arguments, environment).finish()
    }

    /// Runs a command that a service has shown, as a person who pastes it into a shell, and whose name is ada.
    pub fn paste(command: &str) -> Finished {
        let command = command.replace("$(id -un)", "ada");
        Self::start("shell", Path::new("/bin/sh"), ["-c", &command], &[]).finish()
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.stderr.text()
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// The first line of its log that contains this text, once there is one.
    pub fn logged(&mut self, text: &str) -> String {
        let mut line = None;
        self.until(&format!("log {text:?}"), |service| {
            line = service.log().lines().find(|line| line.contains(text)).map(str::to_owned);
            line.is_some()
        });
        line.expect("it was waited for")
    }

    /// Waits until so many lines of its log contain this text.
    pub fn logged_times(&mut self, text: &str, times: usize) {
        self.until(&format!("log {text:?} {times} times"), |service| {
            service.log().lines().filter(|line| line.contains(text)).count() >= times
        });
    }

    /// The first line of its stdout that contains this text, once there is one.
    pub fn printed(&mut self, text: &str) -> String {
        let mut line = None;
        self.until(&format!("print {text:?}"), |service| {
            line = service.stdout().lines().find(|line| line.contains(text)).map(str::to_owned);
            line.is_some()
        });
        line.expect("it was waited for")
    }

    /// Its admin endpoint's address, once it listens.
    pub fn admin(&mut self) -> String {
        let line = self.logged("admin endpoint listens");
        let line: serde_json::Value = serde_json::from_str(&line).expect("a log line is JSON");
        line["address"].as_str().expect("it logs its address").to_owned()
    }

    /// The status code and body of a path of its admin endpoint.
    pub fn get(&mut self, path: &str) -> io::Result<(u16, String)> {
        get(&self.admin(), path)
    }

    /// Waits until `/readyz` says so.
    pub fn ready(&mut self) {
        let address = self.admin();
        self.until("become ready", |_| get(&address, "/readyz").is_ok_and(|(status, _)| status == 200));
    }

    /// Waits until `/readyz` says that it is not.
    pub fn unready(&mut self) {
        let address = self.admin();
        self.until("become unready", |_| get(&address, "/readyz").is_ok_and(|(status, _)| status == 503));
    }

    /// Waits until `/readyz` says that it is not, for this reason; all that it says then.
    pub fn unready_for(&mut self, reason: &str) -> String {
        let address = self.admin();
        let mut said = String::new();
        self.until(&format!("become unready for {reason:?}"), |_| {
            let Ok((503, body)) = get(&address, "/readyz") else { return false };
            said = body;
            said.contains(reason)
        });
        said
    }

    /// Waits until something that it does has come to pass.
    ///
    /// # Panics
    /// When it ends, or the deadline passes, before it has.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Asked first: what it did last still counts when it has ended.
            let has_ended = self.process.try_wait().expect("its state is known").is_some();
            if is_so(self) {
                return;
            }
            let why = if has_ended { "ended" } else { "took too long" };
            let is_over = has_ended || Instant::now() > deadline;
            assert!(!is_over, "{} {why} and did not {what}\n{}", self.name, self.log());
            thread::sleep(LOOK_PERIOD);
        }
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    pub fn terminate(self) -> Finished {
        self.signal("TERM");
        self.finish()
    }

    /// Interrupts it (SIGINT) and waits until it has ended.
    pub fn interrupt(self) -> Finished {
        self.signal("INT");
        self.finish()
    }

    /// Ends it as a power cut would (SIGKILL).
    pub fn kill(mut self) -> Finished {
        self.process.kill().expect("it is ours to kill");
        self.finish()
    }

    /// Stops it where it stands (SIGSTOP), as a machine that sleeps does.
    pub fn suspend(&self) {
        self.signal("STOP");
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Whether its log contains this text.
    pub fn has_logged(&self, text: &str) -> bool {
        self.stderr.contains(text)
    }

    /// Whether it has ended, however it went.
    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().expect("its state is known").is_some()
    }

    /// Whether it ends on its own within that time.
    pub fn ends_within(&mut self, bound: Duration) -> bool {
        let deadline = Instant::now() + bound;
        while !self.has_ended() {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(LOOK_PERIOD);
        }
        true
    }

    /// Waits until it has ended on its own.
    pub fn finish(mut self) -> Finished {
        assert!(self.ends_within(PATIENCE), "{} does not end\n{}", self.name, self.log());
        let status = self.process.wait().expect("its state is known");
        self.finished(status)
    }

    fn finished(&mut self, status: ExitStatus) -> Finished {
        Finished { code: status.code(), stdout: self.stdout.whole(), stderr: self.stderr.whole() }
    }

    /// By the shell, whose `kill` is built in: the standard library has none.
    fn signal(&self, signal: &str) {
        let command = format!("kill -{signal} {}", self.pid());
        let status = Command::new("sh").arg("-c").arg(command).status();
        assert!(status.is_ok_and(|status| status.success()), "{} is gone already\n{}", self.name, self.log());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _status = self.process.wait();
    }
}

/// The status code and body of a path of the admin endpoint that listens there.
pub fn get(address: &str, path: &str) -> io::Result<(u16, String)> {
    request(address, &format!("GET {path}"), &[], "")
}

/// The status code and body of the response to a request, such as `GET /readyz`.
pub fn request(address: &str, what: &str, headers: &[(&str, &str)], body: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "{what} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n", body.len())?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    write!(stream, "\r\n{body}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, body.to_owned()))
}
