//! A page of a list, as the API sends it. Pure.

use thiserror::Error;

use crate::json::{Json, NoJson};

/// One page. `has_more`, `first_id` and `last_id` may each be absent (SDK 2.12, `pagination.py`).
#[derive(Debug)]
pub struct Page {
    /// The rows, in the list's order.
    pub data: Vec<Json>,
    /// Whether rows follow.
    pub has_more: Option<bool>,
    /// Cursor of the first row.
    pub first_id: Option<String>,
    /// Cursor of the last row, also on the last page.
    pub last_id: Option<String>,
}

/// The answer is no page: cut short, HTML from an edge, or of a shape that nobody knows.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NoPage {
    /// Not JSON that can be kept.
    #[error(transparent)]
    NoJson(#[from] NoJson),
    /// JSON, but no page.
    #[error("the answer is no page of a list")]
    NoPage,
}

/// The page that a body is. The refusal shows nothing of the body.
pub fn read(body: &[u8]) -> Result<Page, NoPage> {
    let Json::Object(mut fields) = Json::parse(body)? else { return Err(NoPage::NoPage) };
    let mut cursor = |name| match fields.remove(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Text(cursor)) => Ok(Some(cursor)),
        Some(_) => Err(NoPage::NoPage),
    };
    let (first_id, last_id) = (cursor("first_id")?, cursor("last_id")?);
    let has_more = match fields.remove("has_more") {
        None | Some(Json::Null) => None,
        Some(Json::Bool(has_more)) => Some(has_more),
        Some(_) => return Err(NoPage::NoPage),
    };
    match fields.remove("data") {
        Some(Json::Array(data)) => Ok(Page { data, has_more, first_id, last_id }),
        _ => Err(NoPage::NoPage),
    }
}

#[cfg(test)]
mod tests {
    use super::{NoPage, read};
    use crate::json::NoJson;

    #[test]
    fn a_body_is_a_page_or_says_what_it_is_instead() {
        let page = read(br#"{"data":[{}],"has_more":true,"first_id":"a","last_id":"a","next_page":null}"#);
        let page = page.expect("a page");
        assert_eq!((page.data.len(), page.has_more, page.last_id.as_deref()), (1, Some(true), Some("a")));
        assert_eq!(read(br#"{"data":[]}"#).expect("a page").has_more, None);
        for (body, expected) in [
            ("<html>502</html>", NoPage::NoJson(NoJson::Foreign)),
            ("", NoPage::NoJson(NoJson::Foreign)),
            (r#"{"data":[{"id":"#, NoPage::NoJson(NoJson::Cut(15))),
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
