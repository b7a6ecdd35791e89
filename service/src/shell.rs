//! Commands that a person is shown, ready to paste.

use std::path::{Path, PathBuf};

/// Who decides, as a shell knows it: `$USER` is not set in a container. A user's name has nothing to quote.
pub const BY: &str = "--by $(id -un)";

/// This program as it was started, with its configuration: what a command that is shown begins with.
#[derive(Debug, Clone)]
pub struct Program {
    path: String,
    config: Option<PathBuf>,
}

impl Program {
    /// The running one, with the configuration that it was given.
    pub fn running(config: Option<&Path>) -> Self {
        Self::new(&std::env::args().next().unwrap_or_default(), config)
    }

    /// That one, with this configuration.
    pub fn new(path: &str, config: Option<&Path>) -> Self {
        Self { path: path.to_owned(), config: config.map(Path::to_owned) }
    }

    /// Another program of the same folder, with the same configuration. A program that goes by another name than its own
    /// does not show where the others are.
    #[must_use]
    pub fn beside(&self, own: &str, other: &str) -> Self {
        let path =
            self.path.strip_suffix(own).map_or_else(|| other.to_owned(), |start| format!("{start}{other}"));
        Self { path, config: self.config.clone() }
    }

    /// Its command with these arguments; each is taken as it is, so what is not plain goes through [`word`] first.
    pub fn command(&self, arguments: &str) -> String {
        let config =
            self.config.as_ref().map(|file| format!(" --config {}", word(&file.display().to_string())));
        format!("{}{} {arguments}", word(&self.path), config.unwrap_or_default())
    }
}

/// The text with its commands of `anthropic-graph` as a person can paste them, where that is `program`.
pub fn pasteable(text: &str, program: &Program) -> String {
    text.replace("`anthropic-graph ", &format!("`{}", program.command("")))
}

/// Like [`pasteable`], for a text that was recorded earlier. The graph may have a newer revision by now, so an approval
/// command is shown without its `--revision`. Without it, the command only shows what it would approve.
pub fn pasteable_later(text: &str, program: &Program) -> String {
    let current = |(position, piece): (usize, &str)| {
        let is_approval = position % 2 == 1 && piece.starts_with("anthropic-graph sync approve ");
        let shown = if is_approval { piece.split(" --revision ").next() } else { None };
        shown.unwrap_or(piece).to_owned()
    };
    let pieces: Vec<String> = text.split('`').enumerate().map(current).collect();
    pasteable(&pieces.join("`"), program)
}

/// One word of a command line that a shell takes as it is.
pub fn word(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:,@%+=".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Program, pasteable, pasteable_later, word};

    #[test]
    fn a_command_begins_as_the_program_was_started() {
        let program = Program::new("target/release/sink", Some(Path::new("my graph.toml")));
        assert_eq!(program.command("check"), "target/release/sink --config 'my graph.toml' check");
        assert_eq!(Program::new("sink", None).command("check"), "sink check");
    }

    #[test]
    fn a_program_shows_another_one_of_its_folder() {
        let beside =
            |path: &str| Program::new(path, None).beside("anthropic-graph", "processor").command("check");
        assert_eq!(beside("target/release/anthropic-graph"), "target/release/processor check");
        assert_eq!(beside("anthropic-graph"), "processor check");
        assert_eq!(beside("/usr/bin/graph"), "processor check");
    }

    #[test]
    fn a_command_within_a_text_can_be_pasted() {
        let program = Program::new("target/release/anthropic-graph", Some(Path::new("graph.toml")));
        assert_eq!(
            pasteable("paused; run `anthropic-graph sync approve`", &program),
            "paused; run `target/release/anthropic-graph --config graph.toml sync approve`"
        );
    }

    #[test]
    fn a_recorded_approval_shows_first_what_it_would_allow() {
        let program = Program::new("anthropic-graph", Some(Path::new("graph.toml")));
        let recorded = "it deletes 30; if that is right, run `anthropic-graph sync approve --organization nimbus \
                        --revision 40 --by $(id -un)`, or reset; see `--revision 40`";
        assert_eq!(
            pasteable_later(recorded, &program),
            "it deletes 30; if that is right, run `anthropic-graph --config graph.toml sync approve --organization \
             nimbus`, or reset; see `--revision 40`"
        );
    }

    #[test]
    fn a_word_with_a_meaning_to_the_shell_is_quoted() {
        assert_eq!(word("members/wrkspc_1"), "members/wrkspc_1");
        assert_eq!(word("anthropic_user:1|assigned|x"), "'anthropic_user:1|assigned|x'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word(""), "''");
    }
}
