//! How many changes there were when, as bars. Pure.

use crate::{display, store::Day};

/// Most bars (count); more days share one.
const MOST: i64 = 96;
/// Of the picture (units of its view).
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 44.0;
/// Between two bars, as a part of one's room.
const GAP: f64 = 0.18;

/// What the template draws.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Calendar {
    pub(crate) bars: Vec<Bar>,
    pub(crate) first: String,
    pub(crate) last: String,
    /// Days that a bar stands for.
    pub(crate) days_a_bar: i64,
}

/// A day with changes, or several.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bar {
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) width: String,
    pub(crate) height: String,
    pub(crate) label: String,
    pub(crate) is_selected: bool,
    pub(crate) href: String,
}

/// Bars from the first day with changes to today. `at_day` is the day of the moment; `link` is the page at a revision.
pub(crate) fn calendar(days: &[Day], today: i64, at_day: i64, link: &dyn Fn(i64) -> String) -> Calendar {
    let (Some(first), Some(last)) = (days.first(), days.last()) else { return Calendar::default() };
    let (first, last) = (first.day, last.day.max(today));
    let days_a_bar = (last - first) / MOST + 1;
    let count = (last - first) / days_a_bar + 1;
    let mut bars: Vec<(i64, i64, i64)> = Vec::new();
    for day in days {
        let index = (day.day - first) / days_a_bar;
        match bars.last_mut() {
            Some((last, changes, newest)) if *last == index => {
                *changes += day.changes;
                *newest = day.newest_revision;
            }
            _ => bars.push((index, day.changes, day.newest_revision)),
        }
    }
    let most = bars.iter().map(|(_, changes, _)| *changes).max().unwrap_or(1);
    let room = WIDTH / float(count);
    let bar = |(index, changes, newest): &(i64, i64, i64)| {
        // One day may have thousands, and the next one.
        let height = (2.0 + (HEIGHT - 2.0) * float(*changes).ln_1p() / float(most).ln_1p()).min(HEIGHT);
        let from = first + index * days_a_bar;
        let until = (from + days_a_bar - 1).min(last);
        let dates = if from == until {
            display::date(from)
        } else {
            format!("{} to {}", display::date(from), display::date(until))
        };
        let changes = display::count(usize::try_from(*changes).unwrap_or(0), "change");
        Bar {
            x: format!("{:.1}", float(*index) * room + room * GAP / 2.0),
            y: format!("{:.1}", HEIGHT - height),
            width: format!("{:.1}", (room * (1.0 - GAP)).clamp(1.5, 24.0)),
            height: format!("{height:.1}"),
            label: format!("{dates}: {changes}"),
            is_selected: (from..=until).contains(&at_day),
            href: link(*newest),
        }
    };
    Calendar {
        bars: bars.iter().map(bar).collect(),
        first: display::date(first),
        last: display::date(last),
        days_a_bar,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a bar's height needs few digits")]
fn float(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::{MOST, calendar};
    use crate::store::Day;

    fn days(numbers: &[(i64, i64)]) -> Vec<Day> {
        numbers.iter().map(|&(day, changes)| Day { day, changes, newest_revision: day * 10 }).collect()
    }

    #[test]
    fn a_short_history_has_a_bar_for_each_day() {
        let calendar =
            calendar(&days(&[(100, 1), (102, 1_000)]), 103, 102, &|revision| format!("r{revision}"));
        assert_eq!(
            (calendar.first.as_str(), calendar.last.as_str(), calendar.days_a_bar),
            ("1970-04-11", "1970-04-14", 1)
        );
        let texts: Vec<_> = calendar
            .bars
            .iter()
            .map(|bar| (bar.label.as_str(), bar.is_selected, bar.href.as_str()))
            .collect();
        assert_eq!(
            texts,
            [("1970-04-11: 1 change", false, "r1000"), ("1970-04-13: 1,000 changes", true, "r1020")]
        );
        assert_eq!(calendar.bars[1].height, "44.0");
    }

    #[test]
    fn a_long_history_shares_bars() {
        let all: Vec<(i64, i64)> = (0..2_000).map(|day| (day, 1)).collect();
        let calendar = calendar(&days(&all), 2_000, 0, &|_| String::new());
        assert!(calendar.bars.len() <= usize::try_from(MOST).expect("few") + 1, "{}", calendar.bars.len());
        assert_eq!(calendar.bars[0].label, "1970-01-01 to 1970-01-21: 21 changes");
    }

    #[test]
    fn no_changes_have_no_bars() {
        assert!(calendar(&[], 5, 5, &|_| String::new()).bars.is_empty());
    }
}
