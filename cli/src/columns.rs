//! A table for a terminal: each column is as wide as its widest cell.

use std::io::{IsTerminal as _, stdout};

use crate::cell::{fitted, width};

const GAP: &str = "  ";

/// Columns of the terminal on stdout; `None` if there is none.
pub(crate) fn of_terminal() -> Option<usize> {
    let size = terminal_size::terminal_size().filter(|_| stdout().is_terminal());
    size.map(|(width, _)| width.0.into())
}

/// The lines of the table: headings, then rows. The cells must be clean. Columns that are beyond the `available` ones
/// follow as a table of their own, which begins with the first column too.
pub(crate) fn lines<const N: usize>(
    headings: [&str; N],
    rows: Vec<[String; N]>,
    available: Option<usize>,
) -> Vec<String> {
    let mut all = vec![headings.map(str::to_owned)];
    all.extend(rows);
    let widest = |column: usize| all.iter().map(|row| width(&row[column])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(widest).collect();
    let mut tables: Vec<Vec<usize>> = vec![vec![0]];
    let mut taken = widths[0];
    for column in 1..N {
        let needed = GAP.len() + widths[column];
        let table = tables.last_mut().expect("there is one");
        if table.len() > 1 && available.is_some_and(|available| taken + needed > available) {
            tables.push(vec![0, column]);
            taken = widths[0] + needed;
        } else {
            table.push(column);
            taken += needed;
        }
    }
    let line = |row: &[String; N], table: &[usize]| {
        let cells = table.iter().map(|column| fitted(&row[*column], widths[*column]));
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    tables.iter().flat_map(|table| all.iter().map(|row| line(row, table))).collect()
}

/// The age of a timestamp: `12s`, `3m`, `5h`, `2d`.
pub(crate) fn age(ts_ms: Option<i64>, now_ms: i64) -> String {
    let Some(ts_ms) = ts_ms else { return "never".to_owned() };
    let seconds = (now_ms - ts_ms).max(0) / 1_000;
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::{age, lines};

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![["nimbus".to_owned(), "1".to_owned()], ["佐藤".to_owned(), "22".to_owned()]];
        assert_eq!(lines(["NAME", "N"], rows, None), ["NAME    N", "nimbus  1", "佐藤    22"]);
    }

    #[test]
    fn columns_that_do_not_fit_are_a_table_of_their_own() {
        let rows = vec![["nimbus".to_owned(), "1".to_owned(), "2".to_owned(), "3".to_owned()]];
        let headings = ["NAME", "ONE", "TWO", "THREE"];
        assert_eq!(
            lines(headings, rows.clone(), Some(23)),
            ["NAME    ONE  TWO  THREE", "nimbus  1    2    3"]
        );
        let two = ["NAME    ONE  TWO", "nimbus  1    2", "NAME    THREE", "nimbus  3"];
        assert_eq!(lines(headings, rows, Some(22)), two);
    }

    #[test]
    fn an_age_has_one_unit() {
        for (ago_s, expected) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7_199, "119m"),
            (7_200, "2h"),
            (172_800, "2d"),
        ] {
            assert_eq!(age(Some(1_000_000_000 - ago_s * 1_000), 1_000_000_000), expected, "{ago_s}");
        }
        assert_eq!(age(None, 0), "never");
    }
}
