//! A broker that asks who a client is, and lets it do what it was granted.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::jars::{JarBroker, More, free_ports};

/// The name is the user's password too.
const JAAS: &str = "listener.name.sasl_plaintext.plain.sasl.jaas.config=\
                    org.apache.kafka.common.security.plain.PlainLoginModule required";

/// The running broker. On its first listener everybody may do everything.
#[derive(Debug)]
pub struct GuardedBroker {
    broker: JarBroker,
    guarded: u16,
    properties: PathBuf,
}

impl GuardedBroker {
    /// Starts a broker with these users, none of whom may do anything yet.
    pub fn start(folder: &Path, users: &[&str]) -> Result<Self> {
        let (guarded, _) = free_ports()?;
        let mut properties = "listener.security.protocol.map=\
                              PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT\n\
                              authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
                              super.users=User:ANONYMOUS\n\
                              sasl.enabled.mechanisms=PLAIN\n"
            .to_owned();
        properties.push_str(JAAS);
        for user in users {
            write!(properties, " user_{user}=\"{user}\"")?;
        }
        properties.push_str(";\n");
        let listener = format!(",SASL_PLAINTEXT://127.0.0.1:{guarded}");
        let broker = JarBroker::start_with(folder, &More { listener, properties, ..More::default() })?;
        Ok(Self { broker, guarded, properties: folder.join("server.properties") })
    }

    /// Kills the broker, and starts it again with another password for a user.
    pub fn rotate(&mut self, user: &str, old: &str, new: &str) -> Result<()> {
        self.broker.kill()?;
        let entry = |password: &str| format!("user_{user}=\"{password}\"");
        let properties = fs::read_to_string(&self.properties)?;
        ensure!(properties.contains(&entry(old)), "{user} has no password {old}");
        fs::write(&self.properties, properties.replace(&entry(old), &entry(new)))?;
        self.broker.start_again()
    }

    /// Lets a user do this with a topic.
    pub fn grant(&self, user: &str, operation: &str, topic: &str) -> Result<()> {
        let principal = format!("User:{user}");
        let arguments =
            ["--add", "--allow-principal", &principal, "--operation", operation, "--topic", topic];
        self.broker.tool("org.apache.kafka.tools.AclCommand", &arguments)
    }

    /// Lets a user do this with every resource of a kind (`topic`, `transactional-id`) whose name begins so.
    pub fn grant_under(&self, user: &str, operations: &[&str], kind: &str, prefix: &str) -> Result<()> {
        let (principal, kind) = (format!("User:{user}"), format!("--{kind}"));
        let mut arguments = vec!["--add", "--allow-principal", &principal, &kind, prefix];
        arguments.extend(["--resource-pattern-type", "prefixed"]);
        arguments.extend(operations.iter().flat_map(|operation| ["--operation", operation]));
        self.broker.tool("org.apache.kafka.tools.AclCommand", &arguments)
    }

    /// Runs a `kafka-acls.sh` command as it was printed, by the tool itself.
    pub fn run_acls_command(&self, command: &str) -> Result<()> {
        let server = format!("kafka-acls.sh --bootstrap-server {} ", self.address());
        let options = command.strip_prefix(&server);
        let options = options.with_context(|| format!("{command} does not begin with {server}"))?;
        self.broker.tool("org.apache.kafka.tools.AclCommand", &options.split(' ').collect::<Vec<_>>())
    }

    /// The bootstrap server of those who may do everything.
    pub fn address(&self) -> &str {
        self.broker.address()
    }

    /// The bootstrap server of the users.
    pub fn guarded_address(&self) -> String {
        format!("127.0.0.1:{}", self.guarded)
    }
}
