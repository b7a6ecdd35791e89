//! `sink check`: what a person must mend before the sink can run, one line per thing, changing nothing.

use std::io::{self, Write};
use std::sync::Arc;

use service::config::{Config, Destination};
use service::exit::Outcome;
use service::kafka::{client_config, topics};

use crate::configured::{self, Configured};
use crate::run::{Options, wanted};

/// Checks, and prints a line for each thing on stdout; the configuration's own mistakes are errors.
pub async fn check(config: &Config, options: &Options) -> anyhow::Result<Outcome> {
    let configured = configured::all(config, &options.environment)?;
    let mut lines = vec![Ok(format!("configuration: {} organizations", configured.len()))];
    lines.extend(kafka(config, options).await?);
    for organization in &configured {
        lines.push(jupiterone(organization).await);
    }
    let is_good = lines.iter().all(Result::is_ok);
    let mut out = io::stdout().lock();
    for line in lines {
        match line {
            Ok(line) => writeln!(out, "ok      {line}")?,
            Err(line) => writeln!(out, "failed  {line}")?,
        }
    }
    Ok(if is_good { Outcome::Done } else { Outcome::Failed })
}

async fn kafka(config: &Config, options: &Options) -> anyhow::Result<Vec<Result<String, String>>> {
    let client = client_config(&config.kafka, &options.environment)?;
    let (config, broker) = (Arc::new(config.clone()), options.broker);
    let create = config.kafka.create_topics;
    let servers = config.kafka.bootstrap_servers.clone();
    let found = tokio::task::spawn_blocking(move || topics::check(&client, &wanted(&config, broker))).await?;
    Ok(match found {
        Err(error) => vec![Err(format!("kafka: {:#}", anyhow::Error::from(error)))],
        Ok(findings) => {
            let reached = Ok(format!("kafka: {servers} answers"));
            let lines = findings.into_iter().map(|finding| match finding.is_good {
                true => Ok(finding.line),
                false if finding.is_missing && create => {
                    Ok(format!("{} (or let `sink run` make it)", finding.line))
                }
                false => Err(finding.line),
            });
            [reached].into_iter().chain(lines).collect()
        }
    })
}

async fn jupiterone(organization: &Configured) -> Result<String, String> {
    let name = &organization.name;
    let target = match &organization.destination {
        Destination::Instance(id) => format!("integration instance {id}"),
        Destination::Scope(Some(scope)) => format!("scope {scope}"),
        Destination::Scope(None) => "scope anthropic-graph:<organization id>".to_owned(),
    };
    match organization.client.check().await {
        Ok(()) => Ok(format!("organization {name}: JupiterOne takes the API key; target {target}")),
        Err(error) => Err(format!("organization {name}: {error}")),
    }
}
