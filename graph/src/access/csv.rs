//! Paths for spreadsheets (RFC 4180).

use super::answer::{AsOf, Organization, Path};
use crate::text::clean;

/// The columns, after one that `access --between` begins with.
const COLUMNS: [&str; 19] = [
    "organization_id",
    "organization_name",
    "revision",
    "ts_ms",
    "kind",
    "user_id",
    "user_name",
    "user_email",
    "user_role",
    "workspace_id",
    "workspace_name",
    "role",
    "because",
    "api_key_id",
    "api_key_name",
    "api_key_hint",
    "api_key_status",
    "usable",
    "flags",
];

/// The first line; `first` is the name of a column before all others.
pub fn header(first: Option<&str>) -> String {
    first.into_iter().chain(COLUMNS).collect::<Vec<_>>().join(",")
}

/// The line of a path; `first` is what stands before all other columns.
pub fn line(first: Option<&str>, organization: Organization<'_>, as_of: AsOf, path: &Path<'_>) -> String {
    let (revision, ts_ms) = (as_of.revision.to_string(), as_of.ts_ms.to_string());
    let usable = path.usable.to_string();
    let flags = path.flags.join(" ");
    let (user, place, key) = (path.user, path.workspace, path.api_key);
    let values = [
        Some(organization.id),
        Some(organization.name),
        Some(revision.as_str()),
        Some(ts_ms.as_str()),
        Some(path.kind),
        user.map(|user| user.id),
        user.and_then(|user| user.name),
        user.and_then(|user| user.email),
        user.and_then(|user| user.role),
        place.map(|place| place.id),
        place.and_then(|place| place.name),
        path.role,
        Some(path.because.as_str()),
        key.map(|key| key.id),
        key.map(|key| key.name),
        key.and_then(|key| key.hint),
        key.and_then(|key| key.status),
        Some(usable.as_str()),
        Some(flags.as_str()),
    ];
    let values = values.into_iter().map(Option::unwrap_or_default);
    first.into_iter().chain(values).map(value).collect::<Vec<_>>().join(",")
}

/// One line, quoted where needed. A spreadsheet treats a value that begins with one of these characters as a formula, and
/// anyone can name an API key that way. A leading apostrophe makes it a string (OWASP, "CSV Injection").
pub fn value(value: &str) -> String {
    let value = clean(value);
    let text = if value.starts_with(['=', '+', '-', '@']) { format!("'{value}") } else { value };
    if text.contains(['"', ',']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn a_value_is_one_cell_and_never_a_formula() {
        for (text, expected) in [
            ("Ada Diaz", "Ada Diaz"),
            ("Diaz, Ada", "\"Diaz, Ada\""),
            ("the \"key\"", "\"the \"\"key\"\"\""),
            ("a\nb", "a\\nb"),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("@x", "'@x"),
            ("", ""),
        ] {
            assert_eq!(value(text), expected);
        }
    }
}
