//! What is done to an input.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::Index;

/// Longest input (bytes): the largest message that a broker takes by its defaults.
pub const MAX_INPUT_BYTES: usize = 1024 * 1024;

/// Most mutations of one input (count): more of them leave nothing that a reader goes far into.
const MOST: usize = 8;

/// Lengths and counts that readers trust and should not, as Avro writes them (zig-zag, base 128): -1, -2^63, 2^62,
/// 2^63-1, 16 MiB, 1,000,000, and a number that never ends.
const NUMBERS: [&[u8]; 7] = [
    &[0x01],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
    &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x80, 0x80, 0x80, 0x10],
    &[0x80, 0x89, 0x7a],
    &[0xff; 12],
];

/// One thing that is done to an input. Indexes are of the input as it is by then.
#[derive(Debug, Clone)]
enum Mutation {
    /// Sets a byte.
    Set(Index, u8),
    /// Cuts the end off.
    Cut(Index),
    /// Takes a part out.
    Remove(Index, Index),
    /// Has a part so many more times.
    Repeat(Index, Index, usize),
    /// Puts bytes in, over what is there or before it.
    Put(Index, Vec<u8>, bool),
    /// Puts a part of another input in.
    Splice(Index, Index, Index, Index),
}

/// An input that was made, and nothing else to be seen: the mutations say less than the bytes.
#[derive(Clone)]
pub(crate) struct Input {
    pub(crate) bytes: Vec<u8>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

/// Inputs made of the files; a failing one shrinks to fewer mutations.
pub(crate) fn inputs(files: Vec<Vec<u8>>, tokens: Vec<Vec<u8>>) -> impl Strategy<Value = Input> {
    let files = Arc::new(files);
    let mutations = vec(mutation(words(tokens)), 1..=MOST);
    (any::<Index>(), mutations).prop_map(move |(begin, mutations)| {
        let mut bytes = files[begin.index(files.len())].clone();
        for mutation in mutations {
            apply(&mut bytes, &files, mutation);
            bytes.truncate(MAX_INPUT_BYTES);
        }
        Input { bytes }
    })
}

fn words(tokens: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    NUMBERS.iter().map(|number| number.to_vec()).chain(tokens).collect()
}

fn mutation(words: Vec<Vec<u8>>) -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    let word = at().prop_map(move |index| words[index.index(words.len())].clone());
    // Few inputs are large: they take the time of a thousand small ones.
    let times = prop_oneof![60 => 1..4_usize, 4 => 100..1_000_usize, 1 => Just(100_000_usize)];
    prop_oneof![
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => at().prop_map(Mutation::Cut),
        2 => (at(), at()).prop_map(|(from, to)| Mutation::Remove(from, to)),
        2 => (at(), at(), times).prop_map(|(from, to, times)| Mutation::Repeat(from, to, times)),
        4 => (at(), word, any::<bool>()).prop_map(|(at, word, over)| Mutation::Put(at, word, over)),
        2 => (at(), at(), at(), at()).prop_map(|(at, file, from, to)| Mutation::Splice(at, file, from, to)),
    ]
}

fn apply(bytes: &mut Vec<u8>, files: &[Vec<u8>], mutation: Mutation) {
    match mutation {
        Mutation::Set(at, byte) => {
            if !bytes.is_empty() {
                *at.get_mut(bytes) = byte;
            }
        }
        Mutation::Cut(at) => bytes.truncate(place(at, bytes)),
        Mutation::Remove(from, to) => drop(bytes.drain(part(from, to, bytes))),
        Mutation::Repeat(from, to, times) => {
            let range = part(from, to, bytes);
            let times = times.min(MAX_INPUT_BYTES / range.len().max(1));
            let copies = bytes[range.clone()].repeat(times);
            bytes.splice(range.end..range.end, copies);
        }
        Mutation::Put(at, word, over) => {
            let at = place(at, bytes);
            let end = if over { (at + word.len()).min(bytes.len()) } else { at };
            bytes.splice(at..end, word);
        }
        Mutation::Splice(at, file, from, to) => {
            let at = place(at, bytes);
            let file = &files[file.index(files.len())];
            bytes.splice(at..at, file[part(from, to, file)].to_vec());
        }
    }
}

/// A place between two bytes, the ends included.
fn place(at: Index, bytes: &[u8]) -> usize {
    at.index(bytes.len() + 1)
}

fn part(from: Index, to: Index, bytes: &[u8]) -> std::ops::Range<usize> {
    let (from, to) = (place(from, bytes), place(to, bytes));
    from.min(to)..from.max(to)
}
