//! Writing what a person decided, as a raw record of the organization.
//!
//! A decision needs Write on the raw topic and nothing else: it reads no topic, joins no group, and creates no topic.

use rdkafka::ClientConfig;
use schemas::{
    codec::encode,
    collection::DECISION,
    raw::{Decision, RawBody, RawRecord},
    topics::{Topic, partition},
};

use super::{
    headers::of_raw,
    writer::{Error, Writer},
};

/// Where a decision is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

/// The record of a decision. `name` is the organization's in the configuration, empty where there is none.
pub fn record(organization_id: &str, name: String, decision: Decision) -> RawRecord {
    RawRecord {
        organization_id: organization_id.to_owned(),
        organization_name: name,
        collection: DECISION.to_owned(),
        poll_id: None,
        listing_id: None,
        observed_ts_ms: decision.decided_ts_ms,
        body: RawBody::Decision(decision),
    }
}

/// Writes it into the organization's partition, and says where it is once it is there.
pub fn write(client: &ClientConfig, topic_prefix: &str, record: &RawRecord) -> Result<Written, Error> {
    let topic = Topic::Raw.name(topic_prefix);
    let writer = Writer::open(client, &topic)?;
    let partition = partition(&record.organization_id, writer.partition_count());
    let key = record.key();
    let headers = of_raw(record, &key, &record.observed_ts_ms.to_string());
    let offset = writer.write(partition, &key, &encode(record), headers)?;
    Ok(Written { topic, partition, offset })
}
