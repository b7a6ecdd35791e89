//! What a page shows of a terminal, and what the same commands print in another run.
//!
//! IDs, times and counts differ from run to run. Every word with a digit and everything in quotation marks is therefore
//! a value, and any value takes its place. The values of a run replace those of the page in later commands: an ID that
//! one command prints can be an argument of the next one.

use std::collections::BTreeMap;

/// On a page: any lines where it is a line, and any words where it ends one.
const ANYTHING: &str = "…";

/// A command of a page, and what the page shows of its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) command: String,
    shown: Vec<String>,
}

/// The steps of a block.
pub(super) fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step { command: command.to_owned(), shown: Vec::new() }),
            (None, Some(step)) => step.shown.push(line.to_owned()),
            (None, None) => panic!("a block begins with a command, not with {line:?}"),
        }
    }
    steps
}

/// The values of a page, each with that of this run.
#[derive(Debug, Default)]
pub(super) struct Values(BTreeMap<String, String>);

impl Values {
    /// The command with the values of this run.
    pub(super) fn command(&self, step: &Step) -> String {
        let pieces = pieces(&step.command);
        let values = pieces.iter().map(|piece| self.0.get(piece.text()).map_or(piece.text(), String::as_str));
        values.collect()
    }

    /// Compares what the command printed with what the page shows, and takes its values.
    pub(super) fn learn(&mut self, step: &Step, printed: &str) -> Result<(), String> {
        let shown: Vec<&str> = step.shown.iter().map(String::as_str).collect();
        let printed: Vec<&str> = printed.lines().collect();
        let mut longest = 0;
        match matched(&shown, &printed, &mut longest) {
            Some(values) => {
                self.0.extend(values);
                Ok(())
            }
            None => Err(format!(
                "the page is right up to its line {longest} of:\n{}\nprinted was:\n{}",
                shown.join("\n"),
                printed.join("\n")
            )),
        }
    }
}

type Pairs = Vec<(String, String)>;

/// The values of the lines, or none if they differ. `longest` is how many lines of the page were printed at the most.
fn matched(shown: &[&str], printed: &[&str], longest: &mut usize) -> Option<Pairs> {
    let all = shown.len();
    matched_from(shown, printed, all, longest)
}

fn matched_from(shown: &[&str], printed: &[&str], all: usize, longest: &mut usize) -> Option<Pairs> {
    *longest = (*longest).max(all - shown.len());
    let Some((first, rest)) = shown.split_first() else { return printed.is_empty().then(Vec::new) };
    if first.trim() == ANYTHING {
        return (0..=printed.len()).find_map(|skipped| matched_from(rest, &printed[skipped..], all, longest));
    }
    let (line, printed) = printed.split_first()?;
    let mut pairs = pairs(first, line)?;
    pairs.extend(matched_from(rest, printed, all, longest)?);
    Some(pairs)
}

fn pairs(shown: &str, printed: &str) -> Option<Pairs> {
    let (shown, is_cut) = match shown.strip_suffix(ANYTHING) {
        Some(beginning) => (beginning.trim_end(), true),
        None => (shown, false),
    };
    let (shown, printed) = (pieces(shown), pieces(printed));
    if shown.len() != printed.len() && !(is_cut && shown.len() < printed.len()) {
        return None;
    }
    let mut pairs = Vec::new();
    for pair in shown.into_iter().zip(printed) {
        match pair {
            (Piece::Value(shown), Piece::Value(printed)) => pairs.push((shown, printed)),
            (shown, printed) if shown == printed => {}
            (Piece::Value(_) | Piece::Plain(_), Piece::Value(_) | Piece::Plain(_)) => return None,
        }
    }
    Some(pairs)
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// What differs from run to run.
    Value(String),
    /// Anything else. All white space is one blank, since columns are as wide as their values.
    Plain(String),
}

impl Piece {
    fn text(&self) -> &str {
        let (Self::Value(text) | Self::Plain(text)) = self;
        text
    }
}

fn pieces(line: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = line.trim_end();
    while let Some(first) = rest.chars().next() {
        let is_in_word =
            |it: char| it.is_alphanumeric() || matches!(it, '_' | '-' | ':' | '.' | '/' | '|' | '@' | '+');
        let length = if first == '"' {
            rest[1..].find('"').map_or(rest.len(), |end| end + 2)
        } else if first.is_whitespace() {
            rest.find(|it: char| !it.is_whitespace()).unwrap_or(rest.len())
        } else if is_in_word(first) {
            let word = &rest[..rest.find(|it| !is_in_word(it)).unwrap_or(rest.len())];
            // A full stop or a colon after a word is not a part of it.
            word.trim_end_matches([':', '.']).len().max(first.len_utf8())
        } else {
            first.len_utf8()
        };
        let (piece, after) = rest.split_at(length);
        let is_value = first == '"' || is_in_word(first) && piece.contains(|it: char| it.is_ascii_digit());
        pieces.push(match (is_value, first.is_whitespace()) {
            (true, _) => Piece::Value(piece.to_owned()),
            (false, true) => Piece::Plain(" ".to_owned()),
            (false, false) => Piece::Plain(piece.to_owned()),
        });
        rest = after;
    }
    pieces
}

#[test]
fn values_may_differ_and_words_may_not() {
    let same = |shown: &str, printed: &str| {
        let step = Step { command: String::new(), shown: shown.lines().map(str::to_owned).collect() };
        Values::default().learn(&step, printed).is_ok()
    };
    assert!(same("nimbus  3m  user_01: 2 holds", "nimbus      17s    user_02B: 41 holds\n"));
    assert!(same("  a \"Ada\", 1", "  a \"Zoë B.\", 22"));
    assert!(!same("2 holds", "2 deletions"), "another word");
    assert!(!same("2 holds", "2 holds more"), "more words");
    assert!(!same("a", "a\nb"), "more lines");
    assert!(!same("a\nb", "a"), "fewer lines");
    assert!(same("a\n…\nz 1", "a\nb\nc\nz 2"), "any lines");
    assert!(same("a\n…", "a"), "or none");
    assert!(same("why: it is …", "why: it is long"), "any words");
    assert!(!same("why: it is …", "why: nobody knows"));
}

#[test]
fn a_later_command_has_the_values_of_this_run() {
    let block = "$ list\nl-1 of user_01, 3:7: to keep it: keep --key user_01 --by $(id -un)\n$ keep --key user_01\n$ show 3:7 l-1\n";
    let [list, keep, show] = &steps(block)[..] else { panic!("three commands") };
    let mut values = Values::default();
    assert_eq!(values.command(keep), "keep --key user_01", "nothing was printed");
    let printed = "l-9 of user_0Z, 0:12: to keep it: keep --key user_0Z --by $(id -un)\n";
    values.learn(list, printed).expect("the same words");
    assert_eq!(values.command(keep), "keep --key user_0Z");
    assert_eq!(values.command(show), "show 0:12 l-9");
}
