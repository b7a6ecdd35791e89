//! What the services' `check` commands print: one line per thing checked.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

use crate::exit::Outcome;
use crate::kafka::acls::hint;
use crate::kafka::topics::{self, Finding, Wanted};
use crate::stdout;
use crate::wording;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// It is as it must be.
    Good(String),
    /// Something to know, and nothing to do before the service runs.
    Note(String),
    /// What it is, why it is not as it must be, and what to do.
    Failed(String),
}

impl Line {
    /// Whether the check may end well with it.
    pub fn is_good(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (state, style, line) = match self {
            Self::Good(line) => ("ok", stdout::GOOD, line),
            Self::Note(line) => ("note", stdout::UNUSUAL, line),
            Self::Failed(line) => ("failed", stdout::BAD, line),
        };
        write!(formatter, "{style}{state:<6}{style:#}  {line}")
    }
}

/// Prints the lines on stdout.
///
/// # Errors
/// When stdout cannot be written.
pub fn print(lines: &[Line]) -> anyhow::Result<Outcome> {
    stdout::print(lines)?;
    Ok(if lines.iter().all(Line::is_good) { Outcome::Done } else { Outcome::Failed })
}

/// How many organizations are configured.
pub fn configuration(organizations: usize) -> Line {
    Line::Good(format!("configuration: {}", wording::count(organizations, "organization")))
}

/// Brokers and topics, without creating any; a missing topic is only noted where `service` creates it at its start.
pub fn kafka(client: &ClientConfig, wanted: &Wanted<'_>, service: &str) -> Vec<Line> {
    match topics::check(client, wanted) {
        Ok(findings) => {
            let servers = client.get("bootstrap.servers").unwrap_or_default();
            let mut lines = vec![Line::Good(format!("kafka: {servers} answers"))];
            lines.extend(of_topics(findings, wanted.create.then_some(service)));
            lines
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            let hint = hint(&error, service).map(|hint| format!("; {hint}"));
            vec![Line::Failed(format!("kafka: {error:#}{}", hint.unwrap_or_default()))]
        }
    }
}

/// What is good about a topic on one line, and each thing that is not on a line of its own.
fn of_topics(findings: Vec<Finding>, creator: Option<&str>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut good: BTreeMap<String, usize> = BTreeMap::new();
    for finding in findings {
        let (topic, what) = finding.line.split_once(": ").unwrap_or((&finding.line, ""));
        let earlier = good.get(topic).map(|index| &mut lines[*index]);
        match (finding.is_good, earlier, creator) {
            (true, ..) if finding.is_weak => lines.push(Line::Note(format!("topic {topic}: {what}"))),
            (true, Some(Line::Good(line)), _) => {
                line.push_str(", ");
                line.push_str(what);
            }
            (true, ..) => {
                good.insert(topic.to_owned(), lines.len());
                lines.push(Line::Good(format!("topic {topic}: {what}")));
            }
            (false, _, Some(creator)) if finding.is_missing => {
                lines.push(Line::Note(format!(
                    "topic {topic}: does not exist yet; `{creator} run` creates it"
                )));
            }
            (false, ..) => lines.push(Line::Failed(format!("topic {topic}: {what}"))),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{Line, configuration, of_topics};
    use crate::kafka::topics::Finding;

    fn finding(is_good: bool, is_missing: bool, line: &str) -> Finding {
        Finding { is_good, is_missing, is_weak: false, line: line.to_owned() }
    }

    fn printed(creator: Option<&str>) -> Vec<String> {
        let findings = vec![
            finding(true, false, "a.raw: 12 partitions"),
            finding(true, false, "a.raw: cleanup.policy=delete"),
            finding(false, false, "a.raw: retention.ms=1, should be at least 2: kafka-configs.sh"),
            finding(false, true, "a.graph: missing; create it: kafka-topics.sh --config a=b"),
        ];
        let lines = of_topics(findings, creator);
        lines.iter().map(|line| anstream::adapter::strip_str(&line.to_string()).to_string()).collect()
    }

    #[test]
    fn a_topic_has_one_line_and_one_more_for_each_thing_that_is_wrong() {
        let wrong = "failed  topic a.raw: retention.ms=1, should be at least 2: kafka-configs.sh";
        let right = "ok      topic a.raw: 12 partitions, cleanup.policy=delete";
        let noted = "note    topic a.graph: does not exist yet; `sink run` creates it";
        assert_eq!(printed(Some("sink")), [right, wrong, noted]);
        let failed = "failed  topic a.graph: missing; create it: kafka-topics.sh --config a=b";
        assert_eq!(printed(None), [right, wrong, failed]);
    }

    #[test]
    fn only_what_failed_fails_the_check() {
        assert!(configuration(1).is_good() && Line::Note(String::new()).is_good());
        assert!(!Line::Failed(String::new()).is_good());
    }
}
