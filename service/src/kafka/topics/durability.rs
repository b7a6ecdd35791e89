//! Settings that decide whether what was written stays: what breaks a promise, and what weakens one. Pure.

use std::collections::BTreeMap;

use schemas::topics::Topic;

use super::super::client::LEAST_MESSAGE_BYTES;
use super::Wanted;
use super::finding::{Finding, alter_command};

/// Records that are kept for less than this (ms) may be gone before a service that is restarted reads them.
const LEAST_RETENTION_MS: i64 = 60 * 60 * 1000;
/// Replicas that must have a record before it is acknowledged (count), where there are more than one: the broker that
/// acknowledged it may be lost the next moment.
const SAFE_IN_SYNC: i64 = 2;

/// One finding for each setting of a topic that breaks or weakens a promise.
pub(super) fn findings(
    servers: &str,
    wanted: &Wanted<'_>,
    topic: Topic,
    replicas: i64,
    settings: &BTreeMap<String, String>,
) -> Vec<Finding> {
    let name = topic.name(wanted.prefix);
    let number = |setting: &str| settings.get(setting)?.parse::<i64>().ok();
    let line = |setting: &str, is: &str, why: &str, should_be: &str| {
        let fix = alter_command(servers, &name, setting, should_be);
        format!("{name}: {setting}={is}, {why}: {fix}")
    };
    let mut findings = Vec::new();
    if settings.get("unclean.leader.election.enable").is_some_and(|is| is == "true") {
        let why =
            "should be false, because a broker that lags could become the leader and lose committed records";
        findings.push(Finding::bad(line("unclean.leader.election.enable", "true", why, "false")));
    }
    if let Some(is) = number("max.message.bytes").filter(|is| *is < LEAST_MESSAGE_BYTES) {
        let least = LEAST_MESSAGE_BYTES.to_string();
        let why = format!("should be at least {least}, which the largest record needs");
        findings.push(Finding::bad(line("max.message.bytes", &is.to_string(), &why, &least)));
    }
    if let Some(is) = number("min.insync.replicas") {
        let setting = "min.insync.replicas";
        if is > replicas {
            let why = format!("the topic has {replicas} replicas, so no record is ever acknowledged");
            let should_be = SAFE_IN_SYNC.min(replicas).to_string();
            findings.push(Finding::bad(line(setting, &is.to_string(), &why, &should_be)));
        } else if is < SAFE_IN_SYNC && replicas > 1 {
            let why = "so the loss of one broker can lose acknowledged records; 2 is better";
            findings.push(Finding::weak(line(setting, &is.to_string(), why, &SAFE_IN_SYNC.to_string())));
        }
    }
    findings.extend(retention(wanted, topic, number("retention.ms"), line));
    findings
}

fn retention(
    wanted: &Wanted<'_>,
    topic: Topic,
    is: Option<i64>,
    line: impl Fn(&str, &str, &str, &str) -> String,
) -> Option<Finding> {
    let (setting, configured) = match topic {
        Topic::Raw => ("retention.raw", wanted.retention.raw_ms),
        Topic::Changes => ("retention.changes", wanted.retention.changes_ms),
        Topic::Graph | Topic::Sync | Topic::DeadLetters => return None,
    };
    // Negative is unlimited.
    let is = is.filter(|is| *is >= 0)?;
    let configured = configured.and_then(|ms| i64::try_from(ms).ok());
    let should_be = configured.map_or_else(|| "-1".to_owned(), |ms| ms.to_string());
    if is < LEAST_RETENTION_MS && configured.is_none_or(|configured| is < configured) {
        let why =
            format!("should be at least {LEAST_RETENTION_MS}, or records are deleted before they are read");
        return Some(Finding::bad(line("retention.ms", &is.to_string(), &why, &should_be)));
    }
    configured.is_none_or(|configured| is < configured).then(|| {
        let configured = configured.map_or_else(|| "unlimited".to_owned(), |ms| format!("{ms} ms"));
        let why = format!("shorter than {setting} says ({configured}); alter the topic or the configuration");
        Finding::weak(line("retention.ms", &is.to_string(), &why, &should_be))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemas::topics::Topic;

    use super::super::verdict::tests::wanted;
    use super::findings;

    fn found(topic: Topic, replicas: i64, settings: &[(&str, &str)]) -> Vec<(bool, String)> {
        let settings: BTreeMap<String, String> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let found = findings("b:9092", &wanted(&[]), topic, replicas, &settings);
        found.into_iter().map(|finding| (finding.is_good, finding.line)).collect()
    }

    /// The one finding: whether a service starts on it, and its line.
    fn one(topic: Topic, replicas: i64, setting: (&str, &str)) -> (bool, String) {
        let [finding] = &found(topic, replicas, &[setting])[..] else { panic!("one finding of {setting:?}") };
        assert!(finding.1.starts_with(&format!("{}: ", topic.name("anthropic"))));
        let command = "--add-config";
        assert!(finding.1.contains(command) && finding.1.contains(setting.0), "{}", finding.1);
        finding.clone()
    }

    #[test]
    fn settings_that_keep_what_was_written_are_not_reported() {
        let kept = [
            ("unclean.leader.election.enable", "false"),
            ("max.message.bytes", "1048588"),
            ("min.insync.replicas", "2"),
            ("retention.ms", "-1"),
        ];
        for topic in Topic::ALL {
            assert_eq!(found(topic, 3, &kept), []);
        }
        assert_eq!(found(Topic::Graph, 1, &[("min.insync.replicas", "1")]), [], "one broker is no cluster");
        assert_eq!(found(Topic::Raw, 3, &[("retention.ms", "2592000000")]), [], "as configured");
    }

    #[test]
    fn a_setting_that_loses_records_is_refused_with_the_command_that_fixes_it() {
        let (is_good, line) = one(Topic::Graph, 3, ("unclean.leader.election.enable", "true"));
        assert!(!is_good && line.ends_with("unclean.leader.election.enable=false"), "{line}");
        let (is_good, line) = one(Topic::Changes, 3, ("max.message.bytes", "999999"));
        assert!(!is_good && line.ends_with("max.message.bytes=1000000"), "{line}");
        let (is_good, line) = one(Topic::Raw, 1, ("min.insync.replicas", "2"));
        assert!(!is_good && line.ends_with("min.insync.replicas=1"), "{line}");
        let (is_good, line) = one(Topic::Raw, 3, ("retention.ms", "60000"));
        assert!(!is_good && line.ends_with("retention.ms=2592000000"), "{line}");
    }

    #[test]
    fn a_setting_that_weakens_a_guarantee_is_reported_and_refuses_nothing() {
        let (is_good, line) = one(Topic::Graph, 3, ("min.insync.replicas", "1"));
        assert!(is_good && line.ends_with("min.insync.replicas=2"), "{line}");
        let (is_good, line) = one(Topic::Changes, 3, ("retention.ms", "604800000"));
        assert!(is_good && line.contains("unlimited") && line.ends_with("retention.ms=-1"), "{line}");
    }
}
