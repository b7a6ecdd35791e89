//! The saved ratios as a chart.

use std::fmt::Write as _;

use crate::{
    figures_file::{Saved, SavedFigure},
    table::short,
};

/// Pixels.
const WIDTH: f64 = 860.0;
const LABELS: f64 = 400.0;
const ROW: f64 = 22.0;
const HEAD: f64 = 60.0;
/// Of a bar for each tenfold.
const DECADE: f64 = 100.0;
/// Longest bar to either side of 1 (decades).
const MOST: f64 = 2.0;

/// Compared with another figure of ours, never with a peer's.
const WITH_OURSELVES: [&str; 2] = ["memory-peak", "verify-peak"];

const BETTER: &str = "#2a7f62";
const WORSE: &str = "#b4562d";

/// A bar for each peer: how many times as much we do in the same time, or with how many times less memory.
pub(crate) fn of(saved: &Saved) -> String {
    let compared = saved.in_order().into_iter().filter(|(name, _)| !WITH_OURSELVES.contains(name));
    let bars: Vec<(String, f64)> = compared.flat_map(|(name, figure)| bars(name, figure)).collect();
    #[expect(clippy::cast_precision_loss, reason = "there are few bars")]
    let height = HEAD + ROW * bars.len() as f64 + ROW / 2.0;
    let middle = LABELS + DECADE * MOST;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"24\" font-size=\"15\" font-weight=\"bold\">anthropic-graph compared with its peers</text>\n\
         <text x=\"10\" y=\"44\" fill=\"#555\">times as fast, or as small, as the peer; each line is a tenfold</text>\n"
    );
    for decade in -2..=2 {
        let x = middle + DECADE * f64::from(decade);
        let (top, bottom) = (HEAD - 6.0, height - ROW / 4.0);
        let color = if decade == 0 { "#333" } else { "#ddd" };
        writeln!(svg, "<path d=\"M{x} {top}V{bottom}\" stroke=\"{color}\"/>")
            .expect("writing to a String cannot fail");
    }
    let mut y = HEAD;
    for (label, factor) in bars {
        let length = DECADE * factor.log10().clamp(-MOST, MOST);
        let (x, width) = (middle + length.min(0.0), length.abs());
        let color = if factor < 1.0 { WORSE } else { BETTER };
        let (label, value) = (escaped(&label), short(factor));
        let (bar, text, end) = (ROW - 6.0, y + 13.0, middle + length.max(0.0) + 6.0);
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{label}</text>\
             <rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{bar}\" fill=\"{color}\"/>\
             <text x=\"{end:.1}\" y=\"{text}\" fill=\"#333\">{value}</text>",
            LABELS - 10.0,
        )
        .expect("writing to a String cannot fail");
        y += ROW;
    }
    svg + "</svg>\n"
}

fn bars(name: &str, figure: &SavedFigure) -> Vec<(String, f64)> {
    let factor = |ratio: f64| if figure.more_is_better { ratio } else { 1.0 / ratio };
    figure.ratios.iter().map(|(peer, ratio)| (format!("{name}, {peer}"), factor(*ratio))).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
