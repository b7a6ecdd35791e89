//! Fits clean text to one cell of a table.

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

#[cfg(test)]
mod tests {
    use super::{fitted, width};

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
