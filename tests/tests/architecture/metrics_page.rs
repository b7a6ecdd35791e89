//! docs/metrics.md is the catalog of metrics.

use std::fmt::Write as _;

use service::metrics::catalog::{CATALOG, Kind, LABELS, SERVICES};

use crate::generated::check_behind_mark;

#[test]
fn the_page_of_metrics_is_the_catalog() {
    check_behind_mark("docs/metrics.md", generated().trim_start(), None);
}

fn generated() -> String {
    let mut page = String::new();
    let [producer, processor, sink] = SERVICES;
    let sections: [(&str, &[&str]); 6] = [
        ("Producer", &[producer]),
        ("Processor", &[processor]),
        ("Sink", &[sink]),
        ("Producer and sink", &[producer, sink]),
        ("Processor and sink", &[processor, sink]),
        ("All services", &SERVICES),
    ];
    let mut shown = 0;
    for (title, services) in sections {
        writeln!(page, "\n## {title}\n\n| metric | type | labels | meaning |\n|---|---|---|---|")
            .expect("writing to a String cannot fail");
        for metric in CATALOG.iter().filter(|metric| metric.services == services) {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let buckets = match metric.kind {
                Kind::Histogram(bounds) => {
                    let bounds: Vec<String> = bounds.iter().map(ToString::to_string).collect();
                    format!(". Buckets: {}", bounds.join(", "))
                }
                _ => String::new(),
            };
            let (name, kind, help) = (metric.name, metric.kind.as_str(), metric.help);
            writeln!(page, "| `{name}` | {kind} | {} | {help}{buckets} |", labels.join(", "))
                .expect("writing to a String cannot fail");
            shown += 1;
        }
    }
    assert_eq!(shown, CATALOG.len(), "a metric is in no section");
    writeln!(page, "\n## Labels\n\n| label | meaning |\n|---|---|").expect("writing to a String cannot fail");
    for (label, meaning) in LABELS {
        writeln!(page, "| `{label}` | {meaning} |").expect("writing to a String cannot fail");
    }
    page
}
