//! Malformed answers of JupiterOne (`fuzz/src/lib.rs` says how to run it longer).

use std::path::Path;

use fuzz::Corpus;
use serde_json::json;

use super::{Failure, MAX_MESSAGE, MAX_NAME, count, judge};

const KEY: &str = "j1-abcdefghijklmnop";

/// A message without JupiterOne's own words (bytes); a character of those has four at most.
const MOST_SHOWN: usize = 200 + 4 * (MAX_MESSAGE + MAX_NAME);

#[test]
fn no_answer_panics_or_is_shown_at_length_or_with_the_key_or_an_address() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/jupiterone_answers");
    let corpus =
        Corpus::read(&folder).with_tokens(&[b"j1-abcdefghijklmnop", b"@", b"\\u0000", b"\x1b", b"-1"]);
    fuzz::check(&corpus, |body| {
        for status in [200, 202, 301, 400, 401, 403, 404, 409, 413, 429, 500, 503] {
            let text = match judge(status, None, body, KEY) {
                Ok(answer) => {
                    let job =
                        answer.job.map(|job| format!("{} {} {}", job.id, job.status, job.write_errors()));
                    job.unwrap_or_default()
                }
                Err(failure) => failure.into_error().to_string(),
            };
            let is_bad = |bad: &str| text.contains(bad);
            if text.len() > MOST_SHOWN || is_bad("abcdefgh") || is_bad("@") || text.contains(char::is_control)
            {
                return Err(format!("{status} is shown as {text:?}"));
            }
        }
        Ok(())
    });
}

#[test]
fn counts_beyond_64_bits_are_many() {
    let body = json!({"job": {"id": "j", "status": "FINISHED", "numEntityCreateErrors": u64::MAX,
        "numEntityDeleteErrors": u64::MAX}});
    let answer = judge(200, None, body.to_string().as_bytes(), KEY).expect("an answer");
    assert_eq!(answer.job.expect("a job").write_errors(), u64::MAX);
}

#[test]
fn counts_are_taken_as_numbers_or_text_and_nothing_else_is_a_count() {
    for (value, expected) in [
        (json!(3), Some(3)),
        (json!(3.0), Some(3)),
        (json!("3"), Some(3)),
        (json!(1e300), Some(u64::MAX)),
        (json!(3.5), None),
        (json!(-3), None),
        (json!("many"), None),
        (json!(null), None),
        (json!({}), None),
    ] {
        assert_eq!(count(&value), expected, "{value}");
    }
}

#[test]
fn an_id_or_a_status_with_a_part_of_the_key_is_none() {
    for (id, status) in [(KEY, "FINISHED"), (&KEY[4..12], "FINISHED"), ("job", &KEY[3..11])] {
        let body = json!({"job": {"id": id, "status": status}}).to_string();
        let Err(failure) = judge(200, None, body.as_bytes(), KEY) else { panic!("taken: {body}") };
        assert!(!failure.into_error().to_string().contains("abcdefgh"));
    }
}

#[test]
fn an_error_under_a_status_of_success_is_recognized_by_its_name_and_retried() {
    let body = json!({"error": {"code": "INTERNAL_ERROR", "message": "Internal server error"}}).to_string();
    for status in [200, 400] {
        let Err(failure @ Failure::Again { is_unclear: true, .. }) =
            judge(status, None, body.as_bytes(), KEY)
        else {
            panic!("{status} is not tried again")
        };
        let text = failure.into_error().to_string();
        assert!(text.contains(&status.to_string()) && text.contains("INTERNAL_ERROR"), "{text}");
    }
}

#[test]
fn a_job_s_id_that_would_lead_elsewhere_is_none() {
    for id in ["../../graphql", "..", "a/b", "a?b", "a b", "a\nb", &"a".repeat(MAX_NAME + 1)] {
        let body = json!({"job": {"id": id, "status": "AWAITING_UPLOADS"}});
        let answer = judge(200, None, body.to_string().as_bytes(), KEY);
        assert!(matches!(answer, Err(Failure::Again { .. })), "{id}");
    }
}

#[test]
fn a_refusal_that_quotes_the_request_is_shown_without_the_key() {
    let body = json!({"error": {"code": KEY, "message": format!("bad header 'Bearer {KEY}' of ada@x, {}", &KEY[9..])}});
    let Err(failure) = judge(400, None, body.to_string().as_bytes(), KEY) else { panic!("an answer") };
    assert_eq!(failure.into_error().to_string(), "JupiterOne answered 400 … bad header 'Bearer …' of … …");
}
