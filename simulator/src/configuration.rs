//! The services' configuration for the two ends, with the keys in files next to it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Serialize;
use simulator::anthropic::Anthropic;
use simulator::jupiterone::JupiterOne;

/// Short, so that the organization's life is soon seen.
const POLLING_INTERVAL: &str = "1m";

/// Tells a file of the simulator from a person's.
const HEADER: &str = "# Written by the simulator: both ends are invented, and gone when it ends.";

#[derive(Serialize)]
struct Configuration<'a> {
    kafka: Kafka<'a>,
    organizations: [Source<'a>; 1],
    jupiterone: Target<'a>,
}

#[derive(Serialize)]
struct Kafka<'a> {
    bootstrap_servers: &'a str,
}

#[derive(Serialize)]
struct Source<'a> {
    name: String,
    organization_id: String,
    account_name: &'a str,
    tag_account_name: bool,
    polling_interval: &'a str,
    base_url: String,
    api_key: Secret,
}

#[derive(Serialize)]
struct Target<'a> {
    account_id: &'a str,
    base_url: String,
    api_key: Secret,
}

#[derive(Serialize)]
struct Secret {
    file: PathBuf,
}

/// Writes the configuration, `<file>.admin-key` and `<file>.jupiterone-key`, the keys readable by the owner alone. A
/// file that a person wrote stays as it is.
pub(crate) fn write(
    file: &Path,
    anthropic: &Anthropic,
    jupiterone: &JupiterOne,
    bootstrap_servers: &str,
) -> anyhow::Result<()> {
    // A service may be started in another directory than this one.
    let file = std::path::absolute(file).with_context(|| format!("failed to find {}", file.display()))?;
    if fs::read(&file).is_ok_and(|it| !it.is_empty() && !it.starts_with(HEADER.as_bytes())) {
        bail!("{} exists, and the simulator did not write it; name another file", file.display());
    }
    let organization = anthropic.truth().organization;
    let configuration = Configuration {
        kafka: Kafka { bootstrap_servers },
        organizations: [Source {
            name: organization.slug(),
            organization_id: organization.id,
            account_name: &organization.name,
            tag_account_name: true,
            polling_interval: POLLING_INTERVAL,
            base_url: anthropic.url(),
            api_key: secret(&file, "admin-key", anthropic.admin_key())?,
        }],
        jupiterone: Target {
            account_id: jupiterone.account_id(),
            base_url: jupiterone.url(),
            api_key: secret(&file, "jupiterone-key", jupiterone.api_key())?,
        },
    };
    let text = toml::to_string(&configuration).context("failed to write the configuration as TOML")?;
    fs::write(&file, format!("{HEADER}\n\n{text}"))
        .with_context(|| format!("failed to write {}", file.display()))
}

fn secret(configuration: &Path, extension: &str, key: &str) -> anyhow::Result<Secret> {
    let mut name = configuration.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    let file = PathBuf::from(name);
    let write = || {
        // A file that is there keeps its mode when it is opened: it goes first.
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?;
        writeln!(open, "{key}")
    };
    write().with_context(|| format!("failed to write {}", file.display()))?;
    Ok(Secret { file })
}
