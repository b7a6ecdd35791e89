//! Makes external text safe to show: it stays on one line, and cannot hide text or control a terminal.

/// The text on one line. Control characters, line breaks, and Unicode characters that hide or reorder text are
/// escaped.
pub fn clean(text: &str) -> String {
    let is_invisible = |character: char| {
        character.is_control()
            || matches!(
                character,
                '\u{ad}'
                    | '\u{61c}'
                    | '\u{180e}'
                    | '\u{200b}'..='\u{200f}'
                    | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}'
                    | '\u{feff}'
                    | '\u{fff9}'..='\u{fffb}'
                    | '\u{e0000}'..='\u{e007f}'
            )
    };
    let mut cleaned = String::with_capacity(text.len());
    for character in text.chars() {
        if is_invisible(character) {
            cleaned.extend(character.escape_default());
        } else {
            cleaned.push(character);
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn what_steers_a_terminal_or_hides_is_escaped() {
        assert_eq!(clean("Zoë 佐藤\t\u{1b}[2J"), "Zoë 佐藤\\t\\u{1b}[2J");
        assert_eq!(clean("a\nb\u{202e}c\u{200b}d\u{2028}"), "a\\nb\\u{202e}c\\u{200b}d\\u{2028}");
    }
}
