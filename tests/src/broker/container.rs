//! A broker in a container, where a Docker engine answers.

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use testcontainers::core::{ContainerPort, WaitFor};
use testcontainers::runners::SyncRunner;
use testcontainers::{Container, GenericImage, ImageExt};

use super::jars::version;

/// Names another image, one that takes its settings as `apache/kafka` does.
pub const IMAGE: &str = "KAFKA_IMAGE";

const ENGINE: &str = "DOCKER_HOST";
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// Fetching the image takes the most of it.
const START_TIMEOUT: Duration = Duration::from_mins(5);

/// A running container; dropping it removes it.
pub struct ContainerBroker {
    container: Container<GenericImage>,
    address: String,
}

impl ContainerBroker {
    /// Starts the container and waits until the broker says that it is up.
    pub fn start() -> Result<Self> {
        // A broker advertises its own address, so the port must be known before it starts.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let host = engine_host();
        let (name, tag) = image();
        let listeners = format!("PLAINTEXT://0.0.0.0:{port},CONTROLLER://127.0.0.1:29093");
        let container = GenericImage::new(&name, &tag)
            .with_wait_for(WaitFor::message_on_stdout("Kafka Server started"))
            .with_mapped_port(port, ContainerPort::Tcp(port))
            .with_env_var("KAFKA_PROCESS_ROLES", "broker,controller")
            .with_env_var("KAFKA_NODE_ID", "1")
            .with_env_var("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@127.0.0.1:29093")
            .with_env_var("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER")
            .with_env_var("KAFKA_LISTENERS", listeners)
            .with_env_var("KAFKA_ADVERTISED_LISTENERS", format!("PLAINTEXT://{host}:{port}"))
            .with_env_var("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT")
            .with_env_var("KAFKA_HEAP_OPTS", "-Xms256m -Xmx1g")
            .with_env_var("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
            .with_env_var("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1")
            .with_env_var("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "4")
            .with_env_var("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1")
            .with_env_var("KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS", "4")
            .with_env_var("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1")
            .with_env_var("KAFKA_TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS", "1000")
            .with_env_var("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0")
            .with_env_var("KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS", "1000")
            .with_env_var("KAFKA_LOG_CLEANER_BACKOFF_MS", "500")
            .with_env_var("KAFKA_LOG_CLEANER_DEDUPE_BUFFER_SIZE", "16777216")
            .with_env_var("KAFKA_LOG_SEGMENT_DELETE_DELAY_MS", "1000")
            .with_startup_timeout(START_TIMEOUT)
            .start()
            .with_context(|| format!("cannot start the image {name}:{tag}"))?;
        Ok(Self { container, address: format!("{host}:{port}") })
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the container still runs.
    pub fn is_running(&self) -> bool {
        self.container.is_running().unwrap_or(false)
    }
}

/// Whether anything listens where the engine should; an engine at `tcp://` is not checked.
pub fn check_engine() -> Result<()> {
    let engine = std::env::var(ENGINE).unwrap_or_default();
    let socket = match engine.strip_prefix("unix://") {
        Some(socket) => socket,
        None if engine.is_empty() => DEFAULT_SOCKET,
        None => return Ok(()),
    };
    match UnixStream::connect(socket) {
        Ok(_) => Ok(()),
        Err(error) => bail!("no Docker engine answers on {socket} ({error})"),
    }
}

fn engine_host() -> String {
    let engine = std::env::var(ENGINE).unwrap_or_default();
    let remote = engine.strip_prefix("tcp://").and_then(|rest| rest.split([':', '/']).next());
    remote.unwrap_or("127.0.0.1").to_owned()
}

fn image() -> (String, String) {
    let image = std::env::var(IMAGE).unwrap_or_default();
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name.to_owned(), tag.to_owned()),
        _ if image.is_empty() => ("apache/kafka".to_owned(), version()),
        _ => (image, "latest".to_owned()),
    }
}
