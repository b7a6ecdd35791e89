//! The rules and the dashboard in `deploy/` name metrics and labels of the catalog alone.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use service::metrics::catalog::{CATALOG, Kind, Metric, PREFIX};

use crate::workspace;

/// Begins the names of metrics of the process.
const OF_PROCESSES: &str = "process_";
/// Labels that Prometheus adds to every target.
const OF_TARGETS: [&str; 2] = ["job", "instance"];
/// What is said of a histogram's series behind its name.
const OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_sum", "_count"];
/// After these, labels are in parentheses.
const BEFORE_LABELS: [&str; 5] = ["by", "without", "on", "ignoring", "group_left"];

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The expression of each alert, with what its summary says.
fn alerts() -> Vec<(String, String)> {
    let rules = read("deploy/prometheus/rules.yml");
    let alerts = rules.split("- alert: ").skip(1).map(|alert| {
        let name = alert.lines().next().unwrap_or_default().trim();
        (name.to_owned(), alert.to_owned())
    });
    alerts.collect()
}

/// The expressions of each panel and of each variable, with their legends.
fn panels() -> Vec<(String, String)> {
    let dashboard: Value =
        serde_json::from_str(&read("deploy/grafana/dashboards/anthropic-graph.json")).expect("JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut panels = Vec::new();
    for panel in list(&dashboard["panels"]) {
        for target in list(&panel["targets"]) {
            let texts = format!("{} {}", text(&target["expr"]), text(&target["legendFormat"]));
            panels.push((text(&panel["title"]), texts));
        }
    }
    for variable in list(&dashboard["templating"]["list"]) {
        panels.push((text(&variable["name"]), text(&variable["definition"])));
    }
    panels
}

fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// The metric that a series belongs to.
fn metric(series: &str) -> Option<&'static Metric> {
    CATALOG.iter().copied().find(|metric| {
        let rest = series.strip_prefix(metric.name);
        match metric.kind {
            Kind::Histogram(_) => rest.is_some_and(|rest| OF_HISTOGRAMS.contains(&rest)),
            _ => rest == Some(""),
        }
    })
}

/// What a string names that is not in the catalog, and the metrics that it names.
fn mistakes(text: &str) -> (Vec<String>, BTreeSet<&'static str>) {
    let (mut mistakes, mut named) = (Vec::new(), BTreeSet::new());
    let mut known: BTreeSet<&str> = OF_TARGETS.into();
    for (start, _) in text.match_indices(PREFIX).chain(text.match_indices(OF_PROCESSES)) {
        let rest = &text[start..];
        let (series, rest) = rest.split_at(rest.find(|it| !is_of_name(it)).unwrap_or(rest.len()));
        let Some(metric) = metric(series) else {
            mistakes.push(format!("the metric {series}"));
            continue;
        };
        named.insert(metric.name);
        known.extend(metric.labels);
        if series.ends_with("_bucket") {
            known.insert("le");
        }
        let selector = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        for matcher in selector.map_or("", |(selector, _)| selector).split(',').filter(|it| !it.is_empty()) {
            let label = matcher.trim().split(|it| !is_of_name(it)).next().unwrap_or_default();
            if !metric.labels.contains(&label) && !OF_TARGETS.contains(&label) {
                mistakes.push(format!("the label {label} of {series}"));
            }
        }
    }
    for label in labels(text).filter(|label| !known.contains(label)) {
        mistakes.push(format!("the label {label}"));
    }
    (mistakes, named)
}

/// The labels that a string groups or joins by, or shows.
fn labels(text: &str) -> impl Iterator<Item = &str> {
    let grouped = BEFORE_LABELS.into_iter().flat_map(move |word| {
        let open = text.match_indices(word).filter_map(move |(start, _)| {
            let is_word = !text[..start].ends_with(is_of_name);
            let rest = text[start + word.len()..].trim_start().strip_prefix('(')?;
            is_word.then(|| rest.split(')').next().unwrap_or_default())
        });
        open.flat_map(|list| list.split(',').map(str::trim)).filter(|label| !label.is_empty())
    });
    let shown = text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).map(str::trim);
    let shown = shown.map(|label| label.strip_prefix("$labels.").unwrap_or(label));
    grouped.chain(shown.filter(|label| *label != "$value"))
}

#[test]
fn every_metric_and_label_of_a_rule_or_a_panel_is_in_the_catalog() {
    let (alerts, panels) = (alerts(), panels());
    assert!(alerts.len() > 10 && panels.len() > 30, "{} alerts, {} panels", alerts.len(), panels.len());
    let mut named = BTreeSet::new();
    for (name, text) in alerts.iter().chain(&panels) {
        let (mistakes, metrics) = mistakes(text);
        assert_eq!(mistakes, Vec::<String>::new(), "{name}:\n{text}");
        named.extend(metrics);
    }
    for needed in ["anthropic_graph_sync_phase", "anthropic_graph_observed_to_synced_seconds"] {
        assert!(named.contains(needed), "{needed} is shown nowhere");
    }
}

#[test]
fn a_metric_or_label_that_is_not_in_the_catalog_is_found() {
    let found = |text: &str| mistakes(text).0;
    assert_eq!(found("sum by (organization) (rate(anthropic_graph_polls_total[5m]))"), Vec::<String>::new());
    assert_eq!(found("anthropic_graph_poll_total"), ["the metric anthropic_graph_poll_total"]);
    assert_eq!(
        found("anthropic_graph_poll_duration_seconds"),
        ["the metric anthropic_graph_poll_duration_seconds"],
        "a histogram has no series of its name"
    );
    assert_eq!(
        found("anthropic_graph_polls_total{organisation=\"a\",job=\"b\"}"),
        ["the label organisation of anthropic_graph_polls_total"]
    );
    assert_eq!(found("sum by (job, le) (anthropic_graph_polls_total)"), ["the label le"]);
    assert_eq!(found("anthropic_graph_elements summary: {{ $labels.partition }}"), ["the label partition"]);
}

#[test]
fn every_alert_is_tested_and_its_summary_says_what_to_do() {
    let tests = read("deploy/prometheus/rules_test.yml");
    for (name, text) in alerts() {
        assert!(tests.contains(&format!("alertname: {name}\n")), "no test lets {name} fire");
        let summary = text.split_once("summary: ").map_or("", |(_, summary)| summary.trim());
        assert!(summary.matches(". ").count() >= 1, "{name} says what is wrong or what to do, not both");
    }
}
