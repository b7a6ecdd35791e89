//! What a refusal means, and which parts of a response are shown. Pure.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::Value;
use service::http::Received;
use service::redaction::quotes;

use super::{Failure, KEYS_PAGE, Unshown};

/// Headers that are shown.
const SHOWN: [&str; 2] = ["request-id", "anthropic-organization-id"];
/// Longest header that is shown (bytes): Anthropic's own have 36 at most.
const MAX_SHOWN: usize = 200;

/// Longest response of status 200 that may be an error (bytes): Anthropic's errors have a few hundred.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// The status of an error that arrived with status 200: some gateways pass on the body alone.
pub(super) fn disguised(received: &Received) -> Option<StatusCode> {
    if received.status != StatusCode::OK || received.body.len() > MAX_ERROR_BYTES {
        return None;
    }
    let body: Value = serde_json::from_slice(&received.body).ok()?;
    let kind = body["error"]["type"].as_str().filter(|_| body.get("data").is_none())?;
    Some(match kind {
        "authentication_error" => StatusCode::UNAUTHORIZED,
        "permission_error" => StatusCode::FORBIDDEN,
        "not_found_error" => StatusCode::NOT_FOUND,
        "timeout_error" => StatusCode::GATEWAY_TIMEOUT,
        "rate_limit_error" => StatusCode::TOO_MANY_REQUESTS,
        "overloaded_error" => StatusCode::SERVICE_UNAVAILABLE,
        "api_error" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    })
}

/// Whether to retry a request after this response: as `x-should-retry` says, otherwise by status (409 is a temporary
/// conflict, and Anthropic sends 529 when it is overloaded).
pub(super) fn is_worth_retrying(status: StatusCode, headers: &HeaderMap) -> bool {
    match headers.get("x-should-retry").map(HeaderValue::as_bytes) {
        Some(b"true") => true,
        Some(b"false") => false,
        _ => matches!(status.as_u16(), 408 | 409 | 429 | 500..),
    }
}

/// The time until a spent rate limit is available again, if it has not come.
pub(super) fn reset(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let at: Timestamp = headers.get("anthropic-ratelimit-requests-reset")?.to_str().ok()?.parse().ok()?;
    Duration::try_from(at.duration_since(now)).ok()
}

/// What a refusal with the status `meant` means. Anthropic's envelope names the error; a proxy's response does not.
pub(super) fn refusal(received: &Received, meant: StatusCode, key: &str, hint: &str) -> Failure {
    let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
    let error = &body["error"];
    let status = received.status.as_u16();
    let mut label = status.to_string();
    for name in [&error["type"], &error["details"]["error_code"]].into_iter().filter_map(Value::as_str) {
        if is_name(name) && !quotes(name.as_bytes(), key) {
            label = format!("{label} {name}");
        }
    }
    Failure {
        status: Some(status),
        request_id: header(&received.headers, "request-id"),
        reason: format!("{label}: {}", advice(meant, hint)),
        organization_id: header(&received.headers, "anthropic-organization-id"),
        message: Unshown(error["message"].as_str().unwrap_or_default().to_owned()),
    }
}

/// What a status means, and what to do.
fn advice(status: StatusCode, hint: &str) -> String {
    match status.as_u16() {
        206 => "only a part of the response arrived; find the proxy or gateway that cut it".to_owned(),
        200..=299 => {
            "the response does not contain a page; find the proxy or gateway that sent it".to_owned()
        }
        300..=399 => {
            "a redirect, which is not followed because it would carry the key elsewhere; check base_url"
                .to_owned()
        }
        401 => format!(
            "the Admin API key is refused; an admin of the organization can create a new one at {KEYS_PAGE}{hint}"
        ),
        403 => format!(
            "the key may not read this; use an Admin API key, which an admin of the organization can create at \
             {KEYS_PAGE}{hint}"
        ),
        404 => "not found".to_owned(),
        429 => {
            "too many requests; lower requests_per_minute, or find out who else uses the Admin API".to_owned()
        }
        500.. => "the Admin API failed".to_owned(),
        _ => "the Admin API refused the request".to_owned(),
    }
}

/// Whether the text has the form of an Anthropic error name, so that it cannot be other content of a body.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// A header that may be shown.
pub(super) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().filter(|text| text.len() <= MAX_SHOWN).map(str::to_owned)
}

/// Removes the headers that would be shown and contain a part of the key: a server may echo the request.
pub(super) fn forget_quotes(headers: &mut HeaderMap, key: &str) {
    for name in SHOWN {
        if headers.get(name).is_some_and(|value| quotes(value.as_bytes(), key)) {
            headers.remove(name);
        }
    }
}

/// Whether JSON contains a part of the key in a name or a string, however its characters are escaped.
pub(super) fn holds(body: &[u8], key: &str) -> bool {
    quotes(body, key) || (body.contains(&b'\\') && quotes(&unescaped(body), key))
}

/// The body with escapes replaced by their characters, for visible ASCII, which is all that a key may contain.
fn unescaped(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'\\', [b'u', b'0', b'0', high, low, after @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
                let byte = digit(high).zip(digit(low)).map(|(high, low)| high << 4 | low);
                (byte.unwrap_or_default(), after)
            }
            (b'\\', [escaped, after @ ..]) => (*escaped, after),
            (byte, after) => (*byte, after),
        };
        text.push(byte);
        rest = after;
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
    use service::http::Received;

    use super::{disguised, forget_quotes, holds, is_worth_retrying, refusal, reset};

    fn received(status: u16, body: &str) -> Received {
        let status = StatusCode::from_u16(status).expect("a status");
        Received { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec() }
    }

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
        assert!(!holds(b"{}", ""), "an empty key is not found");
    }

    #[test]
    fn an_error_message_is_not_in_its_debug_form() {
        let body = r#"{"error":{"type":"invalid","message":"x-api-key: sk-ant-admin01-abc"}}"#;
        let failure = refusal(&received(400, body), StatusCode::BAD_REQUEST, "", "");
        assert!(failure.complains_of("x-api-key"));
        assert!(!format!("{failure:?} {failure}").contains("sk-ant"), "{failure:?}");
    }

    #[test]
    fn a_refusal_shows_only_the_error_type_and_code() {
        let key = "sk-ant-admin01-abcdefgh_0";
        for (status, body, expected) in [
            (
                400,
                r#"{"error":{"type":"invalid_request_error","details":{"error_code":"organization_on_hold"}}}"#,
                "400 invalid_request_error organization_on_hold: the Admin API refused the request",
            ),
            (
                400,
                r#"{"error":{"type":"invalid_request_error","details":{"error_code":"Ada Diaz"}}}"#,
                "400 invalid_request_error: the Admin API refused the request",
            ),
            (500, r#"{"error":{"type":"abcdefgh_0"}}"#, "500: the Admin API failed"),
            (400, r#"{"error":{"details":["x"]}}"#, "400: the Admin API refused the request"),
            (204, "", "204: the response does not contain a page; find the proxy or gateway that sent it"),
            (206, "{", "206: only a part of the response arrived; find the proxy or gateway that cut it"),
        ] {
            let received = received(status, body);
            assert_eq!(refusal(&received, received.status, key, "").reason, expected);
        }
    }

    #[test]
    fn an_error_with_status_200_gets_the_status_of_its_type() {
        for (body, expected) in [
            (r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, Some(503)),
            (r#"{"error":{"type":"authentication_error"}}"#, Some(401)),
            (r#"{"error":{"type":"from_the_future"}}"#, Some(400)),
            (r#"{"data":[],"error":{"type":"api_error"}}"#, None),
            (r#"{"id":"o-1","error":null}"#, None),
            ("{", None),
        ] {
            let received = received(200, body);
            assert_eq!(disguised(&received).map(|status| status.as_u16()), expected, "{body}");
        }
        let failure = refusal(
            &received(200, r#"{"error":{"type":"overloaded_error"}}"#),
            StatusCode::SERVICE_UNAVAILABLE,
            "",
            "",
        );
        assert_eq!(failure.reason, "200 overloaded_error: the Admin API failed");
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

    #[test]
    fn a_rate_limit_is_waited_for_until_its_reset() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().expect("a time");
        for (at, expected) in [
            ("2026-11-24T12:00:20Z", Some(Duration::from_secs(20))),
            ("2026-11-24T11:00:00Z", None),
            ("soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("anthropic-ratelimit-requests-reset", HeaderValue::from_static(at));
            assert_eq!(reset(&headers, now), expected, "{at}");
        }
    }

    #[test]
    fn x_should_retry_takes_precedence_over_the_status() {
        let should = |value| {
            HeaderMap::from_iter([(
                HeaderName::from_static("x-should-retry"),
                HeaderValue::from_static(value),
            )])
        };
        let retried = [408, 409, 429, 500, 502, 503, 504, 529];
        let final_ones = [301, 307, 400, 401, 402, 403, 404, 413, 422];
        for (statuses, expected) in [(&retried[..], true), (&final_ones[..], false)] {
            for status in statuses {
                let status = StatusCode::from_u16(*status).expect("a status");
                assert_eq!(is_worth_retrying(status, &HeaderMap::new()), expected, "{status}");
                assert!(is_worth_retrying(status, &should("true")));
                assert!(!is_worth_retrying(status, &should("false")));
            }
        }
    }
}
