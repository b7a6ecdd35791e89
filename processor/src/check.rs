//! `processor check`: configuration, broker and topics, without changing anything.

use anyhow::Context as _;
use service::{
    check::{self, Line},
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
    let lines =
        tokio::task::spawn_blocking(move || lines(&config)).await.context("the checking thread ended")??;
    Ok(check::print(lines)?)
}

fn lines(config: &Config) -> anyhow::Result<Vec<Line>> {
    let client = client_config(&config.kafka, &environment())?;
    let mut lines = vec![Ok(format!("configuration: {} organizations", config.organizations.len()))];
    match topics::check(&client, &wanted(config, Broker::Kafka)) {
        Ok(findings) => {
            lines.push(Ok(format!("broker: {}", config.kafka.bootstrap_servers)));
            // A missing topic is made at the start, unless that is forbidden.
            lines.extend(findings.into_iter().map(|finding| {
                let is_good = finding.is_good || (finding.is_missing && config.kafka.create_topics);
                if is_good { Ok(finding.line) } else { Err(finding.line) }
            }));
        }
        Err(error) => lines.push(Err(format!("broker: {:#}", anyhow::Error::new(error)))),
    }
    Ok(lines)
}
