//! Clocks an hour apart: order comes from raw offsets alone.

use std::collections::BTreeMap;

use futures::executor::block_on;
use jiff::{SignedDuration, Timestamp};
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{FutureProducer, FutureRecord};
use schemas::codec::{decode, encode};
use schemas::raw::{RawBody, RawRecord};
use schemas::topics::Topic;
use simulator::anthropic::{ROUND, Settings};
use tests::kafka;
use tests::services::PATIENCE;
use tests::world::World;

use super::content;

/// By how much the clocks of the producers that took turns were wrong (ms), poll by poll.
const SKEWS_MS: [i64; 5] = [0, 3_600_000, -3_600_000, 3_600_000, -3_600_000];

fn skewed(mut raw: RawRecord, skew_ms: i64) -> RawRecord {
    if let RawBody::Manifest(manifest) = &mut raw.body {
        manifest.started_ts_ms += skew_ms;
        manifest.ended_ts_ms += skew_ms;
    }
    RawRecord { observed_ts_ms: raw.observed_ts_ms + skew_ms, ..raw }
}

#[test]
fn polls_of_producers_whose_clocks_are_an_hour_apart_count_in_the_order_of_their_offsets() {
    let mut world = World::of(vec![Settings { users: 8, workspaces: 3, api_keys: 8, ..Settings::default() }]);
    for _ in SKEWS_MS {
        world.anthropic[0].live(ROUND);
        world.run("producer", &["poll"]).expect(0);
    }
    let records = world.read(Topic::Raw);
    // The same polls under another prefix, as if other clocks had been there.
    world.prefix = tests::prefix();
    world.configure("");
    world.run("processor", &["run", "--until-end"]).expect(0);
    let mut polls: BTreeMap<String, i64> = BTreeMap::new();
    for record in records {
        let raw = decode::<RawRecord>(record.value.as_deref().expect("a value")).expect("ours");
        let poll_id = raw.poll_id.clone().expect("every record is of a poll");
        let nth = polls.len();
        let skew_ms = *polls.entry(poll_id).or_insert_with(|| SKEWS_MS[nth]);
        let value = encode(&skewed(raw, skew_ms));
        let topic = world.topic(Topic::Raw);
        let (key, partition) = (record.key_text(), record.partition);
        kafka::write(&world.bootstrap_servers, &topic, partition, key, Some(&value), &[]);
    }
    assert_eq!(polls.len(), SKEWS_MS.len());
    world.run("processor", &["run", "--until-end"]).expect(0);
    world.run("sink", &["run", "--until-end"]).expect(0);
    content(&world);
}

#[test]
fn a_clock_that_the_brokers_refuse_is_named_and_a_poll_goes_on_once_it_is_right() {
    let mut world = World::of(vec![Settings { users: 4, workspaces: 1, api_keys: 2, ..Settings::default() }]);
    world.run("producer", &["poll"]).expect(0);
    // A record that waits to be sent is older than the broker allows, as if the clock were behind. The markers of
    // transactions, which the brokers write, are younger: one that is refused would block the producer.
    world.kafka = "properties.\"linger.ms\" = \"300\"".to_owned();
    world.configure("");
    let set = |value: &str| {
        let settings = [("message.timestamp.before.max.ms", value)];
        kafka::alter_topic(&world.bootstrap_servers, &world.topic(Topic::Raw), &settings);
    };
    set("150");
    let polled = world.run("producer", &["poll"]);
    let said = polled.expect(1).stderr.lines().last().unwrap_or_default().to_owned();
    assert!(said.contains("the clock of this machine says 20"), "{said}");
    assert_eq!(said.matches("timestamp.before.max.ms").count(), 1, "{said}");
    assert!(!said.contains("InvalidTimestamp"), "{said}");
    set("9223372036854775807");
    world.round();
    content(&world);
}

#[test]
fn brokers_refuse_a_sync_record_of_a_clock_that_is_over_an_hour_ahead() {
    let world = World::of(Vec::new());
    // Makes the topics.
    world.run("sink", &["run", "--until-end"]).expect(0);
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &world.bootstrap_servers)
        .create()
        .expect("the settings are known ones");
    let write = |ahead: SignedDuration| {
        let time = Timestamp::now() + ahead;
        let topic = world.topic(Topic::Sync);
        let record =
            FutureRecord::to(&topic).partition(0).key("o/t").payload("").timestamp(time.as_millisecond());
        block_on(producer.send(record, PATIENCE)).map_err(|(error, _)| error.rdkafka_error_code())
    };
    assert!(write(SignedDuration::from_mins(50)).is_ok());
    let refused = write(SignedDuration::from_mins(70)).expect_err("the brokers refuse it");
    assert_eq!(refused, Some(RDKafkaErrorCode::InvalidTimestamp));
}
