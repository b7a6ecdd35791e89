//! `processor check`: configuration, broker and topics, without changing anything.

use std::io::{self, Write};

use anyhow::Context as _;
use service::{
    config::{Config, environment},
    exit::Outcome,
    kafka::{
        client_config,
        topics::{self, Broker},
    },
};

use crate::run::wanted;

/// Prints one line per thing checked.
pub async fn check(config: Config) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || print(&config)).await.context("the checking thread ended")?
}

fn print(config: &Config) -> anyhow::Result<Outcome> {
    let mut stdout = io::stdout().lock();
    let client = client_config(&config.kafka, &environment())?;
    writeln!(stdout, "ok      configuration: {} organizations", config.organizations.len())?;
    let findings = match topics::check(&client, &wanted(config, Broker::Kafka)) {
        Ok(findings) => findings,
        Err(error) => {
            writeln!(stdout, "failed  broker: {:#}", anyhow::Error::new(error))?;
            return Ok(Outcome::Failed);
        }
    };
    writeln!(stdout, "ok      broker: {}", config.kafka.bootstrap_servers)?;
    let mut outcome = Outcome::Done;
    for finding in findings {
        // A missing topic is made at the start, unless that is forbidden.
        let is_good = finding.is_good || (finding.is_missing && config.kafka.create_topics);
        writeln!(stdout, "{}  {}", if is_good { "ok    " } else { "failed" }, finding.line)?;
        if !is_good {
            outcome = Outcome::Failed;
        }
    }
    Ok(outcome)
}
