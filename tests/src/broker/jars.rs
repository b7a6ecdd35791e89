//! A broker from Maven Central's jars, with the Java at hand.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The version that `kafka/pom.xml` names.
const DEFAULT_VERSION: &str = "4.3.0";
/// The environment variable that names another version of Kafka, such as `4.4.0`.
const VERSION: &str = "KAFKA_VERSION";

/// Java's heap: enough for some thousand partitions, and small compared to a compiler's. The default would be a quarter of the
/// machine's memory.
const HEAP: [&str; 2] = ["-Xms256m", "-Xmx1g"];

const POM: &str = include_str!("../../kafka/pom.xml");
const LOG4J: &str = include_str!("../../kafka/log4j2.xml");

/// How long a broker may take to stop in good order.
const STOP_BOUND: Duration = Duration::from_mins(1);

/// Settings of some brokers, in addition to those of all.
#[derive(Debug, Default)]
pub(super) struct More {
    /// Another listener, after a comma.
    pub(super) listener: String,
    /// More lines of the properties; of two lines for one property the later counts.
    pub(super) properties: String,
    /// Java's heap, where it is another.
    pub(super) heap: Option<[&'static str; 2]>,
    /// More options of Java's.
    pub(super) java: Vec<String>,
    /// More arguments where the storage is formatted.
    pub(super) format: Vec<String>,
}

/// Where a broker listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) broker: u16,
    pub(super) controller: u16,
}

/// A running broker; dropping it kills it.
#[derive(Debug)]
pub struct JarBroker {
    java: Child,
    address: String,
    folder: PathBuf,
    class_path: String,
    java_options: Vec<String>,
}

impl JarBroker {
    /// Starts a broker whose data lies in `folder`. It takes connections a second or two later.
    pub fn start(folder: &Path) -> Result<Self> {
        Self::start_with(folder, &More::default())
    }

    /// The same with more than others need.
    pub(super) fn start_with(folder: &Path, more: &More) -> Result<Self> {
        let (broker, controller) = free_ports()?;
        Self::start_at(folder, Ports { broker, controller }, more)
    }

    /// The same on ports that are known before, to other controllers too.
    pub(super) fn start_at(folder: &Path, ports: Ports, more: &More) -> Result<Self> {
        ensure!(
            answers("java", "-version"),
            "no `java` on the path: install a Java 17 or newer (Debian: openjdk-17-jre-headless)"
        );
        let libraries = libraries()?;
        let class_path = format!("{}:{}/*", folder.display(), libraries.display());
        let heap = more.heap.unwrap_or(HEAP).map(str::to_owned);
        let java_options = [&heap[..], &more.java].concat();
        fs::create_dir_all(folder)?;
        fs::write(folder.join("log4j2.xml"), LOG4J)?;
        let properties = folder.join("server.properties");
        fs::write(&properties, server_properties(&folder.join("data"), ports, more))?;
        let format = Command::new("java")
            .args([
                "-cp",
                &class_path,
                "kafka.tools.StorageTool",
                "format",
                "-t",
                "dGVzdHMtb2YtZ3JhcGgtMQ",
                "-c",
            ])
            .arg(&properties)
            .args(&more.format)
            .output()
            .context("cannot format the broker's storage")?;
        ensure!(format.status.success(), "storage format: {}", said(&format));
        let java = run(folder, &class_path, &java_options)?;
        let address = format!("127.0.0.1:{}", ports.broker);
        Ok(Self { java, address, folder: folder.to_owned(), class_path, java_options })
    }

    /// Stops it in good order (SIGTERM).
    pub fn stop(&mut self) -> Result<()> {
        let asked =
            Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.java.id())).status()?.success();
        ensure!(asked, "the broker is gone already");
        let deadline = Instant::now() + STOP_BOUND;
        while self.is_running() {
            ensure!(Instant::now() < deadline, "the broker does not stop");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Ends it as a power cut would (SIGKILL).
    pub fn kill(&mut self) -> Result<()> {
        self.java.kill()?;
        self.java.wait()?;
        Ok(())
    }

    /// Starts it again on the same data and the same address, once it has stopped or was killed.
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(!self.is_running(), "the broker runs");
        self.java = run(&self.folder, &self.class_path, &self.java_options)?;
        Ok(())
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Runs one of Kafka's own tools to its end.
    pub(super) fn tool(&self, class: &str, arguments: &[&str]) -> Result<()> {
        let mut java = Command::new("java");
        java.args(["-cp", &self.class_path, class, "--bootstrap-server", &self.address]).args(arguments);
        let output = java.stdin(Stdio::null()).output().with_context(|| format!("cannot run {class}"))?;
        ensure!(output.status.success(), "{class}: {}", said(&output));
        Ok(())
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.java.try_wait(), Ok(None))
    }
}

impl Drop for JarBroker {
    /// Killed, not stopped: its data goes with it.
    fn drop(&mut self) {
        let _gone_already = self.java.kill();
        let _status = self.java.wait();
    }
}

/// Runs the broker that the folder's properties describe.
fn run(folder: &Path, class_path: &str, options: &[String]) -> Result<Child> {
    let log = File::options().create(true).append(true).open(folder.join("broker.log"))?;
    java_that_dies_with_its_parent()
        .args(options)
        .args(["-cp", class_path, "kafka.Kafka"])
        .arg(folder.join("server.properties"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start the broker")
}

/// Even a keeper that is killed leaves no Java process, if util-linux is installed to set a death signal.
fn java_that_dies_with_its_parent() -> Command {
    if answers("setpriv", "--version") {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "java"]);
        command
    } else {
        Command::new("java")
    }
}

fn answers(program: &str, question: &str) -> bool {
    let output = Command::new(program).arg(question).stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

/// What a program said, wherever it said it.
fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said)).join("\n")
}

/// Two ports that were free a moment ago; who loses one to another process starts again.
pub(super) fn free_ports() -> io::Result<(u16, u16)> {
    let (first, second) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok((first.local_addr()?.port(), second.local_addr()?.port()))
}

/// The folder of the jars, fetched once for all runs of this user.
fn libraries() -> Result<PathBuf> {
    let version = version();
    let pom_text = POM.replace(DEFAULT_VERSION, &version);
    let folder = cache_folder().join(format!("kafka-{version}"));
    let libraries = folder.join("libs");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock().context("cannot lock the cache of jars")?;
    let complete = folder.join("complete");
    if fs::read_to_string(&complete).is_ok_and(|pom| pom == pom_text) {
        return Ok(libraries);
    }
    ensure!(answers("mvn", "--version"), "no `mvn` on the path: install Maven (Debian: maven)");
    let pom = folder.join("pom.xml");
    fs::write(&pom, &pom_text)?;
    let maven = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(&pom)
        .arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", libraries.display()))
        .stdin(Stdio::null())
        .output()?;
    ensure!(maven.status.success(), "cannot fetch Kafka's jars from Maven Central: {}", said(&maven));
    // Written last: if it exists, all jars that this pom.xml names exist.
    fs::write(complete, pom_text)?;
    Ok(libraries)
}

/// The version of Kafka that the tests run on.
pub fn version() -> String {
    let given = std::env::var(VERSION).unwrap_or_default();
    if given.trim().is_empty() { DEFAULT_VERSION.to_owned() } else { given.trim().to_owned() }
}

fn cache_folder() -> PathBuf {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::home_dir().map(|home| home.join(".cache"));
    given.or_else(home).unwrap_or_else(std::env::temp_dir).join("anthropic-graph")
}

/// One broker that is its own controller, with a test's impatience.
fn server_properties(data: &Path, ports: Ports, more: &More) -> String {
    let Ports { broker, controller } = ports;
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}{}
controller.listener.names=CONTROLLER
log.dirs={}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.min.isr=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.backoff.ms=500
log.cleaner.dedupe.buffer.size=16777216
log.segment.delete.delay.ms=1000
{}",
        more.listener,
        data.display(),
        more.properties
    )
}
