//! Fuzzing with malformed input. Each target has a folder of inputs, the corpus: all of it is tried as it is, then
//! mutated for a bounded time. It runs on stable Rust within `cargo test`.
//!
//! - `FUZZ_SECONDS`: how long each target is tried; by default [`DEFAULT`].
//! - `FUZZ_SEED`: where the mutations begin, as a failure prints it; by default another one at each run.
//!
//! A failure is shrunk and written to `target/fuzz/`. Fix it, and keep the file in the target's corpus: from then on
//! every run tries it.

mod corpus;
mod mutation;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

pub use self::corpus::Corpus;
pub use self::mutation::MAX_INPUT_BYTES;

/// How long each target is tried where nothing else is asked for (s): all of them together are half a minute of CI.
pub const DEFAULT: Duration = Duration::from_secs(2);

/// Inputs between two looks at the clock (count).
const ROUND: u32 = 64;
/// How often a failing input is made smaller at most (count).
const MAX_SHRINKS: u32 = 2_000;
/// How much of a failing input is shown (bytes); the file has all of it.
const SHOWN: usize = 400;

/// Tries the corpus and what can be made of it. An input fails that `holds` panics at or gives a reason for.
///
/// # Panics
/// With the smallest input that fails, its seed and where it was written.
pub fn check(corpus: &Corpus, holds: impl Fn(&[u8]) -> Result<(), String>) {
    let name = corpus.name();
    let last = output(&format!("{name}.last"));
    let tried = |bytes: &[u8]| {
        // A stack overflow or a refused allocation ends the process: then this file has the input.
        fs::write(&last, bytes).expect("target/fuzz can be written");
        holds(bytes).map_err(TestCaseError::fail)
    };
    for (file, bytes) in corpus.files() {
        if let Err(reason) = tried(bytes) {
            panic!("{name}: {file} of the corpus: {reason}");
        }
    }
    let seed = seed();
    let mut runner = TestRunner::new_with_rng(config(), rng(seed));
    let deadline = Instant::now() + seconds();
    while Instant::now() < deadline {
        let failure = match runner.run(&corpus.mutated(), |input| tried(&input.bytes)) {
            Ok(()) => continue,
            Err(failure) => failure,
        };
        match failure {
            TestError::Fail(reason, input) => {
                let found = output(&format!("{name}.found"));
                fs::write(&found, &input.bytes).expect("target/fuzz can be written");
                let text = beginning(&input.bytes);
                panic!("{name}: FUZZ_SEED={seed}: {reason}\n{} holds it: {text}", found.display());
            }
            TestError::Abort(reason) => panic!("{name}: FUZZ_SEED={seed}: {reason}"),
        }
    }
    fs::remove_file(last).expect("it was written just now");
}

/// An input's beginning, as a person can read it.
fn beginning(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string()
}

fn config() -> Config {
    Config { cases: ROUND, max_shrink_iters: MAX_SHRINKS, failure_persistence: None, ..Config::default() }
}

fn rng(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

fn seed() -> u64 {
    number("FUZZ_SEED").unwrap_or_else(|| {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        u64::try_from(now.as_millis()).unwrap_or_default()
    })
}

fn seconds() -> Duration {
    number("FUZZ_SECONDS").map_or(DEFAULT, Duration::from_secs)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number")))
}

/// A file below the workspace's `target`.
fn output(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fuzz");
    fs::create_dir_all(&folder).expect("target can be written");
    folder.join(name)
}

#[cfg(test)]
mod tests {
    use super::{Corpus, check};

    fn corpus() -> Corpus {
        Corpus::of("selftest", vec![("one".to_owned(), b"0123456789".to_vec())]).with_tokens(&[b"boom"])
    }

    #[test]
    #[should_panic(expected = "FUZZ_SEED=")]
    fn an_input_that_is_a_few_mutations_away_is_found() {
        check(&corpus(), |bytes| {
            if bytes.windows(4).any(|window| window == b"boom") {
                Err("it goes off".to_owned())
            } else {
                Ok(())
            }
        });
    }

    #[test]
    #[should_panic(expected = "one of the corpus")]
    fn the_corpus_is_tried_as_it_is() {
        let failing = Corpus::of("selftest-whole", vec![("one".to_owned(), b"x".to_vec())]);
        check(&failing, |bytes| if bytes == b"x" { Err("x".to_owned()) } else { Ok(()) });
    }

    #[test]
    #[should_panic(expected = "holds it")]
    fn a_panic_is_a_failure() {
        let corpus = Corpus::of("selftest-panic", vec![("one".to_owned(), b"0123456789".to_vec())]);
        check(&corpus, |bytes| {
            assert!(bytes.len() > 3, "too short");
            Ok(())
        });
    }
}
