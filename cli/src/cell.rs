//! Fits clean text to one cell of a table, or to the lines of a terminal.

use unicode_width::UnicodeWidthChar as _;

/// Columns that clean text takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|character| character.width().unwrap_or(0)).sum()
}

/// The text in exactly that many columns, truncated with an ellipsis if it is longer.
pub(crate) fn fitted(text: &str, columns: usize) -> String {
    let mut fitted = String::new();
    let mut taken = 0;
    if width(text) <= columns {
        fitted.push_str(text);
        taken = width(text);
    } else if columns > 0 {
        for character in text.chars() {
            let wide = character.width().unwrap_or(0);
            if taken + wide + 1 > columns {
                break;
            }
            taken += wide;
            fitted.push(character);
        }
        fitted.push('…');
        taken += 1;
    }
    fitted.extend(std::iter::repeat_n(' ', columns - taken));
    fitted
}

/// The text in lines of at most that many columns, broken at blanks; those after the first are indented by `indent`. A
/// longer word has a line of its own.
pub(crate) fn wrapped(text: &str, columns: Option<usize>, indent: usize) -> Vec<String> {
    let Some(columns) = columns else { return vec![text.to_owned()] };
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_inclusive(' ') {
        if !line.trim().is_empty() && width(&line) + width(word.trim_end()) > columns {
            lines.push(line.trim_end().to_owned());
            line = " ".repeat(indent);
        }
        line.push_str(word);
    }
    lines.push(line.trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::{fitted, width, wrapped};

    #[test]
    fn a_long_text_is_broken_at_blanks() {
        let text = "  reason  one two three";
        assert_eq!(wrapped(text, None, 4), [text]);
        assert_eq!(wrapped(text, Some(13), 10), ["  reason  one", "          two", "          three"]);
        assert_eq!(wrapped("longer-than-that x", Some(5), 0), ["longer-than-that", "x"]);
        assert_eq!(wrapped("", Some(5), 0), [""]);
    }

    #[test]
    fn a_cell_has_exactly_its_columns() {
        for (text, columns, expected) in [
            ("Ada", 5, "Ada  "),
            ("Ada Diaz", 5, "Ada …"),
            ("佐藤さん", 8, "佐藤さん"),
            ("佐藤さん", 6, "佐藤… "),
            ("佐藤", 1, "…"),
            ("x", 0, ""),
        ] {
            assert_eq!(fitted(text, columns), expected, "{text}");
            assert_eq!(width(expected), columns, "{text}");
        }
    }
}
