//! Hiding secrets that a server quotes: what is shown or written holds no eight consecutive characters of one.
//!
//! Each end takes the key out of what its server says. Libraries log as well what a server sent, at trace level, so the
//! log hides every secret that the process has read.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{PoisonError, RwLock};

/// This many consecutive characters of a secret are never shown (bytes): fewer identify no key. People distinguish keys
/// by their last four.
const PART: usize = 8;
/// Every key of Anthropic's begins with this and a kind, such as `sk-ant-admin01-`. The beginning is public, and the
/// Admin API shows it, and the three characters after it, in the hints of other keys.
const ANTHROPIC: &str = "sk-ant-";
/// So many characters after the public beginning may be shown with it (bytes).
const HINT: usize = 3;
/// A word of this length that has upper case and digits is likelier a key than a name (characters).
const MIN_KEY: usize = 16;
/// So many digits are not a number at a name's end (count).
const MIN_DIGITS: usize = 2;
/// Least secret that the log hides (bytes): a shorter one is not a key, and may be a word that the log needs.
const MIN_REMEMBERED: usize = 12;
/// What is in the place of a quoted part.
const HIDDEN: &str = "…";

/// The parts of all secrets that the process has read, sorted.
static REMEMBERED: RwLock<Vec<[u8; PART]>> = RwLock::new(Vec::new());

/// Hides the secret in the log from now on.
pub(crate) fn remember(secret: &str) {
    if secret.len() < MIN_REMEMBERED {
        return;
    }
    // A list is whole between any two calls.
    let mut remembered = REMEMBERED.write().unwrap_or_else(PoisonError::into_inner);
    for part in secret.as_bytes()[public(secret)..].windows(PART) {
        let part = part.try_into().expect("a window has its length");
        if let Err(place) = remembered.binary_search(&part) {
            remembered.insert(place, part);
        }
    }
}

/// A string of the log, with `…` in the place of each part of a secret that the process has read.
pub(crate) fn redact_remembered(text: &str) -> Cow<'_, str> {
    let remembered = REMEMBERED.read().unwrap_or_else(PoisonError::into_inner);
    redact_parts(text, PART, |shown| remembered.binary_search_by(|part| part[..].cmp(shown)).is_ok())
}

/// Whether the text holds eight consecutive characters of the secret, or all of a shorter one. The public beginning of
/// an Anthropic key does not count.
pub fn quotes(text: &[u8], secret: &str) -> bool {
    let parts = Parts::of(secret);
    next_part(text, parts.length, |shown| parts.holds(shown)).is_some()
}

/// The text with `…` in the place of each part of the secret.
pub fn redact(text: &str, secret: &str) -> String {
    let parts = Parts::of(secret);
    redact_parts(text, parts.length, |shown| parts.holds(shown)).into_owned()
}

/// Whether a string that should be a name or a path is likelier a key: it has one of Anthropic's in it, or a word as long
/// as no person's that has upper case and digits.
pub(crate) fn looks_like_key(text: &str) -> bool {
    let is_word = |character: char| character.is_ascii_alphanumeric() || "+=-".contains(character);
    let is_random = |word: &str| {
        word.len() >= MIN_KEY
            && word.bytes().any(|byte| byte.is_ascii_uppercase())
            && word.bytes().filter(u8::is_ascii_digit).count() >= MIN_DIGITS
    };
    text.contains(ANTHROPIC) || text.split(|character| !is_word(character)).any(is_random)
}

/// The text with each of Anthropic's keys in it cut after its public beginning.
pub(crate) fn without_keys(text: &str) -> String {
    let is_key = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    let mut parts = text.split(ANTHROPIC);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|character| !is_key(character)).unwrap_or(part.len());
        let kind = part[..end].find('-').map_or(0, |dash| dash + 1);
        shown.push_str(ANTHROPIC);
        shown.push_str(&part[..kind]);
        if kind < end {
            shown.push_str(HIDDEN);
        }
        shown.push_str(&part[end..]);
    }
    shown
}

/// The parts of one secret that are not shown, sorted.
struct Parts<'a> {
    length: usize,
    sorted: Vec<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn of(secret: &'a str) -> Self {
        let length = PART.min(secret.len());
        let mut sorted: Vec<&[u8]> = match length {
            0 => Vec::new(),
            length => secret.as_bytes()[public(secret)..].windows(length).collect(),
        };
        sorted.sort_unstable();
        Self { length, sorted }
    }

    fn holds(&self, shown: &[u8]) -> bool {
        self.sorted.binary_search(&shown).is_ok()
    }
}

/// Where the parts begin that have more of the secret in them than a hint shows.
fn public(secret: &str) -> usize {
    let kind = secret.strip_prefix(ANTHROPIC).and_then(|rest| rest.find('-'));
    // A secret that ends there, or soon after, has no public beginning.
    kind.map(|kind| (ANTHROPIC.len() + kind + 1 + HINT + 1) - PART)
        .filter(|begin| begin + PART < secret.len())
        .unwrap_or_default()
}

fn redact_parts(text: &str, length: usize, is_part: impl Fn(&[u8]) -> bool) -> Cow<'_, str> {
    let Some(first) = next_part(text.as_bytes(), length, &is_part) else { return text.into() };
    let (mut shown, mut rest, mut next) = (String::with_capacity(text.len()), text, Some(first));
    while let Some(part) = next {
        // A part that begins or ends within a character takes all of the character with it.
        shown.push_str(&rest[..rest.floor_char_boundary(part.start)]);
        shown.push_str(HIDDEN);
        rest = &rest[rest.ceil_char_boundary(part.end)..];
        next = next_part(rest.as_bytes(), length, &is_part);
    }
    shown.push_str(rest);
    shown.into()
}

/// The first run of parts, each of that length, in a string.
fn next_part(text: &[u8], length: usize, is_part: impl Fn(&[u8]) -> bool) -> Option<Range<usize>> {
    let is_at = |at: usize| length > 0 && text.get(at..at + length).is_some_and(&is_part);
    let start = (0..text.len()).find(|at| is_at(*at))?;
    let last = (start..text.len()).take_while(|at| is_at(*at)).last().unwrap_or(start);
    Some(start..last + length)
}

#[cfg(test)]
mod tests {
    use super::{looks_like_key, quotes, redact, redact_remembered, remember, without_keys};

    const KEY: &str = "sk-ant-admin01-aB3dE5fG7hJ9";

    #[test]
    fn eight_consecutive_characters_of_a_secret_are_a_quotation_and_seven_are_not() {
        for (text, is_quotation) in [
            (KEY, true),
            ("job-sk-ant-admin01-aB3dE5fG7hJ9", true),
            ("E5fG7hJ9", true),
            ("n01-aB3d", true),
            ("5fG7hJ9", false),
            ("3dE5fG7.hJ9", false),
            ("req_011CB69y9nh43bUSkfzieCWN", false),
            ("", false),
        ] {
            assert_eq!(quotes(text.as_bytes(), KEY), is_quotation, "{text}");
        }
    }

    #[test]
    fn the_public_beginning_of_a_key_and_a_hint_are_no_quotation() {
        for text in
            ["an Admin API key (sk-ant-admin01-…)", "sk-ant-admin01-aB3...hJ9", "sk-ant-api03-aB3...hJ9"]
        {
            assert!(!quotes(text.as_bytes(), KEY), "{text}");
        }
        assert!(quotes(b"sk-ant-admin01-", "sk-ant-admin01-"), "a key that is nothing else is hidden");
    }

    #[test]
    fn a_short_secret_is_hidden_as_a_whole_and_an_empty_one_hides_nothing() {
        assert!(quotes(b"it is hunter2", "hunter2"));
        assert!(!quotes(b"it is hunter", "hunter2"));
        assert!(!quotes(b"anything", ""));
    }

    #[test]
    fn a_part_of_a_secret_is_replaced_and_what_is_around_it_stays() {
        let text = format!("'Bearer {KEY}' of {}, {}é", &KEY[15..25], &KEY[9..]);
        assert_eq!(redact(&text, KEY), "'Bearer sk-ant-admi…' of …, mi…é");
        assert_eq!(redact("nothing to  hide", KEY), "nothing to  hide");
    }

    #[test]
    fn the_log_hides_every_secret_that_was_read_but_words() {
        for secret in ["first-secret-abcdefgh", "second-secret-ABCDEFGH", "analytics"] {
            remember(secret);
            remember(secret);
        }
        let line = r#"{"message":"analytics: b\"first-secret-abcdefgh\"","key":"xret-ABCDEFG"}"#;
        let shown = r#"{"message":"analytics: b\"…\"","key":"x…"}"#;
        assert_eq!(redact_remembered(line), shown);
        assert_eq!(redact_remembered("nothing to hide"), "nothing to hide");
    }

    #[test]
    fn a_key_looks_otherwise_than_a_variable_s_name_or_a_path() {
        for key in [
            "sk-ant-admin01-x",
            "/etc/keys/sk-ant-admin01-x",
            "AKIAIOSFODNN7EXAMPL3",
            "j1/aB3dE5fG7hJ9kL1m==",
        ] {
            assert!(looks_like_key(key), "{key}");
        }
        for name in [
            "NIMBUS_ADMIN_KEY",
            "KAFKA_PASSWORD_2",
            "/run/secrets/nimbus-admin-key",
            "/var/lib/3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e/key",
        ] {
            assert!(!looks_like_key(name), "{name}");
        }
    }

    #[test]
    fn an_anthropic_key_in_a_message_is_cut_after_its_public_beginning() {
        for (text, expected) in [
            (format!("\"{KEY}\" is no name"), "\"sk-ant-admin01-…\" is no name"),
            ("one such as sk-ant-admin01-…".to_owned(), "one such as sk-ant-admin01-…"),
            ("sk-ant-abcdefghijkl, sk-ant-".to_owned(), "sk-ant-…, sk-ant-"),
        ] {
            assert_eq!(without_keys(&text), expected);
        }
    }
}
