//! A page of a list, as the API sends it. Pure.

use thiserror::Error;

use crate::json::{Json, JsonError};

/// One page. `has_more`, `first_id` and `last_id` may each be absent (SDK 2.12, `pagination.py`).
#[derive(Debug)]
pub struct Page {
    /// The rows, in the list's order.
    pub data: Vec<Json>,
    pub has_more: Option<bool>,
    /// Cursor of the first row.
    pub first_id: Option<String>,
    /// Cursor of the last row, also on the last page.
    pub last_id: Option<String>,
}

/// The response is not a page: it is cut off, HTML from a proxy, or of an unknown form.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PageError {
    /// Not JSON that can be kept.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// JSON, but not a page.
    #[error("the response is not a page of a list")]
    NotAPage,
}

/// Parses a body as a page. The error shows nothing of the body.
pub fn read(body: &[u8]) -> Result<Page, PageError> {
    let Json::Object(mut fields) = Json::parse(body)? else { return Err(PageError::NotAPage) };
    let mut cursor = |name| match fields.remove(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Text(cursor)) => Ok(Some(cursor)),
        Some(_) => Err(PageError::NotAPage),
    };
    let (first_id, last_id) = (cursor("first_id")?, cursor("last_id")?);
    let has_more = match fields.remove("has_more") {
        None | Some(Json::Null) => None,
        Some(Json::Bool(has_more)) => Some(has_more),
        Some(_) => return Err(PageError::NotAPage),
    };
    match fields.remove("data") {
        Some(Json::Array(data)) => Ok(Page { data, has_more, first_id, last_id }),
        _ => Err(PageError::NotAPage),
    }
}

#[cfg(test)]
mod tests {
    use super::{PageError, read};
    use crate::json::JsonError;

    #[test]
    fn a_body_that_is_not_a_page_is_an_error() {
        let page = read(br#"{"data":[{}],"has_more":true,"first_id":"a","last_id":"a","next_page":null}"#);
        let page = page.expect("a page");
        assert_eq!((page.data.len(), page.has_more, page.last_id.as_deref()), (1, Some(true), Some("a")));
        assert_eq!(read(br#"{"data":[]}"#).expect("a page").has_more, None);
        for (body, expected) in [
            ("<html>502</html>", PageError::Json(JsonError::Foreign)),
            ("", PageError::Json(JsonError::Foreign)),
            (r#"{"data":[{"id":"#, PageError::Json(JsonError::Cut(15))),
            (r#"{"data":null,"has_more":false}"#, PageError::NotAPage),
            (r#"{"has_more":false}"#, PageError::NotAPage),
            (r#"{"data":[],"has_more":"no"}"#, PageError::NotAPage),
            (r#"{"data":[],"last_id":7}"#, PageError::NotAPage),
            ("[]", PageError::NotAPage),
        ] {
            assert_eq!(read(body.as_bytes()).expect_err(body), expected, "{body}");
        }
    }
}
