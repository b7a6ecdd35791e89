//! What a package installs along with the binary: shell completions and manual pages.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use service::{exit::Outcome, stdout};

const NAME: &str = "anthropic-graph";

/// Options of `completions`.
#[derive(Debug, Clone, clap::Args)]
pub struct CompletionsArguments {
    /// The shell.
    shell: Shell,
}

/// Options of `man`.
#[derive(Debug, Clone, clap::Args)]
pub struct ManArguments {
    /// Write a page for each command into this folder.
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
}

/// Prints the shell completions of a command.
pub(crate) fn completions(mut command: Command, arguments: &CompletionsArguments) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, NAME, &mut script);
    print(&script)
}

/// Prints the page of a command, or writes a page for it and each of its subcommands.
pub(crate) fn man(command: Command, arguments: &ManArguments) -> anyhow::Result<Outcome> {
    if let Some(folder) = &arguments.into {
        return write(command, folder)
            .with_context(|| format!("failed to write manual pages into {}", folder.display()));
    }
    let mut page = Vec::new();
    Man::new(command).render(&mut page).context("failed to make the manual page")?;
    print(&page)
}

/// Writes a page for each command and subcommand.
fn write(command: Command, folder: &Path) -> anyhow::Result<Outcome> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command, folder)?;
    Ok(Outcome::Done)
}

fn print(bytes: &[u8]) -> anyhow::Result<Outcome> {
    stdout::write_bytes(bytes)?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use clap::{CommandFactory as _, ValueEnum as _};
    use clap_complete::Shell;

    use super::{NAME, write};
    use crate::arguments::Arguments;

    #[test]
    fn each_shell_completes_the_commands_of_commands() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), NAME, &mut script);
            let script = String::from_utf8(script).expect("a script is text");
            for name in ["who-can", "dead-letters", "resync"] {
                assert!(script.contains(name), "{shell}: {name}");
            }
        }
    }

    #[test]
    fn each_command_has_a_manual_page() {
        let folder = tempfile::tempdir().expect("a folder");
        let into = folder.path().join("man1");
        write(Arguments::command(), &into).expect("pages");
        let names = fs::read_dir(&into).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        let names: BTreeSet<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        for name in ["anthropic-graph.1", "anthropic-graph-who-can.1", "anthropic-graph-holds-approve.1"] {
            assert!(names.contains(name), "{name} is not in {names:?}");
        }
        let page = fs::read_to_string(into.join("anthropic-graph-forget.1")).expect("a page");
        assert!(page.contains("retention"), "a page has the whole explanation: {page}");
    }
}
