//! The sink's job in JupiterOne's own SDK (`bench/peers/jupiterone-sdk`).

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use simulator::jupiterone::JupiterOne;
use tests::services::binaries;

use crate::process::{self, Ended};

/// What npm needs, and what it installs nothing for.
const FILES: [&str; 5] = [
    "package.json",
    "package-lock.json",
    "upload.js",
    "entity-validator/package.json",
    "entity-validator/index.js",
];

/// How it sends its bodies. The sink compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    Gzip,
}

impl Encoding {
    pub(crate) const ALL: [Self; 2] = [Self::Plain, Self::Gzip];

    fn argument(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "JupiterOne's SDK",
            Self::Gzip => "JupiterOne's SDK, gzip",
        }
    }
}

/// The SDK with its libraries.
pub(crate) struct JupiterOneSdk {
    program: PathBuf,
}

impl JupiterOneSdk {
    /// Has npm install it, where that has not been done yet.
    pub(crate) fn install() -> Result<Self> {
        for (program, package) in [("node", "nodejs"), ("npm", "npm")] {
            let answer = Command::new(program).arg("--version").stdin(Stdio::null()).output();
            ensure!(
                answer.is_ok_and(|answer| answer.status.success()),
                "no `{program}` on the path, with which JupiterOne's SDK runs: install Node.js 20 or newer (Debian: {package})"
            );
        }
        let workspace = binaries::workspace();
        let (from, to) =
            (workspace.join("bench/peers/jupiterone-sdk"), workspace.join("target/bench/jupiterone-sdk"));
        fs::create_dir_all(to.join("entity-validator"))?;
        let lock = "package-lock.json";
        let is_installed = to.join("node_modules").is_dir()
            && fs::read(to.join(lock)).ok() == Some(fs::read(from.join(lock))?);
        for file in FILES {
            fs::copy(from.join(file), to.join(file)).with_context(|| format!("cannot copy {file}"))?;
        }
        if !is_installed {
            install(&to)?;
        }
        Ok(Self { program: to.join("upload.js") })
    }

    /// Uploads a file's objects into a scope.
    pub(crate) fn upload(
        &self,
        to: &JupiterOne,
        scope: &str,
        file: &Path,
        encoding: Encoding,
    ) -> Result<Ended> {
        let arguments = [
            &self.program.display().to_string(),
            &to.url(),
            to.account_id(),
            to.api_key(),
            scope,
            &file.display().to_string(),
            encoding.argument(),
        ];
        process::run("node", Path::new("node"), &arguments.map(str::to_owned))
    }
}

/// No package's install script is needed.
fn install(folder: &Path) -> Result<()> {
    let npm = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--loglevel", "error"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        npm.status.success(),
        "JupiterOne's SDK cannot be installed:\n{}",
        String::from_utf8_lossy(&npm.stderr)
    );
    Ok(())
}
