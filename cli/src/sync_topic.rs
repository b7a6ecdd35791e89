//! The sync topic: what JupiterOne holds of each organization, as the sink recorded it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rdkafka::ClientConfig;
use schemas::codec::decode;
use schemas::sync::Sync;
use schemas::topics::Topic;
use service::config::Config;
use service::kafka::cluster_admin::ClusterAdmin;

use crate::topic_reader;

/// The newest record of each organization, by ID. An organization whose target changed has older records too. Empty if
/// no sink has created the topic yet.
pub(crate) fn newest(config: &Config, client: &ClientConfig) -> anyhow::Result<BTreeMap<String, Sync>> {
    let name = Topic::Sync.name(&config.kafka.topic_prefix);
    let mut records: BTreeMap<String, Sync> = BTreeMap::new();
    if let Some(partitions) = ClusterAdmin::new(client)?.partition_count(&name)? {
        topic_reader::read(config, client, Topic::Sync, 0..partitions, |record| {
            let key = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
            match record.value {
                Some(value) => drop(records.insert(key, decode(value)?)),
                None => drop(records.remove(&key)),
            }
            Ok(())
        })?;
    }
    let mut newest: BTreeMap<String, Sync> = BTreeMap::new();
    for sync in records.into_values() {
        match newest.entry(sync.organization_id.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(sync);
            }
            Entry::Occupied(mut entry) if written(entry.get()) < written(&sync) => {
                entry.insert(sync);
            }
            Entry::Occupied(_) => {}
        }
    }
    Ok(newest)
}

fn written(sync: &Sync) -> Option<i64> {
    let ended = sync.finished.as_ref().map(|finished| finished.ended_ts_ms);
    ended.max(sync.intent.as_ref().map(|intent| intent.started_ts_ms))
}
