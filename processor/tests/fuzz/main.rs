//! Malformed raw records, from their bytes to the state (`fuzz/src/lib.rs` says how to run it longer).
//! An input is some raw values one after the other; each begins with its schema's fingerprint.

mod auditor;
#[path = "../../../graph/tests/raw/mod.rs"]
mod raw;
mod records;

use std::{collections::BTreeMap, path::Path};

use fuzz::Corpus;
use graph::{change::Change, listing::Assembler, partition_state::PartitionState, reconcile::Reconciled};
use schemas::{
    change::Op,
    codec::{decode, encode},
    element::Element,
    raw::{MarkKind, RawBody, RawRecord},
};

/// Words of the listings, and of keys.
const TOKENS: [&[u8]; 12] = [
    b"\x06ada",
    b"\x04bo",
    b"\x08prod",
    b"\x08u|as",
    b"\x0acover",
    b"\x0ausers",
    b"\x06end",
    b"\x0astart",
    b"\x12max\0\0\0\0\0\0",
    b"\0\0\0\0\0\0\xf8\x7f",
    b"\0\0\0\0\0\0\xf0\xff",
    b"\x02/",
];

/// The values of an input.
fn values(input: &[u8]) -> Vec<&[u8]> {
    let header = &encode(&raw::record("poll", None, RawBody::Mark(raw::mark(MarkKind::Start))))[..10];
    let begins = input.windows(header.len()).enumerate().filter(|(_, window)| *window == header);
    let mut places: Vec<usize> = begins.map(|(place, _)| place).collect();
    places.push(input.len());
    places.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect()
}

/// The processor, as far as it is pure.
struct Processor {
    assembler: Assembler,
    state: PartitionState,
    /// What the graph topic would hold after compaction.
    topic: BTreeMap<String, Vec<u8>>,
    /// The fold of the changes, and the last revision, by organization.
    folded: BTreeMap<String, (BTreeMap<String, Element>, i64)>,
}

impl Processor {
    fn take(&mut self, value: &[u8], offset: i64) -> Result<(), String> {
        if self.assembler.take_unchanged(value, self.state.states()) {
            return Ok(());
        }
        let Ok(raw) = decode::<RawRecord>(value) else { return Ok(()) };
        let Ok(Some(unit)) = self.assembler.take(raw, offset) else { return Ok(()) };
        let organization_id = unit.organization_id().to_owned();
        let mut reconciled = self.state.reconcile(&unit);
        self.fold_changes(&organization_id, &reconciled)?;
        for (key, value) in reconciled.records() {
            let key = key.format(&organization_id);
            match value {
                Some(value) => drop(self.topic.insert(key, value.encode())),
                None => drop(self.topic.remove(&key)),
            }
        }
        self.state.fold(&organization_id, &mut reconciled);
        Ok(())
    }

    fn fold_changes(&mut self, organization_id: &str, reconciled: &Reconciled) -> Result<(), String> {
        let (elements, revision) = self.folded.entry(organization_id.to_owned()).or_default();
        for change in reconciled.changes.iter().map(Change::envelope) {
            if change.op == Op::Notice {
                continue;
            }
            *revision += 1;
            if change.revision != *revision {
                return Err(format!("revision {} where {revision} follows", change.revision));
            }
            let before = match change.after.clone() {
                Some(after) => elements.insert(change.element_key.clone(), after),
                None => elements.remove(&change.element_key),
            };
            if before != change.before {
                return Err(format!(
                    "{}: the image before is not the one after of before",
                    change.element_key
                ));
            }
        }
        Ok(())
    }

    /// The laws that hold whatever was read.
    fn judge(&self) -> Result<(), String> {
        let mut restored = PartitionState::new(0, 1);
        for (key, value) in &self.topic {
            restored.restore(key, Some(value)).map_err(|error| format!("{key}: {error}"))?;
        }
        restored.check().map_err(|error| error.to_string())?;
        for (organization_id, state) in self.state.states().iter() {
            let nothing = graph::state::State::default();
            if restored.states().get(organization_id).unwrap_or(&nothing) != state {
                return Err(format!("{organization_id:?} is restored as another"));
            }
            let folded = self.folded.get(organization_id).map(|(elements, _)| elements);
            let mut graph = state.graph().elements();
            if !graph
                .all(|element| folded.and_then(|folded| folded.get(element.key())) == Some(&element.decode()))
            {
                return Err(format!("the graph of {organization_id:?} is not the fold of its changes"));
            }
            for element in state.graph().elements().filter(|element| element.is_relationship()) {
                if element.ends().any(|end| !state.graph().contains(end)) {
                    return Err(format!("{} lacks an end", element.key()));
                }
            }
        }
        Ok(())
    }
}

fn corpus() -> Corpus {
    let found = Corpus::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/raw"));
    found.with_files(records::histories()).with_tokens(&TOKENS)
}

#[test]
fn whatever_the_raw_topic_holds_the_laws_hold() {
    fuzz::check(&corpus(), |input| {
        let mut processor = Processor {
            assembler: Assembler::default(),
            state: PartitionState::new(0, 1),
            topic: BTreeMap::new(),
            folded: BTreeMap::new(),
        };
        for (value, offset) in values(input).into_iter().zip(0..) {
            processor.take(value, offset)?;
        }
        processor.judge()
    });
}

#[test]
fn the_corpus_is_read() {
    for (name, input) in records::histories() {
        let read = values(&input);
        assert!(read.len() > 3, "{name}");
        for value in read {
            decode::<RawRecord>(value).expect("a raw record");
        }
    }
}
