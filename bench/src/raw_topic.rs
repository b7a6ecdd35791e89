//! Writes polls into a raw topic as the producer does, without an Admin API.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::Timestamp;
use rdkafka::ClientConfig;
use schemas::{
    codec::encode,
    collection::{Collection, POLL},
    raw::{
        Configuration, ListingOutcome, Manifest, Mark, MarkKind, Outcome, RawBody, RawRecord, Resource,
        Trigger,
    },
    topics::{Retention, Topic},
};
use service::kafka::{
    headers::of_raw,
    transaction::{TRANSACTION_TIMEOUT, TransactionalProducer},
};
use tests::kafka;
use uuid::Uuid;

use crate::organization::Organization;

/// Resources on one page of the Admin API.
const PAGE: u32 = 1_000;

/// The raw topic of a prefix.
pub(crate) struct RawTopic {
    producer: TransactionalProducer,
    topic: String,
    partitions: i32,
}

impl RawTopic {
    pub(crate) fn create(bootstrap_servers: &str, prefix: &str, partitions: i32) -> Result<Self> {
        create(bootstrap_servers, prefix, Topic::Raw, partitions);
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", bootstrap_servers);
        let producer = TransactionalProducer::open(&client, &format!("{prefix}.bench"), TRANSACTION_TIMEOUT)?;
        Ok(Self { producer, topic: Topic::Raw.name(prefix), partitions })
    }

    /// The partition of an organization.
    pub(crate) fn partition(&self, organization_id: &str) -> i32 {
        schemas::topics::partition(organization_id, self.partitions)
    }

    /// Writes one whole poll: each mark and each listing in a transaction of its own.
    pub(crate) fn poll(&self, organization: &Organization) -> Result<()> {
        let poll = Poll::new(organization);
        self.write(&organization.id, [poll.mark(MarkKind::Start, Vec::new())])?;
        let mut outcomes = Vec::new();
        for (collection, count) in organization.collections() {
            let resources = (0..count).map(|number| organization.resource(&collection, number));
            outcomes.push(self.listing(&poll, &collection, count, resources)?);
        }
        self.write(&organization.id, [poll.mark(MarkKind::End, outcomes)])
    }

    /// Writes one listing, and returns what the end mark says of it.
    pub(crate) fn listing(
        &self,
        poll: &Poll,
        collection: &Collection,
        count: u32,
        resources: impl Iterator<Item = Resource>,
    ) -> Result<ListingOutcome> {
        let listing_id = Uuid::new_v4().to_string();
        let name = collection.to_string();
        let manifest = poll.record(&name, Some(&listing_id), RawBody::Manifest(manifest(count)));
        let records = resources.map(|it| poll.record(&name, Some(&listing_id), RawBody::Resource(it)));
        self.write(&poll.organization_id, records.chain([manifest]))?;
        Ok(ListingOutcome {
            collection: collection.to_string(),
            outcome: Outcome::Whole,
            reason: None,
            http_status: None,
            request_id: None,
            listing_id: Some(listing_id),
        })
    }

    fn write(&self, organization_id: &str, records: impl IntoIterator<Item = RawRecord>) -> Result<()> {
        let partition = self.partition(organization_id);
        self.producer.begin()?;
        for record in records {
            let key = record.key();
            let of = record.listing_id.as_deref().or(record.poll_id.as_deref()).unwrap_or_default();
            let headers = of_raw(&record, &key, of);
            self.producer.send(&self.topic, partition, &key, Some(&encode(&record)), headers)?;
        }
        Ok(self.producer.commit()?)
    }
}

/// Makes one of a prefix's topics, with its settings.
pub(crate) fn create(bootstrap_servers: &str, prefix: &str, topic: Topic, partitions: i32) {
    let settings = topic.settings(&Retention::default());
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    kafka::create_topic(bootstrap_servers, &topic.name(prefix), partitions, &settings);
}

/// What all records of one poll have in common.
pub(crate) struct Poll {
    organization_id: String,
    organization_name: String,
    id: String,
    ts_ms: i64,
}

impl Poll {
    pub(crate) fn new(organization: &Organization) -> Self {
        Self {
            organization_id: organization.id.clone(),
            organization_name: organization.name.clone(),
            id: Uuid::new_v4().to_string(),
            ts_ms: Timestamp::now().as_millisecond(),
        }
    }

    fn mark(&self, kind: MarkKind, outcomes: Vec<ListingOutcome>) -> RawRecord {
        let mark = Mark {
            complete: kind == MarkKind::End,
            kind,
            trigger: Trigger::Interval,
            outcomes,
            reason: None,
        };
        self.record(POLL, None, RawBody::Mark(mark))
    }

    fn record(&self, collection: &str, listing_id: Option<&str>, body: RawBody) -> RawRecord {
        RawRecord {
            organization_id: self.organization_id.clone(),
            organization_name: self.organization_name.clone(),
            collection: collection.to_owned(),
            poll_id: Some(self.id.clone()),
            listing_id: listing_id.map(str::to_owned),
            observed_ts_ms: self.ts_ms,
            body,
        }
    }
}

fn manifest(count: u32) -> Manifest {
    let now = Timestamp::now().as_millisecond();
    Manifest {
        count: i64::from(count),
        pages: i64::from(count.div_ceil(PAGE)),
        parameters: BTreeMap::new(),
        first_cursor: None,
        last_cursor: None,
        first_request_id: None,
        last_request_id: None,
        started_ts_ms: now,
        ended_ts_ms: now,
        configuration: Configuration {
            account_name: None,
            tag_account_name: false,
            max_deleted_fraction: 0.3,
            max_deleted_count: 20,
        },
    }
}
