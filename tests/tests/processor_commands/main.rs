//! What a person asks of the processor: holds, decisions, replay, reset.

mod access;
mod decisions;
mod live;
mod replay;
mod reset;

use tests::kafka::Record;

/// Where a record lies and what it says: what a replay has in common with what it replays.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    partition: i32,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

/// What the records say, partition by partition in their order.
fn said(records: Vec<Record>) -> Vec<Said> {
    let said = |Record { partition, key, value, .. }| Said { partition, key, value };
    records.into_iter().map(said).collect()
}
