//! Words of a command that a person is told to run.

/// One word of a command line that a shell takes as it is.
pub(crate) fn word(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:,@%+=".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn a_word_with_a_meaning_to_the_shell_is_quoted() {
        assert_eq!(word("members/wrkspc_1"), "members/wrkspc_1");
        assert_eq!(word("anthropic_user:1|assigned|x"), "'anthropic_user:1|assigned|x'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word(""), "''");
    }
}
