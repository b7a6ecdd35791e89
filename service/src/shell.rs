//! Commands that a person is shown, ready to paste.

use std::path::Path;

/// Who decides, as a shell knows it: `$USER` is not set in a container. A user's name has nothing to quote.
pub const BY: &str = "--by $(id -un)";

/// This program as it was started, with its configuration: what a command that is shown begins with.
#[derive(Debug, Clone)]
pub struct Program(String);

impl Program {
    /// The running one, with the configuration that it was given.
    pub fn running(config: Option<&Path>) -> Self {
        let program = std::env::args().next().unwrap_or_default();
        Self::new(&program, config)
    }

    /// That one, with this configuration.
    pub fn new(program: &str, config: Option<&Path>) -> Self {
        let config = config.map(|file| format!(" --config {}", word(&file.display().to_string())));
        Self(word(program) + &config.unwrap_or_default())
    }

    /// Its command with these arguments; each is taken as it is, so what is not plain goes through [`word`] first.
    pub fn command(&self, arguments: &str) -> String {
        format!("{} {arguments}", self.0)
    }
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

    use super::{Program, word};

    #[test]
    fn a_command_begins_as_the_program_was_started() {
        let program = Program::new("target/release/sink", Some(Path::new("my graph.toml")));
        assert_eq!(program.command("check"), "target/release/sink --config 'my graph.toml' check");
        assert_eq!(Program::new("sink", None).command("check"), "sink check");
    }

    #[test]
    fn a_word_with_a_meaning_to_the_shell_is_quoted() {
        assert_eq!(word("members/wrkspc_1"), "members/wrkspc_1");
        assert_eq!(word("anthropic_user:1|assigned|x"), "'anthropic_user:1|assigned|x'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word(""), "''");
    }
}
