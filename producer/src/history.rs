//! What earlier polls left in the graph topic: each organization's name, and when it was last polled.

use std::collections::BTreeMap;

use graph::state::GraphKey;
use rdkafka::ClientConfig;
use schemas::codec::DecodeError;
use schemas::collection::POLL;
use schemas::graph_value::GraphValue;
use service::kafka::partition::Message;
use service::kafka::restore::{self, RestoreError};
use tracing::warn;

use crate::error_chain::chain;

/// The newest poll of an organization, as the processor has seen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastPoll {
    pub organization_id: String,
    /// The name under which it was polled.
    pub organization_name: String,
    /// The ID of that poll.
    pub poll_id: Option<String>,
    /// When it began (ms since 1970).
    pub started_ts_ms: i64,
    /// Whether it has its end mark.
    pub ended: bool,
    /// Whether all its listings are whole.
    pub complete: bool,
    /// How many partitions the topics had (count).
    pub partition_count: i32,
}

/// The newest poll of each organization, by ID: a name may have moved to another organization.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<String, LastPoll>);

impl Known {
    /// The organization's newest poll.
    pub fn of(&self, organization_id: &str) -> Option<&LastPoll> {
        self.0.get(organization_id)
    }

    /// The newest poll under that name.
    pub fn newest(&self, name: &str) -> Option<&LastPoll> {
        let polls = self.0.values().filter(|last| last.organization_name == name);
        polls.max_by_key(|last| last.started_ts_ms)
    }
}

/// Reads the partitions completely, one after the other, and keeps only the newest polls. Blocks; `None` if it is
/// stopped.
pub fn read(
    client: &ClientConfig,
    group: &str,
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
    is_stopped: impl Fn() -> bool,
) -> Result<Option<Known>, RestoreError<DecodeError>> {
    let mut known = Known::default();
    let note = |record: Message<'_>| note(&mut known.0, record);
    Ok(restore::read(client, group, topic, partitions, is_stopped, note)?.then_some(known))
}

/// A coverage record of a newer version is an error: it may say that the key belongs to another organization.
fn note(polls: &mut BTreeMap<String, LastPoll>, record: Message<'_>) -> Result<(), DecodeError> {
    let key = record.key.and_then(|key| str::from_utf8(key).ok()).unwrap_or_default();
    let Some((organization_id, GraphKey::Coverage(collection))) = GraphKey::parse(key) else {
        return Ok(());
    };
    if collection != POLL {
        return Ok(());
    }
    let Some(value) = record.value else {
        polls.remove(organization_id);
        return Ok(());
    };
    match GraphValue::decode(value) {
        Ok(GraphValue::Coverage(coverage)) => {
            let Some(poll) = coverage.poll else { return Ok(()) };
            let last = LastPoll {
                organization_id: coverage.organization_id.clone(),
                organization_name: coverage.organization_name,
                poll_id: poll.poll_id,
                started_ts_ms: poll.started_ts_ms.unwrap_or_default(),
                ended: poll.ended,
                complete: poll.complete,
                partition_count: poll.partition_count,
            };
            polls.insert(coverage.organization_id, last);
        }
        Ok(_) => warn!(
            offset = record.offset,
            "the value of a graph record is not the coverage that its key names"
        ),
        Err(error @ DecodeError::UnknownSchema(_)) => return Err(error),
        Err(error) => warn!(
            offset = record.offset,
            "cannot decode a coverage record of the graph topic: {}",
            chain(&error)
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemas::codec::encode;
    use schemas::coverage::{Coverage, Poll};
    use service::kafka::partition::Record;

    use super::note;

    fn record(id: &str, collection: &str, poll: Option<Poll>) -> Record {
        let value = poll
            .map(|poll| encode(&Coverage { poll: Some(poll), ..Coverage::new(id, "nimbus", collection) }));
        let key = Some(format!("{id}/coverage/{collection}").into_bytes());
        Record { offset: 0, key, value, headers: Vec::new() }
    }

    #[test]
    fn the_newest_poll_is_kept_and_a_tombstone_forgets_it() {
        let mut polls = BTreeMap::new();
        let poll = |started, ended| Poll { started_ts_ms: Some(started), ended, ..Poll::default() };
        note(&mut polls, record("one", "poll", Some(poll(5, true))).as_message()).expect("of this version");
        note(&mut polls, record("one", "users", Some(poll(9, true))).as_message()).expect("of this version");
        note(&mut polls, record("one", "poll", Some(poll(7, false))).as_message()).expect("of this version");
        note(&mut polls, record("two", "poll", Some(poll(1, true))).as_message()).expect("of this version");
        let last = &polls["one"];
        let found = (last.organization_name.as_str(), last.started_ts_ms, last.ended);
        assert_eq!(found, ("nimbus", 7, false));
        note(&mut polls, record("one", "poll", None).as_message()).expect("of this version");
        assert_eq!(polls.keys().collect::<Vec<_>>(), ["two"]);
    }
}
