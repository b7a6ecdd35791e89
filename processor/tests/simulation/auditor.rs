//! The auditor, which shares no code with the processor, accepts every history that the processor wrote.

use service::kafka::partition::Record;
use verify::{Partition, Verdict};

use crate::{
    script::{Entry, Script},
    task::Topics,
};

/// The partition of a history, as the topics have it.
pub(crate) fn partition(script: &Script, topics: &Topics) -> Partition {
    let graph = topics.graph.iter().map(|(key, value)| (key, value.clone()));
    let changes = topics.changes.iter().map(|(key, value)| (key, Some(value.clone())));
    Partition {
        count: 1,
        graph: graph.zip(0..).map(record).collect(),
        changes: changes.zip(0..).map(record).collect(),
        dead_letters: Some(topics.dead_letters.iter().map(letter).collect()),
        raw: script.entries.iter().map(Entry::as_record).collect(),
        ..Partition::default()
    }
}

fn letter((key, offset): &(String, String)) -> Record {
    let header = |name: &str, value: &str| {
        (format!("__anthropic_graph.errors.{name}"), Some(value.as_bytes().to_vec()))
    };
    let headers = vec![header("partition", "0"), header("offset", offset)];
    Record { headers, ..record(((key, None), 0)) }
}

fn record(((key, value), offset): ((&String, Option<Vec<u8>>), i64)) -> Record {
    Record { offset, key: Some(key.clone().into_bytes()), value, headers: Vec::new() }
}

/// Nothing is violated, whether all is there or retention has cut the topics anywhere; where nothing is cut, nothing is
/// uncheckable.
pub(crate) fn check(script: &Script, topics: &Topics, seed: u32) {
    let mut partition = partition(script, topics);
    let changes_end = i64::try_from(topics.changes.len()).expect("few changes");
    let cut = |end: i64, shift: u32| i64::from(seed.rotate_right(shift)).rem_euclid(end + 1);
    let cuts = [
        (0, 0),
        (cut(script.end(), 2), 0),
        (0, cut(changes_end, 2)),
        (cut(script.end(), 2), cut(changes_end, 2)),
        (cut(script.end(), 9), cut(changes_end, 17)),
        (cut(script.end(), 23), cut(changes_end, 28)),
    ];
    for (raw, changes) in cuts {
        (partition.raw_begins, partition.changes_begin) = (raw, changes);
        let verdicts = partition.verify();
        assert_eq!(violations(&verdicts), Vec::<String>::new(), "raw begins at {raw}, changes at {changes}");
        if raw == 0 && changes == 0 {
            let tallies = verdicts.iter().flat_map(|verdict| verdict.tallies.values());
            assert_eq!(tallies.map(|tally| tally.uncheckable).sum::<u64>(), 0, "nothing is cut");
        }
    }
}

pub(crate) fn violations(verdicts: &[Verdict]) -> Vec<String> {
    let tallies = verdicts.iter().flat_map(|verdict| &verdict.tallies);
    let all = tallies.flat_map(|(law, tally)| tally.violations.iter().map(move |it| (law, it)));
    all.map(|(law, violation)| format!("{}: {violation:?}", law.name())).collect()
}
