//! A person's terminal: the programs are on the PATH, and `graph.toml` is in the current folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tests::services::{Finished, Service, binaries};
use tests::world::World;

/// The names of the world's organizations, and those on the pages.
const NAMES: [(&str, &str); 2] = [("organization-1", "nimbus"), ("organization-2", "stratus")];

pub(super) struct Terminal {
    folder: PathBuf,
}

impl Terminal {
    pub(super) fn open(world: &World) -> Self {
        let folder = world.folder().to_owned();
        for program in ["anthropic-graph", "producer", "processor", "sink"] {
            symlink(binaries::path(program), folder.join(program)).expect("a link is made");
        }
        let configuration = fs::read_to_string(world.config()).expect("the configuration can be read");
        let terminal = Self { folder };
        terminal.configure(&configuration);
        terminal
    }

    /// Writes `graph.toml`.
    pub(super) fn configure(&self, configuration: &str) {
        let named =
            NAMES.iter().fold(configuration.to_owned(), |text, (ours, pages)| text.replace(ours, pages));
        fs::write(self.folder.join("graph.toml"), named).expect("the configuration is written");
    }

    /// Runs lines of a shell.
    pub(super) fn run(&self, commands: &str) -> Finished {
        let script =
            format!("set -euo pipefail\ncd '{0}'\nPATH='{0}':$PATH\n{commands}", self.folder.display());
        Service::start("shell", Path::new("/bin/bash"), ["-c", &script], &[]).finish()
    }
}
