//! What of an answer is shown, and what an answer that is none means. Pure.

use reqwest::header::HeaderMap;
use serde_json::Value;
use service::redaction::quotes;

use super::{Failure, KEYS_PAGE, Received, Unshown};

/// The headers that are shown.
const SHOWN: [&str; 2] = ["request-id", "anthropic-organization-id"];
/// Longest header that is shown (bytes): Anthropic's own have 36 at most.
const MAX_SHOWN: usize = 200;

/// What an answer with another status than 200 means. Anthropic's envelope names the error; an edge's answer does not.
pub(super) fn refusal(received: &Received, key: &str, hint: &str) -> Failure {
    let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
    let error = &body["error"];
    let status = received.status.as_u16();
    let kind = error["type"].as_str().filter(|kind| is_name(kind) && !quotes(kind.as_bytes(), key));
    let kind = kind.unwrap_or_default();
    let advice = match status {
        300..=399 => {
            "a redirect, which is not followed, for it would carry the key elsewhere; check base_url"
                .to_owned()
        }
        401 => format!(
            "the Admin API key is refused; an admin of the organization makes another at {KEYS_PAGE}{hint}"
        ),
        403 => format!(
            "the key may not read this; it takes an Admin API key, which an admin of the organization makes at \
             {KEYS_PAGE}{hint}"
        ),
        404 => "there is no such thing".to_owned(),
        429 => "too many requests; lower requests_per_minute, or see who else uses the Admin API".to_owned(),
        500.. => "the Admin API failed".to_owned(),
        _ => "the Admin API refused the request".to_owned(),
    };
    Failure {
        status: Some(status),
        request_id: header(&received.headers, "request-id"),
        reason: format!("{status}{}{kind}: {advice}", if kind.is_empty() { "" } else { " " }),
        organization_id: header(&received.headers, "anthropic-organization-id"),
        message: Unshown(error["message"].as_str().unwrap_or_default().to_owned()),
    }
}

/// Whether it can be one of Anthropic's names of errors, and nothing else that a body may hold.
fn is_name(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// A header as it may be shown.
pub(super) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().filter(|text| text.len() <= MAX_SHOWN).map(str::to_owned)
}

/// Takes the headers away that would be shown and have a part of the key in them: a server may answer with what it
/// was asked.
pub(super) fn forget_quotes(headers: &mut HeaderMap, key: &str) {
    for name in SHOWN {
        if headers.get(name).is_some_and(|value| quotes(value.as_bytes(), key)) {
            headers.remove(name);
        }
    }
}

/// Whether JSON has a part of the key in it, in a name or in a text, however its characters are escaped.
pub(super) fn holds(body: &[u8], key: &str) -> bool {
    quotes(body, key) || (body.contains(&b'\\') && quotes(&unescaped(body), key))
}

/// The same with the characters in place of their escapes, as far as a key may have them: visible ASCII.
fn unescaped(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((first, behind)) = rest.split_first() {
        let (byte, behind) = match (first, behind) {
            (b'\\', [b'u', b'0', b'0', high, low, behind @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
                let byte = digit(high).zip(digit(low)).map(|(high, low)| high << 4 | low);
                (byte.unwrap_or_default(), behind)
            }
            (b'\\', [escaped, behind @ ..]) => (*escaped, behind),
            (byte, behind) => (*byte, behind),
        };
        text.push(byte);
        rest = behind;
    }
    text
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::super::Received;
    use super::{forget_quotes, holds, refusal};

    #[test]
    fn a_key_is_found_in_json_however_it_is_escaped() {
        let key = r#"sk-ant-admin01-a/b"c"#;
        for (body, is_held) in [
            (r#"{"name":"sk-ant-admin01-a/b\"c"}"#, true),
            (r#"{"sk-ant-admin01-a\/b\"c":1}"#, true),
            (r#"{"name":"x\u0073\u006B-ant-admin01-a\u002fb\u0022c"}"#, true),
            (r#"{"name":"min01-a\/b"}"#, true),
            (r#"{"name":"sk-ant-admin01-…"}"#, false),
            (r#"{"name":"\u00zz \u12"}"#, false),
            (r"\", false),
        ] {
            assert_eq!(holds(body.as_bytes(), key), is_held, "{body}");
        }
        assert!(!holds(b"{}", ""), "a key that is empty is none");
    }

    #[test]
    fn what_a_server_says_of_an_error_is_not_in_its_debug_form() {
        let body = r#"{"error":{"type":"invalid","message":"x-api-key: sk-ant-admin01-abc"}}"#;
        let (headers, body) = (HeaderMap::new(), body.as_bytes().to_vec());
        let failure = refusal(&Received { status: StatusCode::BAD_REQUEST, headers, body }, "", "");
        assert!(failure.complains_of("x-api-key"));
        assert!(!format!("{failure:?} {failure}").contains("sk-ant"), "{failure:?}");
    }

    #[test]
    fn an_error_s_name_that_has_a_part_of_the_key_in_it_is_not_shown() {
        let key = "sk-ant-admin01-abcdefghijklmnop";
        for (kind, reason) in [("not_found_error", "404 not_found_error: "), ("my_efghijkl", "404: ")] {
            let body = format!(r#"{{"error":{{"type":"{kind}"}}}}"#).into_bytes();
            let received = Received { status: StatusCode::NOT_FOUND, headers: HeaderMap::new(), body };
            let failure = refusal(&received, key, "");
            assert!(failure.reason.starts_with(reason), "{failure}");
        }
    }

    #[test]
    fn a_header_with_a_part_of_the_key_is_not_shown() {
        let key = "sk-ant-admin01-abcdefghijkl";
        for (value, stays) in [
            ("req_011CB69y9nh43bUSkfzieCWN", true),
            ("sk-ant-", true),
            ("req_sk-ant-admin01-abcdefghijkl", false),
            ("efghijkl", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("request-id", HeaderValue::from_static(value));
            forget_quotes(&mut headers, key);
            assert_eq!(headers.contains_key("request-id"), stays, "{value}");
        }
    }
}
