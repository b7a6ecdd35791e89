//! The command line.

use std::time::Duration;

use clap::{Parser, value_parser};
use jiff::SignedDuration;

/// The whole pipeline in one process: an Anthropic organization, Kafka, the three services, JupiterOne.
///
/// By default the broker is embedded and both ends are simulated, so nothing leaves this machine. Ctrl-C ends it.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Clone, Parser)]
#[command(name = "quickstart", version)]
pub(crate) struct Arguments {
    /// The same seed and sizes give the same organization and the same changes.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Members at the start.
    #[arg(long, default_value_t = 40, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub(crate) users: u32,
    /// Workspaces at the start, in addition to the default one.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) workspaces: u32,
    /// API keys at the start.
    #[arg(long, default_value_t = 60, value_name = "N")]
    pub(crate) api_keys: u32,
    /// Time from one poll to the next, such as `5s`; by default 5s, and 1m for your own organization.
    #[arg(long, value_parser = period, value_name = "PERIOD")]
    pub(crate) polling_interval: Option<Duration>,
    /// Changes in the organization between two polls.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = value_parser!(u16).range(1..=1000))]
    pub(crate) events: u16,
    /// One poll, a batch of changes, a second poll, and the end.
    #[arg(long)]
    pub(crate) once: bool,
    /// Print nothing but a JSON object at the end.
    #[arg(long)]
    pub(crate) json: bool,
    /// Change one property in JupiterOne without the sink, to see that the comparison finds it.
    #[arg(long, requires = "once")]
    pub(crate) drift: bool,
    /// Remove so many people at once that the guard holds their deletion, to see the console's page Holds.
    #[arg(long, conflicts_with_all = ["once", "anthropic_key_env"])]
    pub(crate) mass_deletion: bool,
    /// A real Kafka in place of the embedded broker; the topics have a prefix of their own.
    #[arg(long, value_name = "SERVERS")]
    pub(crate) bootstrap_servers: Option<String>,
    /// Look at your own organization, read only: the environment variable that holds its Admin API key. Its graph goes
    /// to the simulated JupiterOne in this process.
    #[arg(long, value_name = "NAME")]
    pub(crate) anthropic_key_env: Option<String>,
    /// Where that organization's Admin API is.
    #[arg(long, requires = "anthropic_key_env", value_name = "URL")]
    pub(crate) base_url: Option<String>,
}

impl Arguments {
    /// Time from one poll to the next. A real organization allows 100 requests a minute, shared with all else.
    pub(crate) fn polling_interval(&self) -> Duration {
        let default = if self.anthropic_key_env.is_some() { 60 } else { 5 };
        self.polling_interval.unwrap_or(Duration::from_secs(default))
    }
}

fn period(text: &str) -> Result<Duration, String> {
    let period: SignedDuration = text.parse().map_err(|_| "write a time span such as 5s or 1m".to_owned())?;
    match Duration::try_from(period) {
        Ok(period) if period >= Duration::from_secs(1) => Ok(period),
        _ => Err("write a time span of at least 1s".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
