//! The two framings of a value, in one topic.

use std::collections::BTreeMap;
use std::path::Path;

use rdkafka::ClientConfig;
use schemas::codec::encode;
use schemas::sync::Sync;
use schemas::topics::Topic;
use service::config::Config;
use service::kafka::partition::Start;
use service::kafka::transaction::{TRANSACTION_TIMEOUT, TransactionalProducer};
use service::kafka::writer::Writer;
use service::kafka::{headers, wait_for_commits};
use service::schema_registry;
use tests::stub::Stub;
use tokio::runtime::Runtime;

use crate::world::{config, producer, read_to_end, reader, topic, unique};

#[test]
fn a_reader_takes_both_framings_and_a_registry_s_begins_with_its_id() {
    let topic = topic("framings");
    let value = encode(&Sync::default());
    let before = producer(&unique("before"));
    let mut client = config();
    register(&mut client, 258);
    let after = TransactionalProducer::open(&client, &unique("after"), TRANSACTION_TIMEOUT).unwrap();
    for (producer, key) in [(&before, "before"), (&after, "after")] {
        producer.begin().unwrap();
        producer.send(&topic, 0, key, Some(&value), headers::of_state()).unwrap();
        producer.send(&topic, 0, "tombstone", None, headers::of_state()).unwrap();
        producer.send(&topic, 0, "other", Some(b"not Avro"), headers::of_state()).unwrap();
        producer.commit().unwrap();
    }
    let alone = Writer::open(&client, &topic).unwrap();
    alone.write(0, "alone", &value, headers::of_state()).unwrap();
    wait_for_commits(&config(), &topic, 0).unwrap();

    let bytes = |key: &str| {
        let records = tests::kafka::read(&tests::broker::bootstrap_servers(), &topic);
        records.into_iter().find(|record| record.key_text() == key).unwrap()
    };
    assert_eq!(bytes("before").value.as_ref(), Some(&value));
    for key in ["after", "alone"] {
        let record = bytes(key);
        assert_eq!(record.value.as_deref(), Some([&[0, 0, 0, 1, 2][..], &value[10..]].concat().as_slice()));
        let bytes: [u8; 8] = value[2..10].try_into().expect("eight bytes");
        assert_eq!(
            record.header("ce_dataschema"),
            Some(format!("avro-crc64:{:016x}", u64::from_be_bytes(bytes)).as_str())
        );
    }

    let read: Vec<_> = read_to_end(&mut reader(&topic, Start::Beginning))
        .into_iter()
        .map(|record| (String::from_utf8(record.key.unwrap()).unwrap(), record.value))
        .collect();
    let of = |key: &str, value: Option<&[u8]>| (key.to_owned(), value.map(<[u8]>::to_vec));
    let of_each = |key| [of(key, Some(&value)), of("tombstone", None), of("other", Some(b"not Avro"))];
    assert_eq!(read, [&of_each("before")[..], &of_each("after"), &[of("alone", Some(&value))]].concat());
}

/// Has the client's producers frame values with this ID.
fn register(client: &mut ClientConfig, id: u32) {
    let registry = Stub::start(move |_| (200, Vec::new(), format!("{{\"id\":{id}}}")));
    let text =
        format!("kafka.bootstrap_servers = \"b:9092\"\n[schema_registry]\nurl = \"{}\"", registry.url());
    let config = Config::from_toml(&text, Path::new(""), &BTreeMap::new()).unwrap();
    let environment = BTreeMap::new();
    let registered = schema_registry::register(&config, &environment, &[Topic::Sync], client);
    Runtime::new().unwrap().block_on(registered).unwrap();
}
