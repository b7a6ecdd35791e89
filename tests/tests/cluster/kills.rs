//! A short run of the kill harness on three brokers; the long one is
//! `cargo run --release -p tests --bin kill -- --cluster --kills 1000`.

use std::time::Duration;

use tests::kill::{Order, run};
use tests::services::binaries;

use crate::alone;

/// Some failpoints and one broker.
const KILLS: u64 = 12;

#[test]
fn nothing_is_lost_doubled_or_invented_by_kills_beside_a_leader_s() {
    let _alone = alone();
    let order = Order {
        kills: KILLS,
        seed: 7,
        is_cluster: true,
        programs: binaries::folder().to_owned(),
        longest: Duration::from_mins(20),
        stops_early: false,
    };
    let summary = run(&order).expect("three brokers can be started");
    assert_eq!(summary.violations, 0, "{summary:?}");
    assert!(summary.kills > KILLS / 2 && summary.leader_changes > 0, "{summary:?}");
}
