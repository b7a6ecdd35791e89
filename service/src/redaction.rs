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
    use super::{quotes, redact};

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
}
