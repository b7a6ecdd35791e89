//! What `--version` prints: what this binary was built from.

use std::sync::LazyLock;

use rdkafka::ClientConfig;
use rdkafka::util::get_rdkafka_version;

/// The commit of a release build, else `unknown` (build.rs).
pub(crate) const COMMIT: &str = env!("ANTHROPIC_GRAPH_COMMIT");

/// The version, the commit, and the librdkafka that is linked in, with the features that it was built with.
pub(crate) static LONG: LazyLock<String> = LazyLock::new(|| {
    let (_, librdkafka) = get_rdkafka_version();
    let features =
        ClientConfig::new().create_native_config().and_then(|config| config.get("builtin.features"));
    let features = features.map_or_else(|error| error.to_string(), |features| features.replace(',', ", "));
    let version = env!("CARGO_PKG_VERSION");
    format!("{version}\ncommit: {COMMIT}\nlibrdkafka: {librdkafka}\nlibrdkafka features: {features}")
});

#[cfg(test)]
mod tests {
    use super::LONG;

    #[test]
    fn the_long_version_names_commit_librdkafka_and_features() {
        let version = &*LONG;
        let lines: Vec<&str> = version.lines().collect();
        assert_eq!(lines[0], env!("CARGO_PKG_VERSION"));
        let commit = lines[1].strip_prefix("commit: ").expect("the commit");
        let is_hash = commit.len() >= 12 && commit.chars().all(|character| character.is_ascii_hexdigit());
        assert!(commit == "unknown" || is_hash, "{version}");
        assert!(lines[2].starts_with("librdkafka: 2."), "{version}");
        let features = lines[3].strip_prefix("librdkafka features: ").expect("the features");
        assert!(features.split(", ").any(|feature| feature == "zstd"), "{version}");
        assert_eq!(features.split(", ").any(|feature| feature == "ssl"), cfg!(feature = "tls"), "{version}");
    }
}
