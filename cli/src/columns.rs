//! A table for a terminal: each column is as wide as its widest cell.

use crate::cell::{fitted, width};

const GAP: &str = "  ";

/// The lines of the table: headings, then rows. The cells must be clean.
pub(crate) fn lines<const N: usize>(headings: [&str; N], rows: Vec<[String; N]>) -> Vec<String> {
    let mut all = vec![headings.map(str::to_owned)];
    all.extend(rows);
    let widest = |column: usize| all.iter().map(|row| width(&row[column])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(widest).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, columns)| fitted(cell, *columns));
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    all.iter().map(line).collect()
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
        assert_eq!(lines(["NAME", "N"], rows), ["NAME    N", "nimbus  1", "佐藤    22"]);
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
