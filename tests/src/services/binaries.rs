//! The services' programs under test: this package's own binaries `tested-…`, so cargo builds them with its tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

pub const SERVICES: [&str; 3] = ["producer", "processor", "sink"];

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Where a program lies: a service's, or `anthropic-graph`.
pub fn path(service: &str) -> PathBuf {
    in_folder(folder(), service)
}

/// Where a program lies in a folder of them.
pub fn in_folder(folder: &Path, service: &str) -> PathBuf {
    folder.join(format!("tested-{service}"))
}

/// The folder of this package's binaries. Cargo has built all of them before an integration test runs; a binary, which
/// may have been built alone, builds the others here.
///
/// # Panics
/// Where cargo cannot build them, with what it says.
pub fn folder() -> &'static Path {
    FOLDER.get_or_init(|| {
        let program = std::env::current_exe().expect("a program knows where it lies");
        let folder = program.parent().expect("a program lies in a folder");
        if folder.ends_with("deps") {
            return folder.parent().expect("deps lies in a profile's folder").to_owned();
        }
        let target = folder.parent().expect("a profile's folder lies in the target folder");
        build(workspace(), target).unwrap_or_else(|reason| panic!("the binaries cannot be built: {reason}"))
    })
}

/// Builds the binaries of the workspace in `tree` in the folder `target`, as this program is built, and returns where
/// they lie.
pub fn build(tree: &Path, target: &Path) -> Result<PathBuf, String> {
    build_packages(&["--package", "tests"], tree, target)
}

/// The same for the binaries of other packages, which cargo's arguments name.
pub fn build_packages(packages: &[&str], tree: &Path, target: &Path) -> Result<PathBuf, String> {
    let (profile, name) = if cfg!(debug_assertions) { ("dev", "debug") } else { ("release", "release") };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--bins", "--profile", profile]).args(packages);
    // What cargo has set for this program would make build scripts that watch it run again.
    for (variable, _) in std::env::vars().filter(|(variable, _)| is_about_this_program(variable)) {
        cargo.env_remove(variable);
    }
    cargo.arg("--target-dir").arg(target).current_dir(tree).stdin(Stdio::null());
    let output = cargo.output().map_err(|error| format!("cargo does not start: {error}"))?;
    if output.status.success() {
        Ok(target.join(name))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Copies the programs to where no later build replaces them.
pub fn copy(folder: &Path, into: &Path) -> Result<(), String> {
    for name in SERVICES.into_iter().chain(["anthropic-graph"]) {
        let program = in_folder(folder, name);
        fs::copy(&program, in_folder(into, name))
            .map_err(|error| format!("cannot copy {}: {error}", program.display()))?;
    }
    Ok(())
}

pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is a member of the workspace")
}

fn is_about_this_program(variable: &str) -> bool {
    let begins = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
    let whole = ["CARGO", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR", "OUT_DIR"];
    begins.iter().any(|begin| variable.starts_with(begin)) || whole.contains(&variable)
}
