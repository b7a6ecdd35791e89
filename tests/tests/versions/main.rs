//! The programs of other versions and ours, one after the other on the same topics.
//!
//! `tests/upgrade/run` builds those programs and runs these tests.

mod earlier;
mod next;
mod same_bytes;

use std::path::PathBuf;

use tests::services::{Finished, Service};
use tests::world::World;

#[derive(Clone, Copy)]
struct Version {
    /// The environment variable that names the folder with its `producer`, `processor` and `sink`.
    folder: &'static str,
}

impl Version {
    fn run(self, world: &World, service: &'static str, arguments: &[&str]) -> Finished {
        let folder = std::env::var_os(self.folder)
            .unwrap_or_else(|| panic!("{} is not set: run tests/upgrade/run", self.folder));
        let config = world.config().display().to_string();
        let arguments = ["--config", &config].into_iter().chain(arguments.iter().copied());
        Service::start(service, &PathBuf::from(folder).join(service), arguments, &[]).finish()
    }

    fn round(self, world: &World) {
        self.run(world, "producer", &["poll"]).expect(0);
        self.run(world, "processor", &["run", "--until-end"]).expect(0);
        self.run(world, "sink", &["run", "--until-end"]).expect(0);
    }
}
