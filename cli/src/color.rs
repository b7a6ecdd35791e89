//! Colors for people: they add to what the text says already, so nothing is lost without them.

use anstyle::Style;
use service::stdout::{BAD, GOOD, UNUSUAL, styled};

/// The marks in front of a row of a table, and what they are shown in.
const MARKS: [(&str, Style); 4] = [("! ", UNUSUAL), ("+ ", GOOD), ("- ", BAD), ("~ ", UNUSUAL)];

/// The line in the color of its mark.
pub(crate) fn marked(line: String) -> String {
    match MARKS.iter().find(|(mark, _)| line.starts_with(mark)) {
        Some((_, style)) => styled(*style, line),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::marked;

    #[test]
    fn a_line_with_a_mark_is_colored_and_no_other() {
        assert_eq!(marked("+ Ada".to_owned()), "\u{1b}[32m+ Ada\u{1b}[0m");
        for plain in ["  Ada", "Access in nimbus", "no difference", ""] {
            assert_eq!(marked(plain.to_owned()), plain);
        }
    }
}
