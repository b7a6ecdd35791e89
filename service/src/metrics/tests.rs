//! What is exported, and how it is named.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use schemas::sync::{Parked, ParkedState};

use super::Metrics;
use super::catalog::{CATALOG, Kind, LABELS, PREFIX, SERVICES};

fn text(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).expect("text");
    text
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(text.contains(&format!("{PREFIX}{line}")), "{line} is not in\n{text}");
}

#[test]
fn every_name_follows_the_conventions_of_prometheus() {
    let names: BTreeSet<&str> = CATALOG.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), CATALOG.len(), "a name is there twice");
    for metric in CATALOG {
        let name = metric.name;
        assert!(name.starts_with(PREFIX) || name.starts_with("process_"), "{name}");
        let is_legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(name.bytes().all(is_legal), "{name}");
        assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
        assert_eq!(name.ends_with("_info"), metric.kind == Kind::Info, "{name}");
        // Base units alone, and a time is a timestamp, not an age.
        for other in ["milliseconds", "minutes", "hours", "kilobytes", "_ms", "_age_"] {
            assert!(!name.contains(other), "{name}");
        }
        assert!(!metric.help.is_empty() && !metric.help.ends_with('.'), "{name}");
        assert!(
            !metric.services.is_empty() && metric.services.iter().all(|it| SERVICES.contains(it)),
            "{name}"
        );
        if let Kind::Histogram(bounds) = metric.kind {
            assert!(bounds.is_sorted() && !metric.labels.contains(&"le"), "{name}");
        }
    }
}

#[test]
fn every_label_is_explained_and_used() {
    let used: BTreeSet<&str> = CATALOG.iter().flat_map(|metric| metric.labels).copied().collect();
    let explained: BTreeSet<&str> = LABELS.iter().map(|(label, _)| *label).collect();
    assert_eq!(used, explained);
}

#[test]
fn members_are_shown_together_and_a_collection_that_is_gone_is_not_shown() {
    let (metrics, registry) = Metrics::new("processor");
    metrics.listed_whole("nimbus", "members/wrkspc_1", at(2_000));
    metrics.listed_whole("nimbus", "members/wrkspc_2", at(1_000));
    metrics.listed_whole("nimbus", "members/wrkspc_3", at(500));
    metrics.not_whole("nimbus", "users", None);
    metrics.not_whole("nimbus", "members/wrkspc_1", Some(at(1_790_000_000)));
    metrics.not_whole("nimbus", "members/wrkspc_2", Some(at(1_780_000_000)));
    metrics.not_whole("nimbus", "members/wrkspc_4", None);
    metrics.held("nimbus", "members/wrkspc_1", 3, 0);
    metrics.held("nimbus", "members/wrkspc_2", 4, 1);
    metrics.held("nimbus", "api_keys", 5, 0);
    metrics.forget_collection("nimbus", "members/wrkspc_3");
    metrics.forget_collection("nimbus", "api_keys");
    let text = text(&registry);
    let members = "{organization=\"nimbus\",collection=\"members\"";
    has(&text, &format!("last_reconciled_timestamp_seconds{members}}} 1000.0\n"));
    has(&text, &format!("not_whole_since_timestamp_seconds{members}}} 1780000000.0\n"));
    has(&text, &format!("holds{members},state=\"proposed\"}} 7.0\n"));
    has(&text, &format!("holds{members},state=\"rejected\"}} 1.0\n"));
    for gone in ["api_keys", "collection=\"users\""] {
        assert!(!text.contains(gone), "{text}");
    }
}

#[test]
fn counters_exist_before_the_first_event() {
    let (metrics, registry) = Metrics::new("producer");
    metrics.expect_polls("nimbus", Duration::from_mins(30));
    let before = text(&registry);
    has(&before, "polls_total{organization=\"nimbus\",outcome=\"failed\"} 0\n");
    has(&before, "listings_total{organization=\"nimbus\",collection=\"members\",outcome=\"gone\"} 0\n");
    has(&before, "poll_duration_seconds_count{organization=\"nimbus\"} 0\n");
    has(&before, "transaction_duration_seconds_count{outcome=\"fenced\"} ");
    metrics.count_listing("nimbus", "members/wrkspc_1", "whole");
    metrics.count_listing("nimbus", "members/wrkspc_2", "whole");
    metrics.count_poll("nimbus", "complete");
    metrics.poll_took("nimbus", Duration::from_millis(1_500));
    metrics.poll_was_late("nimbus", Duration::from_mins(1));
    metrics.poll_was_late("elsewhere", Duration::from_mins(1));
    metrics.forget_polls("elsewhere");
    let after = text(&registry);
    has(&after, "listings_total{organization=\"nimbus\",collection=\"members\",outcome=\"whole\"} 2\n");
    has(&after, "polls_total{organization=\"nimbus\",outcome=\"complete\"} 1\n");
    has(&after, "poll_duration_seconds_bucket{le=\"5.0\",organization=\"nimbus\"} 1\n");
    has(&after, "poll_delay_seconds{organization=\"nimbus\"} 60.0\n");
    has(&after, "polling_interval_seconds{organization=\"nimbus\"} 1800.0\n");
    has(&after, "build_info{service=\"producer\",version=\"");
    assert!(!after.contains("elsewhere"), "{after}");

    let (metrics, registry) = Metrics::new("processor");
    metrics.set_elements("nimbus", 5, 1);
    for partition in [7, 8] {
        metrics.set_task_state(partition, "running", &["running", "closed"]);
    }
    metrics.forget_partition(8, &["running", "closed"]);
    let text = text(&registry);
    has(&text, "changes_total{organization=\"nimbus\",op=\"d\"} 0\n");
    has(
        &text,
        "reconciled_listings_total{organization=\"nimbus\",collection=\"users\",outcome=\"partial\"} 0\n",
    );
    has(&text, "dead_letters_total{partition=\"7\"} 0\n");
    has(&text, "task_state{partition=\"7\",state=\"running\"} 1.0\n");
    has(&text, "task_state{partition=\"7\",state=\"closed\"} 0.0\n");
    assert!(!text.contains("task_state{partition=\"8\""), "{text}");
    assert!(!text.contains("sync_"), "no metric of another service:\n{text}");
}

#[test]
fn an_organization_has_one_phase_until_another_process_has_it() {
    let (metrics, registry) = Metrics::new("sink");
    metrics.expect_sync("nimbus");
    for organization in ["nimbus", "gone"] {
        metrics.set_phase(organization, "paused", &["synced", "paused"]);
        metrics.set_parked(organization, &[Parked { state: ParkedState::Stripped, ..Parked::default() }]);
        metrics.set_behind(organization, 3);
    }
    metrics.forget_organization("gone", &["synced", "paused"]);
    metrics.observed_to_synced("nimbus", Duration::from_secs(15));
    let text = text(&registry);
    has(&text, "sync_phase{organization=\"nimbus\",phase=\"paused\"} 1.0\n");
    has(&text, "sync_phase{organization=\"nimbus\",phase=\"synced\"} 0.0\n");
    has(&text, "parked_objects{organization=\"nimbus\",state=\"parked\"} 0.0\n");
    has(&text, "parked_objects{organization=\"nimbus\",state=\"stripped\"} 1.0\n");
    has(&text, "sync_behind_revisions{organization=\"nimbus\"} 3.0\n");
    has(&text, "sync_jobs_total{organization=\"nimbus\",outcome=\"failed\"} 0\n");
    has(&text, "observed_to_synced_seconds_bucket{le=\"20.0\",organization=\"nimbus\"} 1\n");
    assert!(!text.contains("gone"), "{text}");
}
