//! One thing that was verified, and the command that fixes it.

/// One thing that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is as it must be.
    pub is_good: bool,
    /// Whether it is a topic that does not exist.
    pub is_missing: bool,
    /// Whether it weakens a promise: nothing is refused for it.
    pub is_weak: bool,
    /// The thing, what it is, and, where it is wrong, what it should be and the command that fixes it.
    pub line: String,
}

impl Finding {
    pub(super) fn good(line: String) -> Self {
        Self { is_good: true, is_missing: false, is_weak: false, line }
    }

    pub(super) fn weak(line: String) -> Self {
        Self { is_weak: true, ..Self::good(line) }
    }

    pub(super) fn bad(line: String) -> Self {
        Self { is_good: false, ..Self::good(line) }
    }
}

pub(super) fn alter_command(servers: &str, topic: &str, setting: &str, value: &str) -> String {
    format!(
        "kafka-configs.sh --bootstrap-server {servers} --alter --entity-type topics --entity-name {topic} \
         --add-config {setting}={value}"
    )
}
