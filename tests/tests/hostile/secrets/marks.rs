//! Secrets that must be seen nowhere, in every form that a program might give them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// So much of a secret's end is as good as the secret (bytes): people distinguish keys by it.
const END: usize = 8;
/// So much of what surrounds a secret is shown where one is found (characters).
const AROUND: usize = 200;

/// What to look for.
pub(super) struct Marks(Vec<(&'static str, String)>);

impl Marks {
    /// Of these secrets, each of them, its ends and its middle; as they are, in base 64 and in hexadecimal.
    pub(super) fn of(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut marks = Vec::new();
        for secret in secrets {
            let bytes = secret.as_bytes();
            assert!(bytes.len() >= 3 * END, "a secret of {} bytes marks nothing", bytes.len());
            let middle = bytes.len() / 2 - END / 2;
            for part in [bytes, &bytes[bytes.len() - END..], &bytes[middle..middle + END]] {
                marks.push(("as it is", String::from_utf8_lossy(part).into_owned()));
                let hex = hexadecimal(part);
                marks.push(("in hexadecimal", hex.to_uppercase()));
                marks.push(("in hexadecimal", hex));
            }
            marks.extend(base64(bytes).map(|form| ("in base 64", form)));
        }
        Self(marks)
    }

    #[track_caller]
    pub(super) fn look(&self, what: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        for (form, mark) in &self.0 {
            if let Some((before, after)) = text.split_once(mark.as_str()) {
                let before: String = before.chars().rev().take(AROUND).collect();
                let before: String = before.chars().rev().collect();
                let after: String = after.chars().take(AROUND).collect();
                panic!("{what} shows a secret {form}, between these two:\n{before}\n{after}");
            }
        }
    }
}

/// The forms that a secret has within base 64, one for each place at which it may begin in three bytes; what depends
/// on its neighbours is left out.
fn base64(secret: &[u8]) -> impl Iterator<Item = String> {
    (0..3).flat_map(move |before| {
        let padded = [&vec![b' '; before], secret].concat();
        [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)].map(|text| {
            let begin = if before == 0 { 0 } else { before + 1 };
            text[begin..text.len() - 3].to_owned()
        })
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

#[test]
fn a_secret_is_found_in_every_form() {
    let secret = "sk-ant-admin01-abcdefghijklmnopqrstuvwxyz0123456789";
    let marks = Marks::of([secret.to_owned()]);
    let is_found = |text: &str| {
        let found = std::panic::catch_unwind(|| marks.look("a test", text.as_bytes()));
        found.is_err()
    };
    assert!(!is_found("sk-ant-admin01-…"));
    assert!(is_found(&format!("x{secret}")));
    assert!(is_found("…23456789"));
    for before in ["", "a", "ab", "Bearer "] {
        assert!(is_found(&STANDARD_NO_PAD.encode(format!("{before}{secret} and more"))), "{before:?}");
    }
    assert!(is_found(&hexadecimal(secret.as_bytes())));
    assert!(is_found(&hexadecimal(secret.as_bytes()).to_uppercase()));
}
