//! The pages of the book, and the code on them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::services::binaries::workspace;

/// The pages outside `docs` that the book has, and the README, whose place the introduction has in the book.
const OF_THE_ROOT: [&str; 5] =
    ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md"];
/// Begins the comment before a block of commands that no test runs, with the reason.
const NOT_RUN: &str = "<!-- not run: ";
/// Ends the comment before a block that `.ci/run` runs.
const RUN_BY_CI: &str = "-command -->";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub code: String,
    /// Why no test runs it.
    pub not_run: Option<String>,
}

/// Relative to the workspace.
pub fn pages() -> BTreeSet<PathBuf> {
    let mut pages: BTreeSet<PathBuf> = OF_THE_ROOT.iter().map(PathBuf::from).collect();
    for entry in fs::read_dir(workspace().join("docs")).expect("a folder of pages can be read") {
        let name = PathBuf::from(entry.expect("its entries can be read").file_name());
        if name.extension().is_some_and(|extension| extension == "md") {
            pages.insert(Path::new("docs").join(name));
        }
    }
    pages
}

/// The text of a page.
pub fn text(page: &Path) -> String {
    fs::read_to_string(workspace().join(page)).expect("a page can be read")
}

/// The blocks of a page that are in the language.
pub fn blocks(page: &str, language: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut before = "";
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(opened) = line.trim_start().strip_prefix("```") else {
            if !line.trim().is_empty() {
                before = line.trim();
            }
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let block = lines.by_ref().take_while(|line| !line.trim_start().starts_with("```"));
        let code = joined(block.map(|line| line.get(indent..).unwrap_or_default()));
        let reason = before.strip_prefix(NOT_RUN).and_then(|reason| reason.strip_suffix(" -->"));
        let by_ci = before.ends_with(RUN_BY_CI).then_some("CI runs it");
        before = "";
        if opened == language {
            found.push(Block { code, not_run: reason.or(by_ci).map(str::to_owned) });
        }
    }
    found
}

/// The commands of a page: the blocks in `sh`, and what a person typed in those that show output too.
pub fn commands(page: &str) -> Vec<Block> {
    let typed = |block: Block| {
        let lines = block.code.lines().filter_map(|line| line.strip_prefix("$ "));
        Block { code: joined(lines), ..block }
    };
    blocks(page, "sh").into_iter().chain(blocks(page, "console").into_iter().map(typed)).collect()
}

fn joined<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::{Block, blocks, commands};

    #[test]
    fn blocks_are_found_by_their_language_with_what_is_said_of_them() {
        let page = "```toml\na = 1\n```\n\n- An item:\n\n  ```toml\n  b = 2\n  ```\n\n<!-- not run: needs a key -->\n\
                    ```sh\nls\n```\nText.\n```sh\npwd\n```\n\n<!-- test-command -->\n```sh\nid\n```\n\n```console\n$ who\nada\n```\n";
        let code = |blocks: Vec<Block>| blocks.into_iter().map(|block| block.code).collect::<Vec<_>>();
        assert_eq!(code(blocks(page, "toml")), ["a = 1\n", "b = 2\n"]);
        let commands = commands(page);
        let reasons: Vec<Option<&str>> = commands.iter().map(|block| block.not_run.as_deref()).collect();
        assert_eq!(reasons, [Some("needs a key"), None, Some("CI runs it"), None]);
        assert_eq!(code(commands), ["ls\n", "pwd\n", "id\n", "who\n"]);
    }
}
