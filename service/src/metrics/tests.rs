use std::time::{Duration, SystemTime};

use prometheus_client::encoding::text::encode;

use super::{Metrics, Parked};

#[test]
fn every_metric_has_the_prefix_its_unit_and_few_labels() {
    let (metrics, registry) = Metrics::new("processor");
    let hours_ago = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3600);
    metrics.listed_whole("nimbus", "users", hours_ago(0));
    metrics.listed_whole("nimbus", "members/wrkspc_1", hours_ago(1));
    metrics.listed_whole("nimbus", "members/wrkspc_2", hours_ago(3));
    metrics.listed_whole("nimbus", "members/wrkspc_3", hours_ago(9));
    metrics.forget_collection("nimbus", "members/wrkspc_3");
    let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    metrics.not_whole("nimbus", "users", None);
    metrics.not_whole("nimbus", "members/wrkspc_1", at(1_790_000_000));
    metrics.not_whole("nimbus", "members/wrkspc_2", at(1_780_000_000));
    metrics.not_whole("nimbus", "members/wrkspc_4", None);
    metrics.held("nimbus", "members/wrkspc_1", 3, 0);
    metrics.held("nimbus", "members/wrkspc_2", 4, 1);
    metrics.held("nimbus", "api_keys", 5, 0);
    metrics.forget_collection("nimbus", "api_keys");
    metrics.count_listing("nimbus", "members/wrkspc_1", "whole");
    metrics.count_listing("nimbus", "members/wrkspc_2", "whole");
    metrics.count_changes("nimbus", "c", 3);
    metrics.set_lag(7, 42);
    metrics.set_lag(8, 42);
    metrics.set_closed(7, true);
    metrics.forget_partition(8);
    metrics.count_sync_job("nimbus", "finished");
    metrics.count_dead_letters(7, 1);
    metrics.set_paused("nimbus", true);
    metrics.set_parked("nimbus", &[Parked { state: "stripped".to_owned(), ..Parked::default() }]);
    metrics.set_paused("gone", true);
    metrics.set_parked("gone", &[]);
    metrics.forget_organization("gone");
    metrics.count_takeover(7);
    let mut text = String::new();
    encode(&mut text, &registry).expect("text");
    for line in [
        "# UNIT anthropic_graph_last_whole_listing_age_seconds seconds",
        "anthropic_graph_last_whole_listing_age_seconds{organization=\"nimbus\",collection=\"members\"} 1080",
        "anthropic_graph_last_whole_listing_age_seconds{organization=\"nimbus\",collection=\"users\"} 0.",
        "anthropic_graph_not_whole_since_seconds{organization=\"nimbus\",collection=\"members\"} 1780000000.0",
        "anthropic_graph_not_whole_since_seconds{organization=\"nimbus\",collection=\"users\"} 0.0",
        "anthropic_graph_holds{organization=\"nimbus\",collection=\"members\",state=\"proposed\"} 7",
        "anthropic_graph_holds{organization=\"nimbus\",collection=\"members\",state=\"rejected\"} 1",
        "anthropic_graph_listings_total{organization=\"nimbus\",collection=\"members\",outcome=\"whole\"} 2",
        "anthropic_graph_changes_total{organization=\"nimbus\",op=\"c\"} 3",
        "anthropic_graph_lag_records{partition=\"7\"} 42",
        "anthropic_graph_partition_closed{partition=\"7\"} 1",
        "anthropic_graph_sync_jobs_total{organization=\"nimbus\",outcome=\"finished\"} 1",
        "anthropic_graph_dead_letters_total{partition=\"7\"} 1",
        "anthropic_graph_paused{organization=\"nimbus\"} 1",
        "anthropic_graph_takeovers_total{partition=\"7\"} 1",
        "anthropic_graph_parked_objects{organization=\"nimbus\",state=\"parked\"} 0",
        "anthropic_graph_parked_objects{organization=\"nimbus\",state=\"stripped\"} 1",
        "anthropic_graph_build_info{service=\"processor\",version=\"",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("collection=\"api_keys\""), "{text}");
    assert_eq!(text.matches("anthropic_graph_lag_records{").count(), 1);
    assert_eq!(text.matches("collection=\"members\"} 1080").count(), 1);
}
