//! The files that pages need. They are in the program, and their addresses change with their content.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

pub(crate) const STYLE: &str = concat!("/assets/console-", env!("CARGO_PKG_VERSION"), ".css");
/// htmx, as published on npm (`htmx.org`).
pub(crate) const HTMX: &str = "/assets/htmx-4.0.1.min.js";
/// Its extension for server-sent events, of the same package.
pub(crate) const SSE: &str = "/assets/hx-sse-4.0.1.min.js";

/// Address, content type, content.
const ALL: [(&str, &str, &str); 5] = [
    (STYLE, "text/css; charset=utf-8", include_str!("../assets/console.css")),
    (HTMX, "text/javascript; charset=utf-8", include_str!("../assets/htmx-4.0.1.min.js")),
    (SSE, "text/javascript; charset=utf-8", include_str!("../assets/hx-sse-4.0.1.min.js")),
    ("/assets/icon.svg", "image/svg+xml", include_str!("../assets/icon.svg")),
    ("/assets/htmx.LICENSE", "text/plain; charset=utf-8", include_str!("../assets/htmx.LICENSE")),
];

/// A browser asks again after an hour: the style of a version under development changes.
const CACHE: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));

/// The file of that address.
pub(crate) fn asset(path: &str) -> Option<Response> {
    let (_, kind, content) = ALL.iter().find(|(address, _, _)| *address == path)?;
    Some(([(header::CONTENT_TYPE, HeaderValue::from_static(kind)), CACHE], *content).into_response())
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::{ALL, HTMX, SSE};

    /// Of the files in htmx.org 4.0.1 on npm.
    const PUBLISHED: [(&str, &str); 2] = [
        (HTMX, "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130"),
        (SSE, "18ef2761356ec1fe0bb6d92612315b37517a7c1e9856b661c5ae81fef239d103"),
    ];

    #[test]
    fn what_others_wrote_is_as_they_published_it() {
        for (address, published) in PUBLISHED {
            let (_, _, content) = ALL.iter().find(|(other, _, _)| *other == address).expect("it is served");
            assert_eq!(format!("{:x}", Sha256::digest(content.as_bytes())), published, "{address}");
        }
    }
}
