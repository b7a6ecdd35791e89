//! A page of a list, as the API sends it. Pure.

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

/// One page. `has_more`, `first_id` and `last_id` may each be absent (SDK 2.12, `pagination.py`).
#[derive(Debug, Deserialize)]
pub struct Page {
    /// The rows, in the list's order.
    pub data: Vec<Value>,
    /// Whether rows follow.
    #[serde(default)]
    pub has_more: Option<bool>,
    /// Cursor of the first row.
    #[serde(default)]
    pub first_id: Option<String>,
    /// Cursor of the last row, also on the last page.
    #[serde(default)]
    pub last_id: Option<String>,
}

/// The answer is no page: cut short, HTML from an edge, or of a shape that nobody knows.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NoPage {
    /// Not JSON.
    #[error("the answer is no JSON; is base_url the Admin API, and no proxy between?")]
    NoJson,
    /// JSON, but no page.
    #[error("the answer is no page of a list")]
    NoPage,
}

/// The page that a body is. The refusal shows nothing of the body.
pub fn read(body: &[u8]) -> Result<Page, NoPage> {
    let value: Value = serde_json::from_slice(body).map_err(|_| NoPage::NoJson)?;
    Page::deserialize(value).map_err(|_| NoPage::NoPage)
}

#[cfg(test)]
mod tests {
    use super::{NoPage, read};

    #[test]
    fn a_body_is_a_page_or_says_what_it_is_instead() {
        let page = read(br#"{"data":[{}],"has_more":true,"first_id":"a","last_id":"a","next_page":null}"#);
        let page = page.expect("a page");
        assert_eq!((page.data.len(), page.has_more, page.last_id.as_deref()), (1, Some(true), Some("a")));
        assert_eq!(read(br#"{"data":[]}"#).expect("a page").has_more, None);
        for (body, expected) in [
            ("<html>502</html>", NoPage::NoJson),
            ("", NoPage::NoJson),
            (r#"{"data":[{"id":"#, NoPage::NoJson),
            (r#"{"data":null,"has_more":false}"#, NoPage::NoPage),
            (r#"{"has_more":false}"#, NoPage::NoPage),
            (r#"{"data":[],"has_more":"no"}"#, NoPage::NoPage),
            (r#"{"data":[],"last_id":7}"#, NoPage::NoPage),
            ("[]", NoPage::NoPage),
        ] {
            assert_eq!(read(body.as_bytes()).expect_err(body), expected, "{body}");
        }
    }
}
