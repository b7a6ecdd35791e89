//! The figures as a person reads them.

use std::fmt::Write as _;

use crate::figures::{Figures, Samples};

/// Median, minimum and maximum of each side, and ours divided by each peer's.
pub(crate) fn of(figures: &Figures) -> String {
    let mut text = String::new();
    for figure in figures.iter() {
        let heading = format!("{} [{}]", figure.name, figure.unit.name());
        line(&mut text, [&heading, "median", "minimum", "maximum", "ours ÷ it"]);
        row(&mut text, "ours", &figure.ours, None);
        for (name, samples) in &figure.peers {
            row(&mut text, name, samples, Some(figure.ratio(samples)));
        }
        text.push('\n');
    }
    text.trim_end().to_owned()
}

fn row(text: &mut String, name: &str, samples: &Samples, ratio: Option<f64>) {
    let ratio = ratio.map(short).unwrap_or_default();
    let figures = [samples.median(), samples.minimum(), samples.maximum()].map(short);
    let [median, minimum, maximum] = &figures;
    line(text, [&format!("  {name}"), median, minimum, maximum, &ratio]);
}

fn line(text: &mut String, [name, cells @ ..]: [&str; 5]) {
    write!(text, "{name:<58}").expect("writing to a String cannot fail");
    for cell in cells {
        write!(text, "{cell:>12}").expect("writing to a String cannot fail");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
}

/// At most three digits after the point, none for large numbers.
pub(crate) fn short(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}
