//! The permissions that a program needs if the brokers have an authorizer, and the `kafka-acls.sh` commands that grant
//! them.
//!
//! Read and Write imply Describe, so Describe is never granted by itself. An idempotent or transactional producer needs
//! no `IdempotentWrite` on the cluster since Kafka 3.0 (KIP-679).

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use clap::Args;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use schemas::topics::Topic;

use crate::config::{self, SecretOrText};
use crate::shell::word;

/// What a service does with Kafka.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// The service's name, which its consumer group and its transactional IDs have behind the topics' prefix.
    pub service: &'static str,
    /// The topics that it wants: it looks at their settings, and creates them where `kafka.create_topics` is on.
    pub wants: &'static [Topic],
    /// The topics that it reads.
    pub reads: &'static [Topic],
    /// The topics that it writes to, in transactions.
    pub writes: &'static [Topic],
}

impl Needs {
    /// The service's consumer group, whose name begins its transactional IDs.
    pub fn group_id(&self, prefix: &str) -> String {
        format!("{prefix}.{}", self.service)
    }

    /// The smallest set of permissions that works.
    pub fn grants(&self, prefix: &str, create_topics: bool) -> Vec<Grant> {
        let mut grants = Vec::new();
        for topic in Topic::ALL {
            let mut operations = Vec::new();
            let mut add = |is_needed: bool, operation| operations.extend(is_needed.then_some(operation));
            add(self.reads.contains(&topic), Operation::Read);
            add(self.writes.contains(&topic), Operation::Write);
            add(self.wants.contains(&topic) && create_topics, Operation::Create);
            add(self.wants.contains(&topic), Operation::DescribeConfigs);
            if !operations.is_empty() {
                grants.push(Grant { resource: Resource::Topic(topic.name(prefix)), operations });
            }
        }
        let group = self.group_id(prefix);
        let ids = Resource::TransactionalIds(format!("{group}-"));
        grants.push(Grant { resource: Resource::Group(group), operations: vec![Operation::Read] });
        grants.push(Grant { resource: ids, operations: vec![Operation::Write] });
        grants
    }
}

/// The operations allowed on a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub resource: Resource,
    pub operations: Vec<Operation>,
}

/// A resource that an authorizer knows by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    Topic(String),
    /// All topics whose names begin so.
    Topics(String),
    Group(String),
    /// All transactional IDs that begin so: the number of a partition follows.
    TransactionalIds(String),
}

/// An operation that an authorizer allows, by Kafka's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Read,
    Write,
    Create,
    Delete,
    Describe,
    DescribeConfigs,
}

impl Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

impl Grant {
    /// The command that grants it to a principal, such as `User:graph`.
    pub fn command(&self, bootstrap_servers: &str, principal: &str) -> String {
        let operations: Vec<String> =
            self.operations.iter().map(|operation| format!("--operation {operation}")).collect();
        format!(
            "kafka-acls.sh --bootstrap-server {} --add --allow-principal {} {} {}",
            word(bootstrap_servers),
            word(principal),
            operations.join(" "),
            self.resource
        )
    }
}

impl Display for Resource {
    /// As options of the command.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PREFIXED: &str = " --resource-pattern-type prefixed";
        let (option, name, pattern) = match self {
            Self::Topic(name) => ("topic", name, ""),
            Self::Topics(prefix) => ("topic", prefix, PREFIXED),
            Self::Group(name) => ("group", name, ""),
            Self::TransactionalIds(prefix) => ("transactional-id", prefix, PREFIXED),
        };
        write!(formatter, "--{option} {}{pattern}", word(name))
    }
}

/// The options of a service's `check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Print the `kafka-acls.sh` commands that grant what the service needs, and check nothing.
    #[arg(long)]
    acls: bool,
    /// The principal that gets the permissions; the default is the user that the configuration logs in as.
    #[arg(long, value_name = "TYPE:NAME", requires = "acls")]
    principal: Option<String>,
}

impl CheckArguments {
    /// The commands, if `--acls` is given.
    pub fn commands(&self, kafka: &config::Kafka, needs: &Needs) -> Option<Vec<String>> {
        let principal = self.principal.clone().unwrap_or_else(|| principal(&kafka.properties, needs.service));
        let grants = needs.grants(&kafka.topic_prefix, kafka.create_topics);
        let command = |grant: &Grant| grant.command(&kafka.bootstrap_servers, &principal);
        self.acls.then(|| grants.iter().map(command).collect())
    }
}

/// The user that the configuration logs in as. Only the brokers know the principal of a certificate or a token: then it
/// is `otherwise`.
pub fn principal(properties: &BTreeMap<String, SecretOrText>, otherwise: &str) -> String {
    match properties.get("sasl.username") {
        Some(SecretOrText::Text(name)) => format!("User:{name}"),
        Some(SecretOrText::Secret(_)) | None => format!("User:{otherwise}"),
    }
}

/// The kind of a resource on which something was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Kafka's")]
pub enum Denial {
    Topic,
    Group,
    TransactionalId,
    Cluster,
}

/// What to do if a program failed because the brokers' authorizer denied something.
pub fn hint(error: &anyhow::Error, program: &str) -> Option<String> {
    let is_denied = error.chain().any(|cause| {
        let boxed = || cause.downcast_ref::<Box<KafkaError>>().map(Box::as_ref);
        cause.downcast_ref().or_else(boxed).is_some_and(|error| denial(error).is_some())
    });
    let command = if program == "anthropic-graph" { "acls" } else { "check --acls" };
    is_denied.then(|| format!("`{program} {command}` prints the permissions to grant"))
}

/// On what kind of resource the brokers' authorizer denied something, if it did. Only an administrator can change that.
pub fn denial(error: &KafkaError) -> Option<Denial> {
    let code = match error {
        KafkaError::AdminOp(code) => *code,
        error => error.rdkafka_error_code()?,
    };
    Some(match code {
        RDKafkaErrorCode::TopicAuthorizationFailed => Denial::Topic,
        RDKafkaErrorCode::GroupAuthorizationFailed => Denial::Group,
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed => Denial::TransactionalId,
        RDKafkaErrorCode::ClusterAuthorizationFailed => Denial::Cluster,
        _ => return None,
    })
}

/// What an error's text says of the permission, if it is what was missing.
pub(crate) fn missing(error: &KafkaError, operation: &str, topic: &str) -> String {
    match denial(error) {
        Some(Denial::Topic) => format!("; {operation} on the topic {topic} is not granted"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use rdkafka::error::{KafkaError, RDKafkaErrorCode};
    use schemas::topics::Topic;

    use super::{Grant, Needs, Operation, Resource, hint};
    use crate::kafka::partition;

    const NEEDS: Needs = Needs {
        service: "sink",
        wants: &[Topic::Graph, Topic::Sync],
        reads: &[Topic::Graph, Topic::Sync],
        writes: &[Topic::Sync],
    };

    #[test]
    fn a_service_s_grants_are_one_command_for_each_resource() {
        let commands: Vec<String> =
            NEEDS.grants("a", true).iter().map(|it| it.command("b:9092", "User:graph")).collect();
        let add = "kafka-acls.sh --bootstrap-server b:9092 --add --allow-principal User:graph";
        assert_eq!(
            commands,
            [
                format!(
                    "{add} --operation Read --operation Create --operation DescribeConfigs --topic a.graph"
                ),
                format!(
                    "{add} --operation Read --operation Write --operation Create --operation DescribeConfigs --topic a.sync"
                ),
                format!("{add} --operation Read --group a.sink"),
                format!(
                    "{add} --operation Write --transactional-id a.sink- --resource-pattern-type prefixed"
                ),
            ]
        );
    }

    #[test]
    fn who_creates_no_topics_is_not_granted_create() {
        let grants = NEEDS.grants("a", false);
        assert!(grants.iter().all(|grant| !grant.operations.contains(&Operation::Create)), "{grants:?}");
    }

    #[test]
    fn a_refusal_anywhere_in_an_error_shows_the_command_that_prints_what_to_grant() {
        let of = |code| {
            let source = KafkaError::MessageConsumption(code).into();
            anyhow!(partition::Error::Fatal { topic: "a.raw".to_owned(), partition: 0, source })
                .context("failed")
        };
        let refused = of(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert!(hint(&refused, "sink").is_some_and(|hint| hint.starts_with("`sink check --acls`")));
        assert!(hint(&refused, "anthropic-graph").is_some_and(|it| it.starts_with("`anthropic-graph acls`")));
        let admin = anyhow!(KafkaError::AdminOp(RDKafkaErrorCode::ClusterAuthorizationFailed));
        assert!(hint(&admin, "sink").is_some());
        assert_eq!(hint(&of(RDKafkaErrorCode::UnknownTopic), "sink"), None);
    }

    #[test]
    fn a_principal_that_a_shell_would_split_is_quoted() {
        let grant = Grant { resource: Resource::Topics("a.".to_owned()), operations: vec![Operation::Read] };
        assert_eq!(
            grant.command("b:9092", "User:CN=graph,O=Nimbus Labs"),
            "kafka-acls.sh --bootstrap-server b:9092 --add --allow-principal 'User:CN=graph,O=Nimbus Labs' \
             --operation Read --topic a. --resource-pattern-type prefixed"
        );
    }
}
