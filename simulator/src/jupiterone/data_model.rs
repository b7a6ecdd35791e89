//! What JupiterOne's data-model 0.64.2 wants of an uploaded object, for the classes in use here.
//!
//! The service itself is more lenient; JupiterOne's SDK refuses what violates these rules.
//! Stricter than the schemas, as the schemas leave properties free that they do not know: null only where a property
//! is typed nullable, every time (`addedOn`) a number, no objects and no mixed arrays.

use serde_json::{Map, Value};

/// The relationship classes of data-model 0.64.2.
const RELATIONSHIP_CLASSES: [&str; 49] = [
    "ALLOWS",
    "APPROVED",
    "ASSIGNED",
    "CONNECTS",
    "CONTAINS",
    "COMPLETED",
    "CREATED",
    "DEFINES",
    "DENIES",
    "DEPLOYED",
    "ENFORCES",
    "EVALUATES",
    "EXPLOITS",
    "EXTENDS",
    "GENERATED",
    "HAS",
    "HOSTS",
    "IDENTIFIED",
    "IMPLEMENTS",
    "IS",
    "KNOWS",
    "LIMITS",
    "LINKS",
    "LOGS",
    "MANAGES",
    "MITIGATES",
    "MONITORS",
    "NOTIFIES",
    "OPENED",
    "OVERRIDES",
    "OWNS",
    "PERFORMED",
    "PROTECTS",
    "PROVIDES",
    "PUBLISHED",
    "PUBLISHES",
    "RESTRICTS",
    "REVIEWED",
    "REPORTED",
    "RUNS",
    "SCANS",
    "SENDS",
    "SHARED",
    "TRIGGERS",
    "TRUSTS",
    "UPDATED",
    "USES",
    "INSTALLED",
    "VIOLATES",
];

/// The shape of a property's value.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Text,
    Bool,
    Number,
    /// A whole number from 1 to 10.
    Rating,
    Uri,
    Texts,
    TextOrTexts,
    TextOrNull,
    /// An array of strings, none twice, or null.
    UniqueTextsOrNull,
    /// As before, each an e-mail address.
    EmailsOrNull,
    /// One of these strings.
    OneOf(&'static [&'static str], &'static str),
}

/// What [`Shape`] each property of a class has, and which must be there.
struct Class {
    required: &'static [&'static str],
    shapes: &'static [(&'static str, Shape)],
}

const ENTITY: Class = Class {
    required: &["name", "displayName"],
    shapes: &[
        ("id", Shape::TextOrTexts),
        ("name", Shape::Text),
        ("displayName", Shape::Text),
        ("summary", Shape::Text),
        ("description", Shape::Text),
        ("classification", Shape::TextOrNull),
        ("criticality", Shape::Rating),
        ("risk", Shape::Rating),
        ("trust", Shape::Rating),
        ("complianceStatus", Shape::Number),
        ("status", Shape::Text),
        ("active", Shape::Bool),
        ("public", Shape::Bool),
        ("validated", Shape::Bool),
        ("temporary", Shape::Bool),
        ("trusted", Shape::Bool),
        ("createdBy", Shape::Text),
        ("updatedBy", Shape::Text),
        ("deletedBy", Shape::Text),
        ("discoveredBy", Shape::Text),
        ("webLink", Shape::Uri),
        ("owner", Shape::Text),
        ("tags", Shape::Texts),
        ("notes", Shape::Texts),
    ],
};

const ACCOUNT: Class = Class {
    required: &["vendor"],
    shapes: &[("vendor", Shape::Text), ("accessURL", Shape::Uri), ("mfaEnabled", Shape::Bool)],
};

const KEY: Class = Class {
    required: &[],
    shapes: &[("fingerprint", Shape::Text), ("material", Shape::Text), ("usage", Shape::Text)],
};

const GROUP: Class = Class { required: &[], shapes: &[] };

/// As an integration uses it that knows API keys only: of `nhiType` there are sixteen other values.
const NHI: Class = Class {
    required: &[],
    shapes: &[
        ("nhiType", Shape::OneOf(&["api_key", "service_account"], "a type of identities")),
        ("isAi", Shape::Bool),
        (
            "aiConfidence",
            Shape::OneOf(&["confirmed", "high", "medium", "low"], "confirmed, high, medium or low"),
        ),
        ("aiPlatform", Shape::Text),
        ("owner", Shape::Text),
        (
            "nhiOwnerStatus",
            Shape::OneOf(&["assigned", "unassigned", "orphaned"], "assigned, unassigned or orphaned"),
        ),
    ],
};

const USER: Class = Class {
    required: &["firstName", "lastName", "email", "shortLoginId", "username"],
    shapes: &[
        ("firstName", Shape::TextOrNull),
        ("lastName", Shape::TextOrNull),
        ("email", Shape::EmailsOrNull),
        ("username", Shape::UniqueTextsOrNull),
        ("shortLoginId", Shape::UniqueTextsOrNull),
        ("emailDomain", Shape::UniqueTextsOrNull),
        ("isMfaEnabled", Shape::Bool),
        ("isActive", Shape::Bool),
        ("isAdmin", Shape::Bool),
        ("isPerson", Shape::Bool),
        ("isGuest", Shape::Bool),
        ("mfaType", Shape::Text),
        ("employeeId", Shape::Text),
        ("userIds", Shape::Texts),
    ],
};

fn class(name: &str) -> Option<&'static Class> {
    match name {
        "Account" => Some(&ACCOUNT),
        "AccessKey" | "Key" => Some(&KEY),
        "Group" => Some(&GROUP),
        "NHI" => Some(&NHI),
        "User" => Some(&USER),
        _ => None,
    }
}

/// What is wrong with an object in its upload form or as the graph shows it; a relationship is what names an end.
/// Empty where nothing is.
pub fn violations(object: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    check_identity(object, &mut found);
    let names_end = object.keys().any(|name| name.starts_with("_from") || name.starts_with("_to"));
    for (name, value) in object {
        check_property(name, value, names_end, &mut found);
    }
    if names_end {
        check_relationship(object, &mut found);
    } else {
        check_entity(object, &mut found);
    }
    found
}

fn check_identity(object: &Map<String, Value>, found: &mut Vec<String>) {
    for (name, least) in [("_key", 10), ("_type", 3)] {
        let long_enough =
            object.get(name).and_then(Value::as_str).is_some_and(|t| t.chars().count() >= least);
        if !long_enough {
            found.push(format!("{name} must be a string of at least {least} characters"));
        }
    }
}

fn check_relationship(object: &Map<String, Value>, found: &mut Vec<String>) {
    for name in ["_fromEntityKey", "_toEntityKey", "displayName"] {
        if object.get(name).and_then(Value::as_str).is_none_or(str::is_empty) {
            found.push(format!("{name} must be a string that is not empty"));
        }
    }
    let class = object.get("_class").and_then(Value::as_str);
    if !class.is_some_and(|class| RELATIONSHIP_CLASSES.contains(&class)) {
        found.push("_class must be one of the relationship classes".into());
    }
}

fn check_entity(object: &Map<String, Value>, found: &mut Vec<String>) {
    let classes: Vec<&str> = match object.get("_class") {
        Some(Value::String(class)) => vec![class],
        Some(Value::Array(classes)) => classes.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if classes.is_empty() {
        found.push("_class must name a class".into());
    }
    let mut chain = vec![&ENTITY];
    for name in classes {
        match class(name) {
            Some(class) => chain.push(class),
            None => found.push(format!("the rules of class {name} are not known here")),
        }
    }
    for class in chain {
        for name in class.required.iter().filter(|name| !object.contains_key(**name)) {
            found.push(format!("{name} is required"));
        }
        for (name, shape) in class.shapes {
            if let Some(wanted) = object.get(*name).and_then(|value| violation(*shape, value)) {
                found.push(format!("{name} must be {wanted}"));
            }
        }
    }
}

/// What holds for every property whatever the class.
fn check_property(name: &str, value: &Value, of_relationship: bool, found: &mut Vec<String>) {
    let bare = name.strip_prefix('_').unwrap_or(name);
    if bare.is_empty() || !bare.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | ' ' | '-')) {
        found.push(format!("\"{name}\" is not a property name: ^(_|tag\\.)?[A-Za-z0-9. -]+$"));
    }
    if name.starts_with('_') {
        return;
    }
    let nullable =
        ["classification", "firstName", "lastName", "email", "username", "shortLoginId", "emailDomain"];
    match value {
        Value::Null if !nullable.contains(&name) => found.push(format!("{name} must be omitted, not null")),
        Value::Object(_) => found.push(format!("{name} must not be an object")),
        Value::Array(_) if of_relationship => {
            found.push(format!("{name} must be no array in a relationship"));
        }
        Value::Array(_) if name.starts_with("tag.") => found.push(format!("{name} must be no array")),
        Value::Array(values) if !is_homogeneous(values) => {
            found.push(format!("{name} must be an array of one primitive type"));
        }
        value if is_time(name) && !value.is_u64() && !value.is_i64() => {
            found.push(format!("{name} must be a time in epoch milliseconds"));
        }
        _ => {}
    }
}

fn is_homogeneous(values: &[Value]) -> bool {
    values.iter().all(Value::is_string)
        || values.iter().all(Value::is_number)
        || values.iter().all(Value::is_boolean)
}

/// Whether it ends in `On` as a word of its own: `createdOn`.
fn is_time(name: &str) -> bool {
    name.strip_suffix("On").is_some_and(|rest| rest.ends_with(|c: char| c.is_ascii_lowercase()))
}

/// What the value should be, where it is not. Null is judged by [`check_property`].
fn violation(shape: Shape, value: &Value) -> Option<&'static str> {
    let text = value.is_string();
    let (fits, wanted) = match shape {
        Shape::Text => (text, "a string"),
        Shape::Bool => (value.is_boolean(), "a boolean"),
        Shape::Number => (value.is_number(), "a number"),
        Shape::Rating => {
            (value.as_u64().is_some_and(|n| (1..=10).contains(&n)), "a whole number from 1 to 10")
        }
        Shape::Uri => (value.as_str().is_some_and(is_uri), "an absolute URI"),
        Shape::Texts => (unique_texts(value).is_some(), "an array of strings"),
        Shape::TextOrTexts => (text || unique_texts(value).is_some(), "a string or an array of strings"),
        Shape::TextOrNull => (text || value.is_null(), "a string or null"),
        Shape::UniqueTextsOrNull => {
            (value.is_null() || unique_texts(value) == Some(true), "an array of unique strings or null")
        }
        Shape::EmailsOrNull => (
            value.is_null()
                || (unique_texts(value) == Some(true)
                    && value.as_array().is_some_and(|all| all.iter().all(is_email))),
            "an array of unique e-mail addresses or null",
        ),
        Shape::OneOf(values, wanted) => (value.as_str().is_some_and(|text| values.contains(&text)), wanted),
    };
    (!fits).then_some(wanted)
}

/// Whether an array of strings has none twice; `None` for anything else.
fn unique_texts(value: &Value) -> Option<bool> {
    let texts: Vec<&str> = value.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?;
    Some(texts.iter().enumerate().all(|(index, text)| !texts[..index].contains(text)))
}

fn is_uri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
            && !rest.is_empty()
            && !rest.contains(char::is_whitespace)
    })
}

/// The `email` format of ajv-formats, which the data-model brings along: no local domain, no empty part.
fn is_email(value: &Value) -> bool {
    let Some((local, domain)) = value.as_str().and_then(|text| text.rsplit_once('@')) else { return false };
    let atom = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(c))
    };
    let label = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    local.split('.').all(atom) && domain.contains('.') && domain.split('.').all(label)
}
