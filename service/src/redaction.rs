//! Hiding secrets that a server quotes: what is shown or written holds no eight consecutive characters of one.

use std::ops::Range;

/// This many consecutive characters of a secret are never shown (bytes): fewer identify no key. People tell keys apart
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
/// What stands in the place of a quoted part.
const HIDDEN: &str = "…";

/// Whether the text holds eight consecutive characters of the secret, or all of a shorter one. The public beginning of
/// an Anthropic key does not count.
pub fn quotes(text: &[u8], secret: &str) -> bool {
    next_part(text, &Parts::of(secret)).is_some()
}

/// The text with `…` in the place of each part of the secret.
pub fn redact(text: &str, secret: &str) -> String {
    let parts = Parts::of(secret);
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(part) = next_part(rest.as_bytes(), &parts) {
        // A part that begins or ends within a character takes all of the character with it.
        shown.push_str(&rest[..rest.floor_char_boundary(part.start)]);
        shown.push_str(HIDDEN);
        rest = &rest[rest.ceil_char_boundary(part.end)..];
    }
    shown.push_str(rest);
    shown
}

/// Whether a text that should be a name or a path is likelier a key: it has one of Anthropic's in it, or a word as long
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
struct Parts<'a>(Vec<&'a [u8]>);

impl<'a> Parts<'a> {
    fn of(secret: &'a str) -> Self {
        let mut parts: Vec<&[u8]> = match secret.len() {
            0 => Vec::new(),
            length if length <= PART => vec![secret.as_bytes()],
            _ => secret.as_bytes()[public(secret)..].windows(PART).collect(),
        };
        parts.sort_unstable();
        Self(parts)
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

/// The first run of parts in a text.
fn next_part(text: &[u8], Parts(parts): &Parts<'_>) -> Option<Range<usize>> {
    let length = parts.first()?.len();
    let is_part =
        |at: usize| text.get(at..at + length).is_some_and(|shown| parts.binary_search(&shown).is_ok());
    let start = (0..text.len()).find(|at| is_part(*at))?;
    let last = (start..text.len()).take_while(|at| is_part(*at)).last().unwrap_or(start);
    Some(start..last + length)
}

#[cfg(test)]
mod tests {
    use super::{looks_like_key, quotes, redact, without_keys};

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
