//! What the services' `check` commands print: one line per thing checked.

use rdkafka::ClientConfig;

use crate::answer;
use crate::exit::Outcome;
use crate::kafka::topics::{self, Wanted};

/// One thing checked: what it is, and where it is not as it must be, what to do.
pub type Line = Result<String, String>;

/// Prints the lines on stdout, each with `ok` or `failed` before it.
///
/// # Errors
/// When stdout cannot be written.
pub fn print(lines: &[Line]) -> anyhow::Result<Outcome> {
    let is_good = lines.iter().all(Result::is_ok);
    answer::print(lines.iter().map(|line| match line {
        Ok(line) => format!("ok      {line}"),
        Err(line) => format!("failed  {line}"),
    }))?;
    Ok(if is_good { Outcome::Done } else { Outcome::Failed })
}

/// Brokers and topics, without making any; a missing topic is well where `service` makes it at its start. The error is
/// the one line there is of brokers that do not answer.
pub fn kafka(client: &ClientConfig, wanted: &Wanted<'_>, service: &str) -> Result<Vec<Line>, String> {
    let findings =
        topics::check(client, wanted).map_err(|error| format!("kafka: {:#}", anyhow::Error::from(error)))?;
    let servers = client.get("bootstrap.servers").unwrap_or_default();
    let found = findings.into_iter().map(|finding| match finding.is_good {
        true => Ok(finding.line),
        false if finding.is_missing && wanted.create => {
            Ok(format!("{} (or let `{service} run` make it)", finding.line))
        }
        false => Err(finding.line),
    });
    Ok(std::iter::once(Ok(format!("kafka: {servers} answers"))).chain(found).collect())
}
