//! Transactions and reading under `read_committed`.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use rdkafka::message::OwnedHeaders;
use service::kafka::headers;
use service::kafka::partition::{Error as ReadError, Message, PartitionReader, Record, Start};
use service::kafka::restore::{RestoreError, restore};
use service::kafka::transaction::{Error, TRANSACTION_TIMEOUT, TransactionalProducer};

use crate::world::{
    PATIENCE, config, keys, make_topic, producer, read_to_end, reader, send, topic, unique, wait_for_offset,
    write,
};

fn restored(reader: &mut PartitionReader) -> (Vec<Record>, i64) {
    let mut records = Vec::new();
    let end = restore(reader, |record| {
        records.push(record.detach());
        Ok::<(), Infallible>(())
    });
    (records, end.unwrap())
}

#[test]
fn a_reader_sees_committed_records_with_their_headers_and_neither_aborted_nor_open_ones() {
    let topic = topic("visibility");
    let (first, second) = (producer(&unique("first")), producer(&unique("second")));
    first.begin().unwrap();
    first.send(&topic, 0, "committed", Some(b"1"), headers::owned([("ce_id", "7")])).unwrap();
    first.commit().unwrap();
    first.begin().unwrap();
    send(&first, &topic, "aborted", Some("2"));
    wait_for_offset(&topic, 3);
    first.abort().unwrap();
    write(&first, &topic, &[("tombstone", None)]);
    second.begin().unwrap();
    send(&second, &topic, "open", Some("3"));
    wait_for_offset(&topic, 7);
    let mut reader = reader(&topic, Start::Beginning);
    let records = read_to_end(&mut reader);
    assert_eq!(keys(&records), ["committed", "tombstone"]);
    assert_eq!(records[0].headers, [("ce_id".to_owned(), Some(b"7".to_vec()))]);
    assert_eq!(records[1].value, None);
    second.commit().unwrap();
    let late = reader.next(PATIENCE).unwrap().unwrap();
    assert_eq!(keys(&[late]), ["open"]);
}

#[test]
fn a_restore_passes_the_transaction_markers_behind_the_last_record() {
    let topic = topic("markers");
    let producer = producer(&unique("markers"));
    write(&producer, &topic, &[("a", Some("1")), ("b", Some("2"))]);
    producer.begin().unwrap();
    send(&producer, &topic, "aborted", Some("3"));
    wait_for_offset(&topic, 4);
    producer.abort().unwrap();
    let mut reader = reader(&topic, Start::Beginning);
    let (records, end) = restored(&mut reader);
    assert_eq!(keys(&records), ["a", "b"]);
    // Two records, a commit, an aborted record, an abort.
    assert_eq!((end, reader.position()), (5, 5));
    write(&producer, &topic, &[("c", Some("4"))]);
    assert_eq!(reader.next(PATIENCE).unwrap().unwrap().offset, 5);
}

#[test]
fn a_restore_of_an_empty_partition_ends_at_once_and_applies_nothing() {
    let topic = topic("empty");
    assert_eq!(restored(&mut reader(&topic, Start::Beginning)), (Vec::new(), 0));
}

#[test]
fn a_restore_reads_to_the_end_as_it_is_when_it_begins_though_an_older_end_was_met_before() {
    let topic = topic("again");
    let producer = producer(&unique("again"));
    write(&producer, &topic, &[("a", Some("1"))]);
    let mut reader = reader(&topic, Start::Beginning);
    assert_eq!(keys(&[reader.next(PATIENCE).unwrap().unwrap()]), ["a"]);
    // The end behind `a` may be on its way to the reader now.
    write(&producer, &topic, &[("b", Some("2"))]);
    write(&producer, &topic, &[("c", Some("3"))]);
    let (records, end) = restored(&mut reader);
    assert_eq!((keys(&records), end), (vec!["b", "c"], 6));
    reader.seek(0).unwrap();
    assert_eq!(keys(&read_to_end(&mut reader)), ["a", "b", "c"]);
}

#[test]
fn a_restore_of_a_compacted_partition_gives_the_last_value_of_each_key() {
    let topic = unique("compacted");
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "100"),
        ("min.compaction.lag.ms", "0"),
    ];
    make_topic(&topic, 1, &settings);
    let producer = producer(&unique("compacted"));
    let deadline = Instant::now() + 2 * PATIENCE;
    let mut written = 0;
    loop {
        write(&producer, &topic, &[("a", Some("old")), ("b", Some("old"))]);
        write(&producer, &topic, &[("a", Some("new"))]);
        written += 3;
        let mut reader = reader(&topic, Start::Beginning);
        let (records, end) = restored(&mut reader);
        assert_eq!(reader.position(), end);
        let last = records.iter().rev().find(|record| record.key.as_deref() == Some(b"a")).unwrap();
        assert_eq!(last.value.as_deref(), Some("new".as_bytes()));
        if records.len() < written {
            return;
        }
        assert!(Instant::now() < deadline, "the broker compacted nothing");
    }
}

#[test]
fn an_apply_that_fails_stops_the_restore_with_the_record_s_place() {
    let topic = topic("apply");
    write(&producer(&unique("apply")), &topic, &[("a", Some("1")), ("b", Some("2"))]);
    let mut reader = reader(&topic, Start::Beginning);
    let refuse = |record: Message<'_>| if record.offset == 1 { Err(std::fmt::Error) } else { Ok(()) };
    let error = restore(&mut reader, refuse).unwrap_err();
    assert!(matches!(error, RestoreError::Apply { offset: 1, .. }), "{error:?}");
}

#[test]
fn an_offset_that_is_not_in_the_partition_is_refused_with_the_offsets_that_are() {
    let topic = topic("range");
    write(&producer(&unique("range")), &topic, &[("a", Some("1"))]);
    let mut reader = reader(&topic, Start::Offset(100));
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        match reader.next(Duration::from_millis(500)) {
            Ok(record) => assert!(record.is_none() && Instant::now() < deadline),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, ReadError::OffsetOutOfRange { committed: 100, beginning: 0, end: 2, .. }),
        "{error:?}"
    );
}

#[test]
fn a_reader_that_begins_at_an_offset_begins_at_once() {
    let topic = topic("begins");
    write(&producer(&unique("begins")), &topic, &[("a", Some("1")), ("b", Some("2"))]);
    let mut times: Vec<Duration> = (0..5)
        .map(|_| {
            let began = Instant::now();
            let mut reader = reader(&topic, Start::Offset(1));
            let record = reader.next(PATIENCE).unwrap().expect("it was written");
            assert_eq!(record.offset, 1);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    assert!(times[0] < Duration::from_millis(500), "the quickest took {:?}", times[0]);
}

#[test]
fn a_partition_that_is_not_there_is_refused_at_once() {
    let began = Instant::now();
    let result = PartitionReader::open(&config(), "readers", &unique("absent"), 0, Start::Beginning);
    assert!(matches!(result.map(|_| ()).unwrap_err(), ReadError::Fatal { .. }));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_second_opener_aborts_the_first_one_s_transaction_and_fences_it() {
    let topic = topic("fencing");
    let id = unique("fencing");
    let first = producer(&id);
    first.begin().unwrap();
    send(&first, &topic, "first", Some("1"));
    wait_for_offset(&topic, 1);
    let second = producer(&id);
    send(&first, &topic, "after", Some("2"));
    let error = match first.commit().unwrap_err() {
        Error::Abortable { .. } => first.abort().unwrap_err(),
        error => error,
    };
    assert!(matches!(error, Error::Fenced { .. }), "{error:?}");
    write(&second, &topic, &[("second", Some("3"))]);
    assert_eq!(keys(&read_to_end(&mut reader(&topic, Start::Beginning))), ["second"]);
}

#[test]
fn a_transaction_that_was_aborted_leaves_the_producer_fit_for_the_next() {
    let topic = topic("next");
    let producer = producer(&unique("next"));
    for (written, on_broker) in [(1, true), (2, false), (3, true)] {
        producer.begin().unwrap();
        send(&producer, &topic, "aborted", Some("1"));
        if on_broker {
            wait_for_offset(&topic, written);
        }
        producer.abort().unwrap();
    }
    write(&producer, &topic, &[("committed", Some("2"))]);
    assert_eq!(keys(&read_to_end(&mut reader(&topic, Start::Beginning))), ["committed"]);
}

#[test]
fn a_record_that_is_too_large_is_named_before_the_commit() {
    let topic = unique("large");
    make_topic(&topic, 1, &[("max.message.bytes", "1000")]);
    let producer = producer(&unique("large"));
    let large = vec![b'x'; 2_000_000];
    producer.begin().unwrap();
    let error = producer.send(&topic, 0, "a", Some(&large), OwnedHeaders::new()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { bytes: 2_000_001, .. }), "{error:?}");
    // Small enough for the producer, too large for the broker. Random bytes do not compress.
    let large: Vec<u8> = (0..500).flat_map(|_| uuid::Uuid::new_v4().into_bytes()).collect();
    producer.send(&topic, 0, "a", Some(&large), OwnedHeaders::new()).unwrap();
    let error = producer.commit().unwrap_err();
    assert!(matches!(error, Error::TooLarge { bytes: 8_001, .. }), "{error:?}");
    producer.abort().unwrap();
}

#[test]
fn a_transaction_of_one_record_commits_fast() {
    let topic = topic("fast");
    let producer = producer(&unique("fast"));
    let mut times: Vec<Duration> = (0..21)
        .map(|_| {
            let began = Instant::now();
            producer.begin().unwrap();
            send(&producer, &topic, "a", Some("1"));
            producer.commit().unwrap();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    assert!(times[10] < Duration::from_millis(60), "the median is {:?}", times[10]);
}

#[test]
fn more_records_than_the_queue_holds_are_sent_in_one_transaction() {
    let topic = topic("queue");
    let mut config = config();
    config.set("queue.buffering.max.messages", "100");
    let producer = TransactionalProducer::open(&config, &unique("queue"), TRANSACTION_TIMEOUT).unwrap();
    producer.begin().unwrap();
    for number in 0..5_000 {
        send(&producer, &topic, &number.to_string(), Some("1"));
    }
    producer.commit().unwrap();
    assert_eq!(restored(&mut reader(&topic, Start::Beginning)).0.len(), 5_000);
}
