//! `producer check`: configuration, broker, topics and keys, without changing anything.

use service::config::Config;
use service::exit::Outcome;

use crate::setup::Options;

/// Prints one line per thing checked.
pub async fn check(_config: Config, _options: Options) -> anyhow::Result<Outcome> {
    anyhow::bail!("not yet")
}
