//! What ARCHITECTURE.md, CONTRIBUTING.md and the pages in docs promise about the source, checked against it.

mod acls_table;
mod asyncapi;
mod book;
mod commands_page;
mod concepts_page;
mod configurations;
mod crate_dependencies;
mod endpoints;
mod exit_codes;
mod failpoints;
mod file_names;
mod generated;
mod import_circles;
mod kafka_logs;
mod language;
mod layout;
mod logs;
mod metrics_page;
mod monitoring;
mod schemas_page;
mod shell_blocks;
mod topics_page;
mod troubleshooting_page;

use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is a member of the workspace")
}

/// The `.rs` files of the workspace, relative to it, in order.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![workspace().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace can be read") {
            let entry = entry.expect("its entries can be read");
            let name = entry.file_name();
            let is_hidden = name.as_encoded_bytes().starts_with(b".");
            let path = entry.path();
            if path.is_dir() && !is_hidden && name != "target" && name != "node_modules" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(workspace()).expect("it lies in the workspace");
                found.push(relative.to_owned());
            }
        }
    }
    found.sort();
    found
}

fn text(source: &Path) -> String {
    fs::read_to_string(workspace().join(source)).expect("a source can be read")
}
